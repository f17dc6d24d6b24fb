"""The output of a job as text: in its status, and as a log; and exit codes for scripts that use curl."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.answers import nothing_stored, problem
from tests.support.steps import python, shell
from tests.support.system import System, docker, until
from tests.support.viewing import GATE, container, go_on

SECRET = "s3cret-of-the-tests"


def curl(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run curl as a user does, with a path instead of the last argument's address."""
    *options, path = arguments
    return subprocess.run(
        ["curl", "-sS", *options, f"{system.http.base_url}{path}"], capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def three_steps(system: System) -> str:
    """A job with three steps that print, a value, a progress bar, and a check."""
    steps = [
        shell("echo one; echo two", title="First"),
        python("import sys\nprint('three', end='')\nprint(' err', file=sys.stderr)\n21 * 2", title="Second"),
        shell(r"printf '10%%\r100%%'", title="Third"),
    ]
    job = system.submit(steps=steps, check="echo checked")
    system.completed(job)
    return job


#: The log of that job up to the name of its check.
THREE = (
    "=== step 1: First ===\none\ntwo\n=== step 2: Second ===\nthree err\n42\n"
    "=== step 3: Third ===\n10%\r100%\n=== check: "
)


# ── the status ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_can_be_read_at_either_address(system: System, three_steps: str) -> None:
    answers = [system.http.get(f"/{where}/{three_steps}").json() for where in ("jobs", "status")]
    assert answers[0] == answers[1] and answers[0]["status"] == "completed"
    problem(system.http.get("/jobs/0123456789abcdef"), 404, "There is no job")
    problem(system.http.get(f"/jobs/{three_steps}?wiat=3"), 422, "wiat: unknown parameter")


def test_the_status_has_the_end_of_each_steps_output(system: System, three_steps: str) -> None:
    found = system.status(three_steps)
    assert [step["output_tail"] for step in found["steps"]] == ["one\ntwo\n", "three err\n42\n", "100%"]
    assert found["check"]["output_tail"] == "checked\n"


def test_one_call_goes_from_a_prompt_to_the_answer(system: System) -> None:
    body = json.dumps({"prompt": "```python\nprint(6 * 7)\n```"})
    answer = curl(system, "-d", body, "/schedule?wait=60")
    assert json.loads(answer.stdout)["steps"][0]["output_tail"] == "42\n"


def test_the_status_has_output_while_the_step_runs(system: System) -> None:
    job = system.shell(f"{GATE}; echo more")
    until(lambda: system.status(job)["steps"][0]["output_tail"] == "ready\n", "the status has the output")
    go_on(system, job)
    assert system.completed(job)["steps"][0]["output_tail"] == "ready\nmore\n"


def test_of_long_output_the_status_has_the_end(system: System) -> None:
    job = system.shell("seq 100000; echo end")
    (step,) = system.completed(job)["steps"]
    assert len(step["output_tail"]) == 2000 and step["output_tail"].endswith("\n100000\nend\n")
    assert step["output_bytes"] > 500_000


@pytest.mark.parametrize("text", ["a\0b", "\U0001f600 ü", "\x1b[31mred\x1b[0m", "'; DROP TABLE step; --"])
def test_any_output_is_told_as_it_is(system: System, text: str) -> None:
    job = system.python(f"print({text!r})")
    assert system.completed(job)["steps"][0]["output_tail"] == f"{text}\n"
    assert system.http.get(f"/jobs/{job}/log").text == f"{text}\n"


def test_a_secret_is_in_neither_the_status_nor_the_log(system: System) -> None:
    pieces = 'printf %s "${TOKEN:0:7}"; sleep 0.3; echo "${TOKEN:7}"'
    script = f'{pieces}; printf %s "$TOKEN" | base64; false'
    job = system.shell(script, secrets={"TOKEN": SECRET})
    found = system.ended(job)
    log = f"/jobs/{job}/log"
    for text in (json.dumps(found), system.http.get(log).text, curl(system, f"{log}?follow").stdout):
        assert SECRET not in text and "czNjcmV0" not in text
        assert "[secret TOKEN]" in text
    assert "czNjcmV0" not in curl(system, "-r", "0-1000", log).stdout


# ── the log ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_log_has_the_output_of_all_steps_with_headings(system: System, three_steps: str) -> None:
    answer = system.http.get(f"/jobs/{three_steps}/log")
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith(THREE) and answer.text.endswith(" ===\nchecked\n")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert system.status(three_steps)["links"]["log"] == f"/jobs/{three_steps}/log"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("step=1", "one\ntwo\n"),
        ("step=2", "three err\n42\n"),
        ("step=3", "10%\r100%"),
        ("step=check", "checked\n"),
        ("step=1&tail=1", "two\n"),
        ("step=1&tail=2", "one\ntwo\n"),
        ("step=1&tail=99", "one\ntwo\n"),
        ("step=1&tail=0", ""),
        ("step=3&tail=1", "10%\r100%"),
        ("tail=1", "checked\n"),
        ("step=1&follow=true", "one\ntwo\n"),
        ("step=1&tail=1&follow", "two\n"),
        ("tail=1&follow=true", "checked\n"),
        ("step=3&follow=false", "10%\r100%"),
    ],
)
def test_the_log_can_be_of_one_step_and_of_the_last_lines(
    system: System, three_steps: str, query: str, text: str
) -> None:
    answer = system.http.get(f"/jobs/{three_steps}/log?{query}")
    assert (answer.status_code, answer.text) == (200, text)


def test_the_log_of_a_single_step_is_its_output_and_nothing_else(system: System) -> None:
    job = system.shell("echo 42")
    system.completed(job)
    assert curl(system, f"/jobs/{job}/log").stdout == "42\n"


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("step=4", 404, "has no step 4; it has steps 1 to 3, and a check."),
        ("step=0", 404, "has no step 0"),
        ("step=first", 422, "step: must match the pattern"),
        ("step=-1", 422, "step: must match the pattern"),
        ("tail=-1", 422, "tail: must be at least 0, not '-1'"),
        ("tail=many", 422, "tail: must be an integer, not 'many'"),
        ("follow=perhaps", 422, "follow: must be true or false, not 'perhaps'"),
        ("lines=3", 422, "lines: unknown parameter. This call accepts: follow, step, tail."),
    ],
)
def test_a_wrong_question_to_the_log_is_refused(
    system: System, three_steps: str, query: str, status: int, words: str
) -> None:
    problem(system.http.get(f"/jobs/{three_steps}/log?{query}"), status, words)


def test_ranges_of_the_log_are_those_of_http(system: System) -> None:
    job = system.shell("printf 0123456789")
    system.completed(job)
    path = f"/jobs/{job}/log"
    for wanted, text, part in (
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=0-999", "0123456789", "bytes 0-9/10"),
        ("bytes=-999", "0123456789", "bytes 0-9/10"),
    ):
        answer = system.http.get(path, headers={"Range": wanted})
        assert (answer.status_code, answer.text, answer.headers["content-range"]) == (206, text, part), wanted
    for wanted in ("bytes=10-", "bytes=-0"):
        answer = system.http.get(path, headers={"Range": wanted})
        problem(answer, 416, "10 bytes")
        assert answer.headers["content-range"] == "bytes */10"
    problem(system.http.get(path, headers={"Range": "bytes=4-2"}), 400, "malformed")
    assert system.http.get(path, headers={"Range": "lines=1-2"}).status_code == 200
    whole = system.http.get(path)
    head = system.http.head(path)
    assert head.content == b"" and head.headers["content-length"] == "10" and head.headers["accept-ranges"] == "bytes"
    assert system.http.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


def test_the_log_of_a_running_job_grows_and_a_range_continues_it(system: System) -> None:
    job = system.shell(f"echo äöü; {GATE}; echo more; {GATE}")
    log = f"/jobs/{job}/log"
    system.says(job, "ready")
    first = until(lambda: system.http.get(log).content, "the log has the output")
    assert first == "äöü\nready\n".encode()
    problem(system.http.get(log, headers={"Range": f"bytes={len(first)}-"}), 416, f"{len(first)} bytes")
    go_on(system, job)
    system.says(job, "more\nready")
    rest = system.http.get(log, headers={"Range": f"bytes={len(first)}-"})
    assert (rest.status_code, rest.text) == (206, "more\nready\n")
    go_on(system, job)
    system.completed(job)
    assert system.http.get(log).content == first + rest.content


def test_a_job_that_waits_has_an_empty_log(parked: System) -> None:
    job = parked.shell("true")
    answer = parked.http.get(f"/jobs/{job}/log")
    assert (answer.status_code, answer.content) == (200, b"")
    problem(parked.http.get("/jobs/0123456789abcdef/log"), 404, "There is no job")


def test_following_the_log_gives_each_line_as_it_comes_and_ends_with_the_job(system: System) -> None:
    job = system.submit(steps=[shell(GATE, title="A"), shell("echo last", title="B")])
    system.says(job, "ready")
    with system.http.stream("GET", f"/jobs/{job}/log?follow=true") as answer:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        parts = answer.iter_text()
        assert next(parts) == "=== step 1: A ===\nready\n"
        go_on(system, job)
        assert "".join(parts) == "=== step 2: B ===\nlast\n"
    system.completed(job)


def test_following_breaks_off_if_the_system_stops_before_the_job_has_ended(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    job = system.shell(f"{GATE}; echo more")
    system.says(job, "ready")
    run = ["curl", "-sSN", f"{system.http.base_url}/jobs/{job}/log?follow=true"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout and following.stdout.readline() == "ready\n"
        system.kill()
        assert following.wait(timeout=60) in (18, 56), "curl says that the text is not complete"
    system.start()
    go_on(system, job)
    system.completed(job)


def test_with_its_files_the_output_of_a_job_expires(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    job = system.shell("echo gone", keep_days=1e-9)
    system.completed(job)
    system.stop()
    system.start()
    until(lambda: system.status(job)["expired"], "it has expired")
    problem(system.http.get(f"/jobs/{job}/log"), 410, "RETENTION_DAYS")
    assert system.status(job)["steps"][0]["output_tail"] == ""


# ── exit codes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "code", "status", "words"),
    [
        ({"steps": [shell("true")]}, 0, 200, ""),
        ({"steps": [shell("exit 3")]}, 22, 424, "exit code 3"),
        ({"steps": [shell("true")], "check": "false"}, 22, 424, "check"),
        ({"steps": [shell("true")], "outputs": ["no.txt"]}, 22, 424, "no.txt"),
        ({"steps": [shell("sleep 60", seconds=0.5)]}, 22, 424, "0.5 s"),
    ],
)
def test_curl_ends_with_an_error_for_a_job_that_failed(
    system: System, body: dict[str, Any], code: int, status: int, words: str
) -> None:
    sent = ["-d", json.dumps(body), "/schedule?wait=60&fail=true"]
    found = curl(system, "-f", *sent)
    assert found.returncode == code, found
    found = curl(system, "--fail-with-body", "-w", "\n%{http_code}", *sent)
    text, _, number = found.stdout.rpartition("\n")
    assert (found.returncode, int(number)) == (code, status)
    answer = json.loads(text)
    if status == 200:
        assert answer["status"] == "completed"
        return
    assert answer["type"] == "/problems/job-failed" and words in answer["detail"]
    assert answer["job"]["status"] == "failed" and answer["job"]["job_id"] == answer["job_id"]
    for path in (f"/jobs/{answer['job_id']}", f"/status/{answer['job_id']}"):
        assert curl(system, "-f", f"{path}?fail=true").returncode == 22
        assert curl(system, "-f", path).returncode == 0, "without fail, the status is no error"


def test_a_job_that_has_not_ended_is_an_error_that_curl_does_not_retry(system: System) -> None:
    job = system.shell("sleep 3600")
    answer = system.http.get(f"/jobs/{job}?wait=0.1&fail=true")
    found = problem(answer, 409, f"GET /jobs/{job}?wait=600&fail=true")
    assert found["type"] == "/problems/not-ended" and found["job"]["job_id"] == job
    before = system.log.read_text().count('"status": 409')
    assert curl(system, "-f", "--retry", "5", f"/jobs/{job}?fail=true").returncode == 22
    assert system.log.read_text().count('"status": 409') == before + 1
    system.cancel(job)
    found = problem(system.http.get(f"/jobs/{job}?wait=60&fail=true"), 424, "cancelled")
    assert found["type"] == "/problems/job-cancelled"


def test_a_failure_of_the_system_has_a_status_of_its_own(system: System) -> None:
    job = system.shell(GATE)
    system.says(job, "ready")
    docker("kill", container(system, job))
    found = problem(system.http.get(f"/status/{job}?wait=60&fail=true"), 502)
    assert found["reason"] == "agent_lost" and found["job"]["status"] == "failed"


def test_fail_needs_wait_when_a_job_is_submitted(system: System) -> None:
    with nothing_stored(system):
        answer = system.http.post("/schedule?fail=true", json={"prompt": "Hello world"})
        problem(answer, 422, "fail: needs wait, such as ?wait=60&fail=true")


# ── what was not used ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"prompt": "Sum it up", "steps": [shell("true")]}, "The prompt is not used, because the request has"),
        (
            {"template": "csv-report"},
            "No file was uploaded, so the template csv-report uses its own sample data",
        ),
        (
            {"prompt": "Report on last year", "template": "fibonacci"},
            "The prompt is not used, because the",
        ),
    ],
)
def test_the_detail_says_what_of_a_request_was_not_used(
    system: System, parked: System, body: dict[str, Any], words: str
) -> None:
    assert words in parked.status(parked.submit(**body))["detail"]
    job = system.submit(**body)
    found = system.completed(job)
    assert found["detail"].startswith(words)
    assert found["detail"] in system.zip(job).report
    again = system.http.post(f"/jobs/{job}/retry").json()["job_id"]
    assert system.completed(again)["detail"] == found["detail"]


def test_a_prompt_that_was_used_needs_no_word(system: System) -> None:
    for body in ({"prompt": "Hello world"}, {"prompt": "```bash\ntrue\n```"}, {"steps": [shell("true")]}):
        assert system.completed(system.submit(**body))["detail"] == ""
