BEGIN TRANSACTION;
CREATE TABLE event (
	job_id VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	kind VARCHAR NOT NULL, 
	data JSON NOT NULL, 
	PRIMARY KEY (job_id, number), 
	FOREIGN KEY(job_id) REFERENCES job (id)
);
INSERT INTO "event" VALUES('c4d300b6fec3f153',1,1.79521517230010390284e+09,'scheduled','{"status": "scheduled"}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',2,1.79521517232485866544e+09,'running','{"status": "running", "phase": "starting"}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',3,1.79521517279233741755e+09,'phase','{"phase": "analyze"}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',4,1.79521517279240798948e+09,'phase','{"phase": "file"}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',5,1.79521517279241323472e+09,'step_started','{"step": 1}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',6,1.79521517282221698763e+09,'step_ended','{"step": 1, "status": "completed", "exit_code": 0, "detail": ""}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',7,1.79521517282234621053e+09,'phase','{"phase": "shell"}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',8,1.79521517282235741619e+09,'step_started','{"step": 2}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',9,1.79521517286854410174e+09,'output','{"step": 2, "text": "Hello, world!\n"}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',10,1.79521517287650442121e+09,'step_ended','{"step": 2, "status": "completed", "exit_code": 0, "detail": ""}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',11,1.79521517287676286691e+09,'phase','{"phase": "package"}');
INSERT INTO "event" VALUES('c4d300b6fec3f153',12,1.79521517298906111716e+09,'completed','{"status": "completed", "reason": null, "detail": "", "artifact": {"bytes": 2264, "sha256": "71055a1f62324c412c7d15ee0577189056ab9e6c4f41e0870cbe515695a96e8d", "files": 1, "left_out": 0, "partial": false}}');
INSERT INTO "event" VALUES('dab33d2e9cac2124',1,1.79521517303535723688e+09,'scheduled','{"status": "scheduled"}');
INSERT INTO "event" VALUES('dab33d2e9cac2124',2,1.79521517306783676146e+09,'running','{"status": "running", "phase": "starting"}');
INSERT INTO "event" VALUES('dab33d2e9cac2124',3,1.79521517342424082757e+09,'phase','{"phase": "analyze"}');
INSERT INTO "event" VALUES('dab33d2e9cac2124',4,1.79521517342434453962e+09,'phase','{"phase": "shell"}');
INSERT INTO "event" VALUES('dab33d2e9cac2124',5,1.79521517342435145379e+09,'step_started','{"step": 1}');
INSERT INTO "event" VALUES('dab33d2e9cac2124',6,1.79521517344244456284e+09,'output','{"step": 1, "text": "broken\n"}');
INSERT INTO "event" VALUES('dab33d2e9cac2124',7,1.79521517344361519817e+09,'step_ended','{"step": 1, "status": "failed", "exit_code": 3, "detail": "Step 1 \"echo broken; exit 3\" ended with exit code 3. It last printed:\nbroken"}');
INSERT INTO "event" VALUES('dab33d2e9cac2124',8,1.79521517344391655923e+09,'phase','{"phase": "package"}');
INSERT INTO "event" VALUES('dab33d2e9cac2124',9,1.79521517353155899048e+09,'failed','{"status": "failed", "reason": "step_failed", "detail": "Step 1 \"echo broken; exit 3\" ended with exit code 3. It last printed:\nbroken", "artifact": {"bytes": 1752, "sha256": "fd6223afc683a071047796538774448b9c4c7e30f871f700b072c5d133ec93bd", "files": 0, "left_out": 0, "partial": true}}');
CREATE TABLE job (
	n INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	prompt VARCHAR NOT NULL, 
	planned_by VARCHAR NOT NULL, 
	network VARCHAR NOT NULL, 
	seconds FLOAT NOT NULL, 
	memory INTEGER NOT NULL, 
	cpus FLOAT NOT NULL, 
	processes INTEGER NOT NULL, 
	zip_bytes INTEGER NOT NULL, 
	steps_count INTEGER NOT NULL, 
	check_command VARCHAR NOT NULL, 
	outputs JSON NOT NULL, 
	labels JSON NOT NULL, 
	status VARCHAR NOT NULL, 
	phase VARCHAR, 
	reason VARCHAR, 
	detail VARCHAR NOT NULL, 
	waiting_for VARCHAR, 
	cancel_requested_at FLOAT, 
	created_at FLOAT NOT NULL, 
	started_at FLOAT, 
	taken_at FLOAT, 
	packaging_at FLOAT, 
	settled_at FLOAT, 
	ended_at FLOAT, 
	expired_at FLOAT, 
	sandbox_id VARCHAR, 
	token_sha256 VARCHAR, 
	image VARCHAR, 
	image_id VARCHAR, 
	last_event INTEGER NOT NULL, 
	acknowledged INTEGER NOT NULL, 
	outcome JSON, 
	artifact JSON, 
	PRIMARY KEY (n), 
	UNIQUE (id)
);
INSERT INTO "job" VALUES(1,'c4d300b6fec3f153','Create a Python script that prints hello world','template:hello-world','none',600.0,1073741824,1.0,256,1073741824,2,'','["hello.py"]','{"team": "blue"}','completed',NULL,NULL,'',NULL,NULL,1.79521517227866959573e+09,1.79521517231928586962e+09,1.79521517274571442606e+09,1.79521517287676286691e+09,1.79521517295502805707e+09,1.79521517298465418813e+09,NULL,'dd5133990d0e',NULL,'containerized-agent:latest','sha256:eb0bef594eb46cae7be60ccf25b7115f7d6743c21855c56414f89c4c61167ccb',12,9,'{"status": "completed", "reason": null, "detail": "", "packed": {"files": 1, "bytes": 87, "left_out": 0, "partial": false}}','{"bytes": 2264, "sha256": "71055a1f62324c412c7d15ee0577189056ab9e6c4f41e0870cbe515695a96e8d", "files": 1, "left_out": 0, "partial": false}');
INSERT INTO "job" VALUES(2,'dab33d2e9cac2124','','request','none',600.0,1073741824,1.0,256,1073741824,1,'','[]','{}','failed',NULL,'step_failed','Step 1 "echo broken; exit 3" ended with exit code 3. It last printed:
broken',NULL,NULL,1.7952151730314729214e+09,1.79521517305466938021e+09,1.79521517339447379108e+09,1.79521517344391655923e+09,1.79521517349966526033e+09,1.79521517352652192111e+09,NULL,'2b6c619e30e8',NULL,'containerized-agent:latest','sha256:eb0bef594eb46cae7be60ccf25b7115f7d6743c21855c56414f89c4c61167ccb',9,6,'{"status": "failed", "reason": "step_failed", "detail": "Step 1 \"echo broken; exit 3\" ended with exit code 3. It last printed:\nbroken", "packed": {"files": 0, "bytes": 0, "left_out": 0, "partial": false}}','{"bytes": 1752, "sha256": "fd6223afc683a071047796538774448b9c4c7e30f871f700b072c5d133ec93bd", "files": 0, "left_out": 0, "partial": true}');
CREATE TABLE step (
	job_id VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	title VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	path VARCHAR NOT NULL, 
	seconds FLOAT NOT NULL, 
	seconds_given BOOLEAN NOT NULL, 
	background BOOLEAN NOT NULL, 
	status VARCHAR NOT NULL, 
	exit_code INTEGER, 
	detail VARCHAR NOT NULL, 
	output_bytes INTEGER NOT NULL, 
	started_at FLOAT, 
	ended_at FLOAT, 
	PRIMARY KEY (job_id, number), 
	FOREIGN KEY(job_id) REFERENCES job (id)
);
INSERT INTO "step" VALUES('c4d300b6fec3f153',1,'file','Write hello.py','def main() -> None:
    print("Hello, world!")


if __name__ == "__main__":
    main()
','hello.py',600.0,0,0,'completed',0,'',0,1.79521517279241323472e+09,1.79521517282221698763e+09);
INSERT INTO "step" VALUES('c4d300b6fec3f153',2,'shell','Run hello.py','python hello.py','',600.0,0,0,'completed',0,'',14,1.79521517282235741619e+09,1.79521517287650442121e+09);
INSERT INTO "step" VALUES('dab33d2e9cac2124',1,'shell','echo broken; exit 3','echo broken; exit 3','',600.0,0,0,'failed',3,'Step 1 "echo broken; exit 3" ended with exit code 3. It last printed:
broken',7,1.79521517342435145379e+09,1.79521517344361519817e+09);
CREATE INDEX by_status ON job (status, n);
CREATE INDEX ix_job_sandbox_id ON job (sandbox_id);
COMMIT;
