"""Secrets that come with a job: who finds them, where they are kept, when they go, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from protocol.redaction import FIXED
from tests.support.answers import nothing_stored, problem
from tests.support.system import NO_ENGINE, System, docker, until

TOKEN = "tok-Kq4/Zw+9s=Lm2 #7"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nq7Tz8sdGh3Kj5Lm9\n-----END PRIVATE KEY-----\n"
SECRETS = {"TOKEN": TOKEN, "DEPLOY_KEY": PEM}
SUM = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in SECRETS.items()}
SHOW = 'printf %s "$TOKEN" | sha256sum; printf %s "$DEPLOY_KEY" | sha256sum\n'
LOOK = """
import hashlib, os
for name in ("TOKEN", "DEPLOY_KEY"):
    print(hashlib.sha256(os.environ[name].encode()).hexdigest(), " -")
"""
BOTH = f"{SUM['TOKEN']}  -\n{SUM['DEPLOY_KEY']}  -\n"


def everywhere(system: System) -> dict[str, bytes]:
    """All that is on disk of a system, its log included."""
    places = {str(path): path.read_bytes() for path in system.record.rglob("*") if path.is_file()}
    return {**places, "log": system.log.read_bytes()}


def lines_of(value: str) -> list[bytes]:
    return [value.encode(), *(line.encode() for line in value.splitlines() if "PRIVATE" not in line)]


def sealed(system: System) -> list[str]:
    """The jobs whose secrets are kept."""
    return [path.parent.name for path in system.record.glob("*/secrets")]


# ── who finds them ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_step_its_children_and_the_check_find_them(system: System) -> None:
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {LOOK!r}], check=True)"
    job = system.submit(
        steps=[
            {"kind": "shell", "script": SHOW + "sleep 600", "background": True},
            {"kind": "shell", "script": SHOW},
            {"kind": "python", "code": LOOK},
            {"kind": "python", "code": child},
            {"kind": "file", "path": "look.py", "content": LOOK},
            {"kind": "python", "file": "look.py"},
        ],
        check=SHOW,
        secrets=SECRETS,
    )
    system.completed(job)
    for step in (0, 1, 2, 3, 4, 6):
        assert system.output(job, step) == BOTH, step


def test_they_come_with_a_form_too(system: System) -> None:
    files = [
        ("steps", (None, json.dumps([{"kind": "shell", "script": SHOW}]))),
        ("secrets", (None, json.dumps(SECRETS))),
        ("files", ("a.txt", b"a")),
    ]
    job = system.http.post("/schedule", files=files).json()["job_id"]
    system.completed(job)
    assert system.output(job) == BOTH


def test_a_neighbour_and_the_container_itself_have_nothing_of_them(system: System) -> None:
    job = system.shell("echo READY; sleep 600", secrets=SECRETS)
    system.says(job, "READY")
    name = f"containerized-agent-{system.status(job)['sandbox']}"
    other = system.completed(system.shell("env"))["job_id"]
    told = [docker("inspect", name), docker("logs", name), docker("exec", name, "env"), docker("top", name)]
    told += [system.output(other), json.dumps(system.status(job)), system.http.get("/jobs").text]
    for value in SECRETS.values():
        assert not [place for place in told for line in lines_of(value) if line.decode() in place]
    assert system.status(job)["secrets"] == ["DEPLOY_KEY", "TOKEN"]
    system.cancel(job)


# ── where they are kept, and when they go ────────────────────────────────────────────────────────────────────────────


def test_what_is_kept_is_encrypted_and_ours_alone(parked: System) -> None:
    job = parked.shell("true", secrets=SECRETS)
    assert job in sealed(parked)
    for path in (parked.record / "secrets.key", parked.record / job / "secrets"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    texts = [*lines_of(TOKEN), *lines_of(PEM), base64.b64encode(TOKEN.encode())]
    assert not [place for place, content in everywhere(parked).items() for text in texts if text in content]
    parked.cancel(job)
    assert parked.status(job)["status"] == "cancelled" and job not in sealed(parked)


@pytest.mark.parametrize("ending", ["completed", "failed", "timed_out", "cancelled", "agent_lost"])
def test_they_are_gone_when_the_job_has_ended(system: System, ending: str) -> None:
    script = {"completed": "true", "failed": "exit 3"}.get(ending, "echo READY; sleep 600")
    job = system.shell(script, secrets=SECRETS, limits={"seconds": 1 if ending == "timed_out" else 60})
    if ending in ("cancelled", "agent_lost"):
        system.says(job, "READY")
        assert job in sealed(system)
        if ending == "cancelled":
            system.cancel(job)
        else:
            docker("kill", f"containerized-agent-{system.status(job)['sandbox']}")
    found = system.ended(job)
    assert ending in (found["status"], found["reason"]) and job not in sealed(system)
    assert found["secrets"] == ["DEPLOY_KEY", "TOKEN"]


def test_kill_9_loses_none_and_leaves_none(make_system: Callable[..., System]) -> None:
    system = make_system(MAX_CONCURRENT_JOBS="1").start()
    first = system.shell("echo READY; sleep 3; " + SHOW, secrets=SECRETS)
    second = system.shell(SHOW, secrets=SECRETS)
    system.says(first, "READY")
    system.kill()
    system.start()
    for job in (first, second):
        system.completed(job)
        assert system.output(job).endswith(BOTH)
    assert not sealed(system)
    # as a sudden end between two of our own steps leaves it: of a job that has ended, and of one never taken
    system.kill()
    for job in (first, "0123456789abcdef"):
        (system.record / job).mkdir(exist_ok=True)
        (system.record / job / "secrets").write_bytes(b"x")
    system.start()
    until(lambda: not sealed(system), "what is left over is removed")
    assert not (system.record / "0123456789abcdef").exists() and system.zip(first)


def test_a_key_that_is_gone_ends_who_needs_it_and_no_one_else(make_system: Callable[..., System]) -> None:
    system = make_system(DOCKER_HOST=NO_ENGINE).start()
    job = system.shell("true", secrets=SECRETS)
    other = system.shell("true")
    system.kill()
    (system.record / "secrets.key").unlink()
    del system.settings["DOCKER_HOST"]
    system.start()
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "secrets_lost") and "another key" in found["detail"]
    system.completed(other)
    assert system.zip(job).manifest["partial"] and not sealed(system)


def test_a_key_that_is_none_stops_the_start(make_system: Callable[..., System]) -> None:
    system = make_system()
    system.record.mkdir()
    (system.record / "secrets.key").write_text("mine")
    system.launch()
    assert system.process and system.process.wait(30) == 1
    assert "secrets.key is no key" in system.log.read_text()


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────

WRONG: list[tuple[Any, str]] = [
    ({"PATH": TOKEN}, "PATH"),
    ({"LD_PRELOAD": TOKEN}, "LD_PRELOAD"),
    ({"PYTHONPATH": TOKEN}, "PYTHONPATH"),
    ({"BASH_ENV": TOKEN}, "BASH_ENV"),
    ({"HOME": TOKEN}, "HOME"),
    ({"JOB_ID": TOKEN}, "JOB_ID"),
    ({"SECONDS": TOKEN}, "SECONDS"),
    ({"9LIVES": TOKEN}, "environment variable"),
    ({"MY-TOKEN": TOKEN}, "environment variable"),
    ({"": TOKEN}, "environment variable"),
    ({"X" * 65: TOKEN}, "environment variable"),
    ({"TOKEN": ""}, "TOKEN has no value"),
    ({"TOKEN": "ab12 "}, "fewer than 6 characters"),
    ({"TOKEN": "with\0nul"}, "no environment variable"),
    ({"TOKEN": 1234567}, "must be a string"),
    ({"TOKEN": None}, "must be a string"),
    ({"TOKEN": {"a": TOKEN}}, "must be a string"),
    ({"TOKEN": "secret"}, "part of the mark"),
    ({"TOKEN": "x" * 16_385}, "16,384 bytes"),
    ({f"T{n}": "x" * 16_000 + str(n) for n in range(5)}, "the values together"),
    ({f"T{n}": TOKEN for n in range(33)}, "at most 32 secrets, not 33"),
    (TOKEN, "JSON object"),
    ([TOKEN], "JSON object"),
]


@pytest.mark.parametrize(("secrets", "words"), WRONG)
def test_what_cannot_be_a_secret_is_refused_and_shows_no_value(parked: System, secrets: Any, words: str) -> None:
    with nothing_stored(parked):
        body = {"steps": [{"kind": "shell", "script": "true"}], "secrets": secrets}
        answer = parked.http.post("/schedule", json=body)
        found = problem(answer, 422, words)
        assert [error["field"] for error in found["errors"]] == ["secrets"]
        assert TOKEN not in answer.text and "x" * 100 not in answer.text and "1234567" not in answer.text
    assert TOKEN not in parked.log.read_text()


def test_a_value_in_the_place_of_a_name_or_beside_an_error_is_not_shown(parked: System) -> None:
    for body in (
        {"prompt": "x", "secrets": {TOKEN: "TOKEN"}},
        {"prompt": "x", "secrets": {"TOKEN": TOKEN}, "limits": {"seconds": -1}},
        {"prompt": "x", "secrets": {"TOKEN": TOKEN, "PATH": TOKEN}},
        {"secrets": {"TOKEN": TOKEN}},
        {"prompt": "free text that needs a model", "secrets": {"TOKEN": TOKEN}},
        {"prompt": "x", "secret": {"TOKEN": TOKEN}},
    ):
        with nothing_stored(parked):
            answer = parked.http.post("/schedule", json=body)
            assert answer.status_code == 422 and TOKEN not in answer.text
    form = {"secrets": (None, "{" + TOKEN), "prompt": (None, "x")}
    answer = parked.http.post("/schedule", files=form)
    assert answer.status_code == 422 and "not JSON" in answer.text and TOKEN not in answer.text
    assert TOKEN not in parked.log.read_text() and not list(parked.record.glob("*/secrets"))


BASIC = base64.b64encode(b"user:" + TOKEN.encode()).decode()
IN_CLEAR: list[tuple[str, dict[str, Any]]] = [
    ("prompt", {"prompt": f"Upload it with {TOKEN}"}),
    ("steps", {"steps": [{"kind": "shell", "script": f"curl -H 'X: {TOKEN}' example.org"}]}),
    ("steps", {"steps": [{"kind": "file", "path": "a", "content": BASIC}]}),
    ("steps", {"steps": [{"kind": "shell", "script": "true", "title": TOKEN}]}),
    ("check", {"check": f"echo '{TOKEN}'"}),
    ("labels", {"labels": {"token": TOKEN}}),
    *(("labels", {"labels": {word: TOKEN}}) for word in sorted(FIXED)),
    ("inputs", {"steps": None, "template": "fibonacci", "inputs": {"status": TOKEN}}),
    ("outputs", {"outputs": [f"x/{TOKEN}"]}),
    ("steps", {"steps": [{"kind": "python", "code": "key = '''" + PEM.splitlines()[1] + "'''"}]}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "body"), IN_CLEAR)
def test_a_value_that_stands_elsewhere_in_the_request_is_refused(
    parked: System, field: str, body: dict[str, Any]
) -> None:
    steps = [{"kind": "shell", "script": "true"}]
    with nothing_stored(parked):
        answer = parked.http.post("/schedule", json={"steps": steps, **body, "secrets": SECRETS})
        found = problem(answer, 422, "contains the value of", "from the environment")
        assert [error["field"] for error in found["errors"]] == [field] and TOKEN not in answer.text
    assert TOKEN not in parked.log.read_text()


def test_a_file_that_is_called_like_a_value_is_refused(parked: System) -> None:
    files = [
        ("steps", (None, '[{"kind": "shell", "script": "true"}]')),
        ("secrets", (None, '{"TOKEN": "hunter2-hunter2"}')),
        ("files", ("hunter2-hunter2.txt", b"a")),
    ]
    with nothing_stored(parked):
        problem(parked.http.post("/schedule", files=files), 422, "files: contains the value of TOKEN")
    assert not list(parked.record.glob("*/uploads"))


WORDS = ["python", "completed", "number", "detail", "workspace", "package", "output", "step_ended", "output_bytes"]
WORDS += ["packed", "sha256", "events", "secrets_found", "manifest", "documents", "exit_code", "result", "display"]


def test_a_value_that_is_a_word_of_ours_harms_nobody(system: System) -> None:
    steps = [{"kind": "python", "code": "print('hello')\nopen('a', 'w').write('x')\n1 + 1"}]
    secrets = {f"WORD_{number}": word for number, word in enumerate(WORDS)}
    found = system.run(steps=steps, secrets=secrets, outputs=["a"], network="none")
    assert found["status"] == "completed", found
    assert system.zip(found["job_id"]).manifest["steps"][0]["kind"] == "python"
    assert found["artifact"]["files"] == 1 and system.output(found["job_id"]) == "hello\n"
    failed = system.run(steps=[{"kind": "shell", "script": "exit 3"}], secrets=secrets)
    assert (failed["status"], failed["reason"]) == ("failed", "step_failed")


# ── again ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_retry_must_give_them_again(system: System) -> None:
    job = system.shell(SHOW, secrets=SECRETS)
    system.completed(job)
    plain = system.completed(system.shell("true"))["job_id"]
    with nothing_stored(system):
        for body, words in (
            (None, "DEPLOY_KEY, TOKEN again"),
            ({}, "DEPLOY_KEY, TOKEN again"),
            ({"secrets": {"TOKEN": TOKEN}}, "send DEPLOY_KEY again"),
            ({"secrets": {**SECRETS, "MORE": TOKEN}}, "had no secret MORE"),
            ({"secrets": {**SECRETS, "TOKEN": "ab"}}, "fewer than 6"),
            ({"secrets": {**SECRETS, "TOKEN": "sha256sum"}}, "steps: contains the value of TOKEN"),
            ({"prompt": "another"}, "no such field"),
        ):
            answer = system.http.post(f"/jobs/{job}/retry", json=body)
            problem(answer, 422, words)
            assert TOKEN not in answer.text
        problem(system.http.post(f"/jobs/{plain}/retry", json={"secrets": SECRETS}), 422, "it had: none")
        assert system.http.post(f"/jobs/{job}/retry", content=b"{").status_code == 400
    # as curl -d sends it
    answer = system.http.post(
        f"/jobs/{job}/retry",
        content=json.dumps({"secrets": SECRETS}),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    again = answer.json()["job_id"]
    assert answer.status_code == 202 and TOKEN not in answer.text
    system.completed(again)
    assert system.output(again) == BOTH and not sealed(system)


def test_the_plan_in_the_manifest_names_them_and_can_be_posted_again(system: System) -> None:
    first = system.shell(SHOW, secrets=SECRETS)
    system.completed(first)
    artifact = system.zip(first)
    assert artifact.manifest["secrets"] == ["DEPLOY_KEY", "TOKEN"]
    plan = artifact.manifest["plan"]
    assert plan["secrets"] == {"DEPLOY_KEY": "", "TOKEN": ""}
    problem(system.http.post("/schedule", json=plan), 422, "DEPLOY_KEY has no value")
    command = next(line for line in artifact.report.splitlines() if line.startswith("jq "))
    script = command.replace("curl ", "curl -s ")
    folder = system.folder / "again"
    folder.mkdir()
    artifact.extract("manifest.json", folder)
    run = subprocess.run(
        ["bash", "-c", script], cwd=folder, env={**os.environ, **SECRETS}, capture_output=True, text=True
    )
    again = json.loads(run.stdout)["job_id"]
    system.completed(again)
    assert system.output(again) == BOTH
    assert system.zip(again).manifest["plan"] == plan
