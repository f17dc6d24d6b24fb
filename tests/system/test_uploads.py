"""Files that come with a job: from a form to the workspace, the ZIP and the manifest, whatever they are called."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.answers import nothing_stored, problem
from tests.support.system import System, docker, until

SALES = b"month,amount\n1,10\n2,20\n"
TRUE = '[{"kind": "shell", "script": "true"}]'

#: Bytes of a file that a system must not hold in memory.
LARGE = 300 * 2**20


def post(system: System, files: list[tuple[str, bytes]], script: str = "true", **fields: str) -> Any:
    steps = {"steps": f'[{{"kind": "shell", "script": "{script}"}}]'} if "steps" not in fields else {}
    texts = [(name, (None, text)) for name, text in {**steps, **fields}.items()]
    return system.http.post("/schedule", files=[*texts, *(("files", one) for one in files)])


def submit(system: System, files: list[tuple[str, bytes]], script: str = "true", **fields: str) -> str:
    answer = post(system, files, script, **fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def kept(system: System) -> list[str]:
    """The folders of the record that have uploads."""
    return [path.parent.name for path in system.record.glob("*/uploads")]


@pytest.fixture
def nothing_kept(parked: System) -> Iterator[None]:
    """Check that a request that is refused leaves neither a job nor a file."""
    before = kept(parked)
    with nothing_stored(parked):
        yield
    assert kept(parked) == before


# ── from the form to the ZIP ─────────────────────────────────────────────────────────────────────────────────────────


def test_files_are_in_the_workspace_in_the_zip_and_marked_as_inputs(system: System) -> None:
    script = "stat -c '%n %u %a' *; cat sales.csv; echo 3,30 >> changed.csv; rm removed.csv; echo new > made.csv"
    names = ["sales.csv", "changed.csv", "removed.csv"]
    job_id = submit(system, [(name, SALES) for name in names], script, labels='{"team": "blue"}', outputs='["*.csv"]')
    found = system.completed(job_id)
    assert [upload["name"] for upload in found["uploads"]] == names
    assert found["labels"] == {"team": "blue"}
    assert {"changed.csv 10001 644", "sales.csv 10001 644", *SALES.decode().split()} <= set(
        system.output(job_id).splitlines()
    )
    archive = system.zip(job_id)
    assert archive.read("workspace/sales.csv") == SALES
    marks = {
        record["path"].removeprefix("workspace/"): (record.get("input"), record.get("changed"))
        for record in archive.manifest["files"]
    }
    assert marks == {"sales.csv": (True, False), "changed.csv": (True, True), "made.csv": (None, None)}
    digest = hashlib.sha256(SALES).hexdigest()
    wanted = [{"name": name, "bytes": len(SALES), "sha256": digest, "sample": False} for name in names]
    assert archive.manifest["uploads"] == found["uploads"] == wanted
    assert "- the file `sales.csv` (23 bytes)" in archive.report
    assert f"/jobs/{job_id}/retry" in archive.report


def test_curl_sends_a_prompt_and_a_file(system: System, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_bytes(SALES)
    prompt = "Count\n```bash\nwc -l < sales.csv\n```"
    run = ["curl", "-s", "-F", f"prompt={prompt}", "-F", "files=@sales.csv", f"{system.http.base_url}/schedule?wait=60"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True)
    job = system.http.get("/jobs", params={"limit": 1}).json()["jobs"][0]
    assert job["prompt"] == prompt and system.output(job["job_id"]) == "3\n"


def test_every_field_of_a_form_means_what_it_means_in_json(system: System) -> None:
    job_id = submit(
        system,
        [],
        check="test -e a",
        limits='{"memory": "256m", "seconds": 20}',
        steps='[{"kind": "file", "path": "a", "content": "x"}]',
        keep_days="2.5",
        network="none",
    )
    found = system.completed(job_id)
    assert (found["limits"]["memory"], found["keep_days"], found["uploads"]) == (256 * 2**20, 2.5, [])
    assert found["check"]["exit_code"] == 0


def test_a_large_file_is_never_held_in_memory(make_system: Callable[..., System], tmp_path: Path) -> None:
    system = make_system().start()
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.write(os.urandom(2**20))
        file.truncate(LARGE)
    assert system.process
    before = memory(system.process.pid, "VmRSS")
    steps = '[{"kind": "shell", "script": "sha256sum large; rm large"}]'
    form = ["-F", f"files=@{large}", "--form-string", f"steps={steps}"]
    subprocess.run(["curl", "-sf", *form, f"{system.http.base_url}/schedule"], check=True, capture_output=True)
    job = system.http.get("/jobs").json()["jobs"][0]["job_id"]
    upload = system.completed(job)["uploads"][0]
    with open(large, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    assert (upload["bytes"], upload["sha256"]) == (LARGE, digest)
    assert system.output(job).split()[0] == digest
    assert memory(system.process.pid, "VmHWM") - before < 64 * 2**20


def memory(pid: int, field: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) * 1024


def test_where_the_container_is_killed_the_inputs_are_still_marked(system: System) -> None:
    job_id = submit(system, [("kept.csv", SALES), ("changed.csv", SALES)], "echo x > changed.csv; echo done; sleep 600")
    system.says(job_id, "done")
    docker("kill", f"containerized-agent-{system.status(job_id)['sandbox']}")
    assert system.ended(job_id)["reason"] == "agent_lost"
    files = {record["path"]: record for record in system.zip(job_id).manifest["files"]}
    assert {path: (found["input"], found["changed"]) for path, found in files.items()} == {
        "workspace/kept.csv": (True, False),
        "workspace/changed.csv": (True, True),
    }


def test_an_agent_gets_its_files_also_where_the_orchestrator_dies_meanwhile(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    content = os.urandom(64 * 2**20)
    job_id = submit(system, [("large", content)], "sha256sum large; rm large")
    sandbox = until(lambda: system.status(job_id)["sandbox"], "it has a sandbox")
    until(lambda: system.status(job_id)["phase"] != "starting", "the agent has begun")
    docker("pause", f"containerized-agent-{sandbox}")
    system.kill()
    system.start()
    docker("unpause", f"containerized-agent-{sandbox}")
    system.completed(job_id)
    assert system.output(job_id).split()[0] == hashlib.sha256(content).hexdigest()


def test_a_form_without_files_gets_the_sample_of_its_template(parked: System) -> None:
    answer = parked.http.post("/schedule", files=[("prompt", (None, "Create a chart from this CSV"))])
    assert answer.status_code == 202, answer.text
    assert [upload["sample"] for upload in answer.json()["uploads"]] == [True]


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────

SAFE = {
    "sales.csv": "sales.csv",
    "../../etc/passwd": "passwd",
    "/etc/cron.d/job": "job",
    "C:\\\\Users\\\\me\\\\sales.csv": "sales.csv",
    "..\\\\..\\\\x.csv": "x.csv",
    "a b 'c' $(id) `id`;&|.csv": "a b 'c' $(id) `id`;&|.csv",
    "-rf": "-rf",
    "...": "...",
    ".gitignore": ".gitignore",
    "u\u0308ber.csv": "über.csv",
    "%2e%2e%2fx": "%2e%2e%2fx",
    "日本語.csv": "日本語.csv",
    "x" * 255: "x" * 255,
    "node_modules": "node_modules",
    "a;1": "a;1",
}


def form(names: list[bytes], content: bytes = b"x") -> tuple[bytes, dict[str, str]]:
    """A form as it is, which no client library has tidied."""
    parts = [b'--b\r\nContent-Disposition: form-data; name="steps"\r\n\r\n' + TRUE.encode()]
    for name in names:
        head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + name + b'"\r\n'
        parts.append(head + b"Content-Type: text/plain\r\n\r\n" + content)
    return b"\r\n".join([*parts, b"--b--\r\n"]), {"Content-Type": "multipart/form-data; boundary=b"}


def test_names_are_made_safe_and_such_a_file_is_in_the_zip(system: System) -> None:
    body, headers = form([name.encode() for name in SAFE if name not in ("..\\\\..\\\\x.csv",)])
    body = body.replace(b'"steps"\r\n\r\n' + TRUE.encode(), b'"steps"\r\n\r\n' + TRUE.replace("true", "ls -A").encode())
    answer = system.http.post("/schedule", content=body, headers=headers)
    assert answer.status_code == 422 and "sales.csv" in answer.json()["detail"]  # two of them have this base name
    names = [name for name in SAFE if not name.startswith("C:")]
    body, headers = form([name.encode() for name in names])
    answer = system.http.post("/schedule", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    wanted = [SAFE[name] for name in names]
    assert [upload["name"] for upload in answer.json()["uploads"]] == wanted
    job_id = answer.json()["job_id"]
    system.completed(job_id)
    records = system.zip(job_id).manifest["files"]
    assert sorted(record.get("original_name", record["path"]) for record in records) == sorted(
        f"workspace/{name}" for name in wanted
    )
    assert all(record["input"] and not record["changed"] for record in records)


REFUSED = [
    ([b""], "names no file"),
    ([b".."], "names no file"),
    ([b"a/.."], "names no file"),
    ([b"folder/"], "names no file"),
    ([b"   "], "names no file"),
    ([b"a\tb.csv"], "control characters"),
    ([b"a\x7fb.csv"], "control characters"),
    (["report\u202egpj.exe".encode()], "hide what it is"),
    (["a\u2028b".encode()], "hide what it is"),
    ([b"\xff\xfe.csv"], "not UTF-8"),
    (["ü".encode() * 128], "more than 255 bytes"),
    ([b".env"], "file of secrets"),
    ([b"x/.ENV"], "file of secrets"),
    ([b".env.production"], "file of secrets"),
    ([b"a.csv", b"b/a.csv"], "two files"),
    (["\u00fc".encode(), "u\u0308".encode()], "two files"),
]


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize(("names", "words"), REFUSED)
def test_a_name_that_cannot_be_made_safe_is_refused(parked: System, names: list[bytes], words: str) -> None:
    body, headers = form(names)
    problem(parked.http.post("/schedule", content=body, headers=headers), 422, "files: ", words)


# ── bounds, and forms that are wrong ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize(
    ("parts", "status", "words"),
    [
        ([("steps", None, TRUE), ("promt", None, "x")], 422, "promt: there is no such field"),
        ([("steps", None, TRUE), ("limits", None, "fast")], 422, "limits: is not valid JSON"),
        ([("steps", None, TRUE), ("limits", None, '{"seconds": "soon"}')], 422, "limits.seconds: "),
        ([("prompt", None, "x" * 100_001)], 422, "prompt: "),
        ([("prompt", "p.txt", "Hello world")], 422, "prompt: was sent as a file"),
        ([("steps", None, TRUE), ("files", None, "sales.csv")], 422, "-F files=@sales.csv"),
        ([("steps", None, TRUE), ("steps", None, TRUE)], 422, "steps: is given more than once"),
        ([("steps", None, "[" * 100_000)], 422, "steps: is not valid JSON"),
        ([("files", "a.csv", "1")], 422, "prompt, steps and template are missing"),
        ([("prompt", None, "Fix my printer"), ("files", "a.csv", "1")], 422, "No plan"),
        ([("steps", None, TRUE), ("check", None, "x" * (5 * 2**20))], 413, "beside its files"),
        ([("steps", None, TRUE), *[("files", f"{n}", "") for n in range(1001)]], 413, "1,000 files at most"),
        ([(f"f{n}", None, "") for n in range(25_000)], 413, "beside its files"),
    ],
)
def test_a_wrong_form_is_refused(
    parked: System, parts: list[tuple[str, str | None, str]], status: int, words: str
) -> None:
    files = [(name, (filename, text.encode())) for name, filename, text in parts]
    problem(parked.http.post("/schedule", files=files), status, words)


WHOLE, HEADERS = form([b"a.csv"])


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (WHOLE, "multipart/form-data", "names no boundary"),
        (WHOLE, "multipart/form-data; boundary=other", "could not be read"),
        (WHOLE[:-10], HEADERS["Content-Type"], "cut off"),
        (b"", HEADERS["Content-Type"], "cut off"),
        (b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n", HEADERS["Content-Type"], "no name"),
        (b"--b\r\nX: " + b"y" * 2**20 + b"\r\n\r\nx\r\n--b--\r\n", HEADERS["Content-Type"], "could not be read"),
        (b"junk", HEADERS["Content-Type"], "could not be read"),
    ],
)
def test_a_form_that_is_none_is_refused(parked: System, body: bytes, content_type: str, words: str) -> None:
    problem(parked.http.post("/schedule", content=body, headers={"Content-Type": content_type}), 400, words)


def test_more_than_max_upload_is_refused_and_leaves_nothing(make_parked: Callable[..., System]) -> None:
    system = make_parked(MAX_UPLOAD="1m").start()
    fits = post(system, [("a", b"x" * 2**19), ("b", b"x" * 2**19)])
    assert fits.status_code == 202
    too_much = [("a", b"x" * 2**19), ("b", b"x" * (2**19 + 1))]
    problem(post(system, too_much), 413, "1.0 MiB at most", "MAX_UPLOAD")
    body, headers = form([b"a"], b"x" * 2**21)
    problem(system.http.post("/schedule", content=iter([body]), headers=headers), 413, "MAX_UPLOAD")
    problem(system.http.post("/schedule", content=body + b" " * 2**23, headers=headers), 413, "MAX_UPLOAD")
    assert kept(system) == [fits.json()["job_id"]]


def test_where_the_disk_is_full_nothing_is_taken(make_system: Callable[..., System], small_disk: Path) -> None:
    system = make_system(AGENT_OUTPUT_DIR=str(small_disk / "jobs"), DISK_RESERVE="16m").start()
    problem(post(system, [("a", b"x" * 60 * 2**20)]), 507, "is full")
    assert kept(system) == []
    system.completed(submit(system, [("a", SALES)]))
    system.close()
    system.process = None


def test_who_goes_away_in_the_middle_leaves_nothing(parked: System) -> None:
    before = kept(parked)
    with nothing_stored(parked):
        with socket.create_connection(("127.0.0.1", parked.port)) as caller:
            head = f"POST /schedule HTTP/1.1\r\nHost: localhost\r\nContent-Type: {HEADERS['Content-Type']}\r\n"
            body, _ = form([b"a"], b"x" * 2 * 2**20)
            caller.sendall(f"{head}Content-Length: {len(body) + 1000}\r\n\r\n".encode() + body)
            until(lambda: kept(parked) != before, "the files are being written")
        until(lambda: kept(parked) == before, "they are removed")


def test_a_sudden_end_leaves_no_files_of_a_job_that_was_never_taken(make_parked: Callable[..., System]) -> None:
    system = make_parked().start()
    waiting = submit(system, [("a.csv", SALES)])
    never_taken = system.record / "0123456789abcdef" / "uploads"
    never_taken.mkdir(parents=True)
    (never_taken / "1").write_bytes(SALES)
    system.kill()
    system.start()
    until(lambda: kept(system) == [waiting], "what belongs to no job is removed")


# ── afterwards ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_retry_has_the_same_files_also_when_the_first_job_is_deleted(system: System) -> None:
    first = submit(system, [("a.csv", SALES)], "cat a.csv; echo changed > a.csv")
    system.completed(first)
    again = system.http.post(f"/jobs/{first}/retry").json()
    assert system.http.delete(f"/jobs/{first}").status_code == 204
    assert system.completed(again["job_id"])["uploads"][0]["name"] == "a.csv"
    assert system.output(again["job_id"]).encode() == SALES
    third = system.http.post(f"/jobs/{again['job_id']}/retry").json()["job_id"]
    system.completed(third)
    assert system.output(third).encode() == SALES


def test_files_that_have_expired_must_be_sent_again(make_system: Callable[..., System]) -> None:
    system = make_system(RETENTION_DAYS="0.0000001").start()
    job_id = submit(system, [("a.csv", SALES)])
    system.completed(job_id)
    system.stop()
    system.start()
    until(lambda: system.status(job_id)["expired"], "the job expires")
    problem(system.http.post(f"/jobs/{job_id}/retry"), 410, job_id, "Send them again")
    assert kept(system) == [] and len(system.http.get("/jobs").json()["jobs"]) == 1
