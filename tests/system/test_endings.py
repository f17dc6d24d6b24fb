"""Every ending of a job: there is a ZIP, it says what happened, and nothing goes on running."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.system import COUNTING, System, docker, touch, until

#: A job that ignores what can be ignored, daemons included, and shows that it lives.
STUBBORN = """
trap '' TERM INT HUP QUIT
echo kept > kept.txt
setsid bash -c "trap '' TERM INT HUP QUIT; while true; do date +%N > beat; done" &
echo ready
while true; do :; done
"""

FORK_BOMB = "echo kept > kept.txt; echo ready; bomb() { bomb | bomb & }; bomb; while true; do :; done"


def users_processes(name: str) -> list[str]:
    """What of a container's job lives, seen from the host; zombies do not."""
    try:
        listed = subprocess.run(
            ["docker", "top", name, "-eo", "pid,uid,stat,args"], check=True, capture_output=True, text=True
        ).stdout
    except subprocess.CalledProcessError:
        return []  # the container is gone
    found = []
    for line in listed.splitlines()[1:]:
        _, uid, stat, args = line.split(None, 3)
        if uid == "10001" and not stat.startswith("Z") and "agent.children.pack" not in args:
            found.append(args)
    return found


def sandbox(system: System, job: str) -> str:
    return f"containerized-agent-{system.status(job)['sandbox']}"


@pytest.mark.parametrize("script", [STUBBORN, FORK_BOMB], ids=["stubborn", "fork-bomb"])
def test_two_seconds_after_cancel_no_process_of_the_job_lives(system: System, script: str) -> None:
    job = system.shell(script)
    system.says(job, "ready")
    name = sandbox(system, job)
    until(lambda: users_processes(name), "the job runs")
    asked = time.monotonic()
    assert system.cancel(job).status_code == 200
    until(lambda: not users_processes(name), "no process lives")
    assert time.monotonic() - asked < 2
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("cancelled", None)
    artifact = system.zip(job)
    assert artifact.text("kept.txt") == "kept\n"
    assert artifact.manifest["status"] == "cancelled" and artifact.manifest["partial"]
    assert "ready" in artifact.output_log
    assert found["steps"][0]["status"] == "cancelled"


BEAT = "trap '' TERM INT; echo kept > kept.txt; echo ready; while :; do :; done"
PYTHON_BEAT = (
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "open('kept.txt', 'w').write('kept\\n')\nprint('ready', flush=True)\nwhile True:\n    pass\n"
)
WORKING: dict[str, dict[str, Any]] = {
    "python": {"steps": [{"kind": "python", "code": PYTHON_BEAT}]},
    "check": {"steps": [{"kind": "shell", "script": "true"}], "check": BEAT},
    "shell": {
        "steps": [
            {"kind": "shell", "script": BEAT.replace("echo ready; ", ""), "background": True},
            {"kind": "shell", "script": "until [ -e kept.txt ]; do sleep 0.01; done; echo ready; sleep 600"},
        ]
    },
}


@pytest.mark.parametrize("phase", WORKING)
def test_two_seconds_after_cancel_no_process_lives_in_whatever_phase_it_is(system: System, phase: str) -> None:
    job = system.submit(**WORKING[phase])
    system.says(job, "ready")
    assert system.status(job)["phase"] == phase
    name = sandbox(system, job)
    assert users_processes(name)
    asked = time.monotonic()
    system.cancel(job)
    until(lambda: not users_processes(name), "no process lives")
    assert time.monotonic() - asked < 2
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("cancelled", None)
    assert system.zip(job).text("kept.txt") == "kept\n"


def test_a_job_is_cancelled_while_it_is_packed_and_has_its_zip(make_system: Callable[..., System]) -> None:
    system = make_system(PACKAGE_SECONDS="4").start()
    job = system.shell("echo s > a-small; truncate -s 400G b-huge", limits={"zip": "64g"})
    until(lambda: system.status(job)["phase"] == "package", "it is packed")
    system.cancel(job)
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("cancelled", None)
    assert system.zip(job).text("a-small") == "s\n"


def test_cancel_in_every_phase_ends_in_cancelled_with_a_zip(system: System) -> None:
    """From the first moment on, in steps of some milliseconds; a job that had ended stays completed."""
    endings = set()
    for delay in (0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7):
        job = system.submit(
            steps=[{"kind": "file", "path": "a", "content": "a"}, {"kind": "python", "code": "print(1)"}], check="true"
        )
        time.sleep(delay)  # the moment is what is tried here, nothing waits for it
        answer = system.cancel(job)
        assert answer.status_code == 200
        found = system.ended(job)
        endings.add(found["status"])
        artifact = system.zip(job)
        assert artifact.manifest["status"] == found["status"]
        finals = [event for event in system.events(job) if event["event"] in ("completed", "failed", "cancelled")]
        assert len(finals) == 1
    assert "cancelled" in endings and endings <= {"cancelled", "completed"}
    until(lambda: not system.containers(), "all sandboxes are removed")


def test_cancel_of_a_waiting_job_gives_a_zip_of_report_and_manifest(make_system: Callable[..., System]) -> None:
    system = make_system(MAX_CONCURRENT_JOBS="1").start()
    first = system.shell("echo ready; sleep 600")
    system.says(first, "ready")
    waiting = system.shell("echo never")
    found = system.cancel(waiting).json()
    assert found["status"] == "cancelled"
    artifact = system.zip(waiting)
    assert set(artifact.namelist()) == {"report.md", "manifest.json", "SHA256SUMS", "output.log", "session.ipynb"}
    assert artifact.manifest["partial"] and "container" in artifact.left_out["."]
    assert system.cancel(waiting).json() == found
    system.cancel(first)
    system.ended(first)


def test_a_time_limit_of_a_step_kills_it(system: System) -> None:
    job = system.submit(
        steps=[{"kind": "shell", "script": STUBBORN, "seconds": 1}, {"kind": "shell", "script": "touch never"}]
    )
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "timed_out")
    assert "1 s" in found["detail"]
    assert [step["status"] for step in found["steps"]] == ["failed", "skipped"]
    assert "kept.txt" in system.zip(job).paths


def test_the_time_limit_of_a_job_is_for_all_its_steps(system: System) -> None:
    steps = [{"kind": "shell", "script": f"touch {i}; sleep 0.7"} for i in range(5)]
    job = system.submit(steps=steps, limits={"seconds": 1.5})
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "timed_out")
    assert {"0", "1"} <= system.zip(job).paths < {"0", "1", "2", "3", "4"}


def test_a_check_that_never_ends_is_timed_out(system: System) -> None:
    found = system.run(steps=[{"kind": "shell", "script": "true"}], check="sleep 600", limits={"seconds": 1})
    assert (found["status"], found["reason"]) == ("failed", "timed_out")


def test_a_job_that_uses_up_its_memory_is_out_of_memory(system: System) -> None:
    code = "open('kept', 'w').write('k')\nprint('ready', flush=True)\nx = []\nwhile True: x.append(bytearray(1 << 20))"
    job = system.python(code, limits={"memory": "128m"})
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "out_of_memory")
    assert "limits.memory" in found["detail"]
    assert system.zip(job).text("kept") == "k"


def test_a_child_killed_for_memory_does_not_fail_a_job_that_copes(system: System) -> None:
    eater = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    script = f"python -c '{eater}' || echo coped > coped.txt"
    job = system.shell(script, limits={"memory": "128m"}, outputs=["coped.txt"])
    system.completed(job)


def test_a_file_system_in_memory_that_is_full_does_not_hold_up_the_ending(system: System) -> None:
    script = "echo kept > kept.txt; head -c 1G /dev/zero > /dev/shm/full || true; exit 3"
    job = system.shell(script, limits={"memory": "96m"})
    found = system.ended(job)
    assert found["status"] == "failed" and found["artifact"]
    assert system.zip(job).text("kept.txt") == "kept\n"


def test_an_agent_that_is_killed_for_memory_is_out_of_memory(system: System) -> None:
    """Its steps offer themselves to the kernel before it; from outside that is turned round."""
    eater = "python -c 'x = []\nwhile True: x.append(bytearray(1 << 20))'"
    script = f"echo kept > kept.txt; echo ready; until [ -e /tmp/go ]; do sleep 0.05; done; {eater}"
    job = system.shell(script, limits={"memory": "128m"})
    system.says(job, "ready")
    name = sandbox(system, job)
    for line in docker("top", name, "-eo", "pid,args").splitlines()[1:]:
        pid, args = line.split(None, 1)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a sleep that has ended
            score = "1000" if args.startswith("/opt/agent") else "0"
            Path(f"/proc/{pid}/oom_score_adj").write_text(score)
    touch(name, "/tmp/go")
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "out_of_memory")
    assert "The container's memory was used up" in found["detail"] and "limits.memory" in found["detail"]
    artifact = system.zip(job)
    assert artifact.text("kept.txt") == "kept\n" and artifact.manifest["salvaged"]


@pytest.mark.parametrize(
    ("line", "memory", "packs"),
    [("an ordinary line of a log", "64m", False), ("处理请求完成用时十二毫秒", "80m", True)],
    ids=["64m", "80m"],
)
def test_a_job_that_prints_much_is_completed_in_little_memory(
    system: System, line: str, memory: str, packs: bool
) -> None:
    """Its documents go through its container. Where there is no room for them, the ZIP is made of what is left."""
    code = f"line = {line!r}\nfor _ in range(1_000_000 // len(line.encode())): print(line)"
    steps = [{"kind": "shell", "script": f"python - <<'END'\n{code}\nEND"}] * 9
    job = system.submit(
        steps=[*steps, {"kind": "shell", "script": "echo result > out.txt"}],
        outputs=["out.txt"],
        check="test -s out.txt",
        limits={"memory": memory},
    )
    assert not system.completed(job)["artifact"]["partial"]
    artifact = system.zip(job)
    assert artifact.text("out.txt") == "result\n" and len(artifact.output_log.encode()) > 8_000_000
    assert not (packs and "salvaged" in artifact.manifest)


@pytest.mark.parametrize("victim", ["agent", "container"])
def test_the_zip_is_there_when_the_agent_was_killed(system: System, victim: str) -> None:
    make = "mkdir -p a/b empty .cache node_modules/x; touch .cache/named node_modules/x/y; ln -s a/b/kept.txt link"
    make += "; python -m venv --without-pip env"
    job = system.shell(f"{make}; echo kept > a/b/kept.txt; echo ready; sleep 600", outputs=[".cache/named"])
    system.says(job, "ready")
    name = sandbox(system, job)
    if victim == "agent":
        top = docker("top", name, "-eo", "pid,args")
        pid = next(int(line.split()[0]) for line in top.splitlines() if line.split(None, 1)[1].startswith("/opt/agent"))
        os.kill(pid, 9)
    else:
        docker("kill", name)
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "agent_lost")
    assert "exit code 137" in found["detail"] and "shell" in found["detail"]
    assert found["steps"][0]["status"] == "failed" and found["timings"]["working"] > 0
    artifact = system.zip(job)
    assert artifact.text("a/b/kept.txt") == "kept\n"
    assert artifact.manifest["salvaged"] and artifact.manifest["partial"]
    assert artifact.getinfo("workspace/link").external_attr >> 28 == 0o12
    assert artifact.paths == {"a/b/kept.txt", ".cache/named", "link", "empty/", "a/", "a/b/", ".cache/"}
    assert artifact.left_out == {"env": "junk: a virtual environment", "node_modules": "junk: node_modules"}
    assert (found["artifact"]["files"], found["artifact"]["left_out"]) == (2, 0)  # as if the agent had packed it
    assert "ready" in artifact.output_log
    until(lambda: name not in system.containers(), "the sandbox is removed")


def test_a_removed_container_leaves_report_and_manifest(system: System) -> None:
    job = system.shell("echo ready; sleep 600")
    system.says(job, "ready")
    docker("rm", "-f", sandbox(system, job))
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "agent_lost")
    assert "gone" in found["detail"]
    artifact = system.zip(job)
    assert "ready" in artifact.output_log and "agent_lost" in artifact.report
    assert "gone" in artifact.left_out["."]


def test_an_agent_that_is_frozen_ends_at_cancel_all_the_same(system: System) -> None:
    job = system.shell("echo kept > kept.txt; echo ready; sleep 600")
    system.says(job, "ready")
    name = sandbox(system, job)
    top = docker("top", name, "-eo", "pid,args")
    pid = next(int(line.split()[0]) for line in top.splitlines() if line.split(None, 1)[1].startswith("/opt/agent"))
    os.kill(pid, 19)  # SIGSTOP
    asked = time.monotonic()
    system.cancel(job)
    until(lambda: not users_processes(name), "no process lives")
    assert time.monotonic() - asked < 2
    assert system.ended(job)["status"] == "cancelled"
    assert system.zip(job).text("kept.txt") == "kept\n"


def test_past_the_zip_limit_the_largest_files_are_left_out(system: System) -> None:
    script = (
        "echo small > small.txt; head -c 3000000 /dev/urandom > large.bin; head -c 200000 /dev/urandom > medium.bin"
    )
    job = system.shell(script, limits={"zip": "1m"}, outputs=["small.txt"])
    found = system.completed(job)
    assert found["artifact"]["partial"] and found["artifact"]["left_out"] == 1
    artifact = system.zip(job)
    assert artifact.paths == {"small.txt", "medium.bin"}
    assert "limit" in artifact.left_out["large.bin"]


def test_a_declared_output_that_does_not_fit_fails_the_job(system: System) -> None:
    script = "echo small > small.txt; head -c 3000000 /dev/urandom > large.bin"
    job = system.shell(script, limits={"zip": "1m"}, outputs=["*.bin"])
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "zip_too_big")
    assert "large.bin" in found["detail"] and "limits.zip" in found["detail"]
    assert system.zip(job).text("small.txt") == "small\n"


def test_odd_names_large_files_and_many_files_are_handled(system: System) -> None:
    """One job with what the workspace can hold; ``tests/unit/test_packing.py`` has each by itself."""
    code = """
import os
for name in ['with space', 'ünïcode ☃', 'new\\nline', '.hidden', '-dash', 'back\\\\slash', 'a' * 200]:
    open(name, 'w').write(name)
open(b'\\xff\\xfe', 'w').write('bytes')
os.makedirs('empty/inner')
os.symlink('/etc/passwd', 'outside'); os.symlink('with space', 'inside'); os.symlink('nowhere', 'dangling')
open('secret', 'w').write('x'); os.chmod('secret', 0)
os.mkfifo('fifo')
os.makedirs('node_modules/x'); open('node_modules/x/y', 'w').write('y')
with open('sparse', 'wb') as f: f.truncate(1 << 30)
os.mkdir('many')
for i in range(20_000): open(f'many/{i}', 'w').write(str(i))
"""
    job = system.python(code, limits={"zip": "2g"})
    found = system.ended(job, 120)
    assert found["status"] == "completed", found
    path = system.folder / "odd.zip"
    with system.http.stream("GET", f"/download/{job}") as answer, open(path, "wb") as out:
        for block in answer.iter_bytes():
            out.write(block)
    target = system.folder / "odd"
    subprocess.run(["unzip", "-q", str(path), "-d", str(target)], check=True)
    check = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=target, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout[-2000:]
    workspace = target / "workspace"
    assert (workspace / "ünïcode ☃").read_text() == "ünïcode ☃"
    assert (workspace / "new%0Aline").read_text() == "new\nline"
    assert (workspace / "sparse").stat().st_size == 1 << 30
    assert len(list((workspace / "many").iterdir())) == 20_000
    assert (workspace / "empty/inner").is_dir()
    assert Path(os.readlink(workspace / "outside")) == Path("/etc/passwd")
    listed = json.loads((target / "manifest.json").read_text())["left_out"]
    left_out = {entry["path"].removeprefix("workspace/"): entry["reason"] for entry in listed}
    assert "ermission denied" in left_out["secret"]
    assert left_out["fifo"] == "not a regular file"
    assert left_out["node_modules"].startswith("junk")
    subprocess.run(["rm", "-rf", str(target), str(path)], check=True)


def test_packaging_that_takes_too_long_is_cut_and_says_so(make_system: Callable[..., System]) -> None:
    system = make_system(PACKAGE_SECONDS="2").start()
    code = "open('a-small', 'w').write('s')\nwith open('b-huge', 'wb') as f: f.truncate(400 << 30)"
    job = system.python(code, limits={"zip": "64g"})
    found = system.ended(job)
    assert found["artifact"]["partial"]
    assert system.zip(job).text("a-small") == "s"


def test_saving_what_is_left_of_a_killed_container_is_cut_too(make_system: Callable[..., System]) -> None:
    system = make_system(PACKAGE_SECONDS="2").start()
    job = system.shell("echo s > a-small; truncate -s 8T b-huge; echo ready; sleep 600")
    system.says(job, "ready")
    begun = time.monotonic()
    docker("kill", f"containerized-agent-{system.status(job)['sandbox']}")
    found = system.ended(job)
    assert time.monotonic() - begun < 30
    assert (found["reason"], found["artifact"]["partial"]) == ("agent_lost", True)
    assert system.zip(job).left_out


def test_a_full_disk_is_said_and_nothing_else_is_lost(make_system: Callable[..., System], small_disk: Path) -> None:
    system = make_system(AGENT_OUTPUT_DIR=str(small_disk / "jobs"), DISK_RESERVE="16m").start()
    job = system.shell("head -c 80000000 /dev/urandom > large; echo done")
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "disk_full")
    assert "DISK_RESERVE" in found["detail"]
    assert "done" in system.zip(job).output_log
    (small_disk / "filler").write_bytes(b"x" * 52 * 2**20)
    waiting = system.shell("echo later")
    until(lambda: system.status(waiting)["waiting_for"] == "disk", "the job waits for room")
    assert system.http.get("/health").status_code == 503
    (small_disk / "filler").unlink()
    system.completed(waiting)
    system.close()
    system.process = None


def test_the_manifests_plan_can_be_submitted_again_as_it_is(system: System) -> None:
    job = system.submit(**COUNTING)
    system.completed(job)
    plan = system.zip(job).manifest["plan"]
    again = system.submit(**plan)
    system.completed(again)
    assert system.zip(again).manifest["plan"] == plan
