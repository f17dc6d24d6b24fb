"""What POST /schedule refuses: each with a sentence that says what is wrong, and nothing is stored."""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.answers import nothing_stored, problem
from tests.support.system import System

HELLO = "Hello world"


def shell(**more: Any) -> dict[str, Any]:
    return {"kind": "shell", "script": "true", **more}


def file(path: str) -> dict[str, Any]:
    return {"steps": [{"kind": "file", "path": path, "content": "x"}]}


def limits(**wanted: Any) -> dict[str, Any]:
    return {"prompt": HELLO, "limits": wanted}


# A body, and words that the answer must have: the field's name above all.
REFUSED: list[tuple[dict[str, Any], str]] = [
    # nothing to do
    ({}, "prompt, steps and template"),
    ({"labels": {"a": "b"}}, "prompt, steps and template"),
    ({"prompt": None, "steps": None}, "prompt, steps and template"),
    ({"prompt": ""}, "prompt: is empty"),
    ({"prompt": " \n\t "}, "prompt is empty"),
    ({"steps": []}, "steps: "),
    # wrong types
    ({"prompt": 3}, "prompt: "),
    ({"prompt": ["x"]}, "prompt: "),
    ({"steps": "true"}, "steps: "),
    (
        {"steps": ["true"]},
        'steps.0: step 1 is a text; a step is a JSON object, such as {"kind": "shell", "script": "true"}',
    ),
    ({"steps": [shell(), {"kind": "shell", "script": 3}]}, "steps.1.script: must be a text, not 3"),
    ({"steps": [shell(title=3)]}, "steps.0.title: must be a text, not 3"),
    ({"steps": [shell(seconds="soon")]}, "steps.0.seconds: must be a number, not 'soon'"),
    ({"steps": [shell(background="perhaps")]}, "steps.0.background: must be true or false, not 'perhaps'"),
    ({"prompt": HELLO, "outputs": "a.txt"}, "outputs: "),
    ({"prompt": HELLO, "outputs": [3]}, "outputs.0: "),
    ({"prompt": HELLO, "check": ["true"]}, "check: "),
    ({"prompt": HELLO, "limits": []}, "limits: "),
    ({"prompt": HELLO, "network": "host"}, "network: must be 'none' or 'internet', not 'host'"),
    ({"prompt": HELLO, "labels": ["a=b"]}, "labels: "),
    ({"prompt": HELLO, "labels": {"a": 3}}, "labels.a: "),
    # unknown fields, also such as are called like a part of a request
    ({"prompt": HELLO, "promt": "x"}, "promt: there is no such field"),
    ({"prompt": HELLO, "path": "x", "body": "x", "query": "x"}, "path: there is no such field; body: there is no"),
    (limits(disk="1g"), "limits.disk: there is no such field; limits: seconds, memory,"),
    (limits(timeout=5), "limits.timeout: there is no such field; did you mean seconds?"),
    (limits(secnds=5), "limits.secnds: there is no such field; did you mean seconds?"),
    ({"promt": "x"}, "promt: there is no such field; did you mean prompt?"),
    ({"Prompt": "x"}, "Prompt: there is no such field; did you mean prompt?"),
    ({"prompt": HELLO, "step": []}, "step: there is no such field; did you mean steps?"),
    ({"prompt": HELLO, "timeout": 5}, "timeout: there is no such field; use `limits.seconds`"),
    ({"prompt": HELLO, "seconds": 5}, "seconds: there is no such field; use `limits.seconds`"),
    ({"prompt": HELLO, "memory": "1g"}, "memory: there is no such field; use `limits.memory`"),
    (
        {"prompt": HELLO, "wait": 60},
        "wait: there is no such field; `wait` is a query parameter: POST /schedule?wait=60",
    ),
    ({"prompt": HELLO, "env": {"A": "b"}}, "env: there is no such field; use `secrets` for environment variables"),
    ({"command": "ls"}, 'command: there is no such field; use `steps`, such as [{"kind": "shell"'),
    ({"task": "x"}, "task: there is no such field; use `prompt`"),
    ({"prompt": HELLO, "files": ["a.csv"]}, "files: there is no such field; JSON cannot carry files; send a form (-F"),
    ({"prompt": HELLO, "files": {"a.csv": "x"}}, 'or write a small file with a step {"kind": "file"'),
    (
        {"steps": [shell(code="x")]},
        "steps.0.code: there is no such field in a shell step (step 1); did you mean script?",
    ),
    (
        {"steps": [{**file("a")["steps"][0], "background": True}]},
        "steps.0.background: there is no such field in a file step (step 1); its fields: title,",
    ),
    # steps
    ({"steps": [{"script": "true"}]}, "steps.0.kind: is missing in step 1; use shell, python, node or file"),
    ({"steps": "ls"}, 'steps: must be a list of steps, such as [{"kind": "shell", "script": "date"}]'),
    ({"steps": shell()}, "steps: must be a list of steps"),
    ({"steps": [shell(), "ls -l"]}, 'steps.1: step 2 is a text; a step is a JSON object, such as {"kind": "shell"'),
    ({"steps": [["ls"]]}, "steps.0: step 1 must be a JSON object"),
    (
        {"steps": [{"code": "1"}]},
        "steps.0.kind: is missing in step 1; use shell, python, node or file; with code, write",
    ),
    ({"steps": [{"type": "shell", "script": "x"}]}, "steps.0.kind: is missing in step 1; rename type to kind"),
    (
        {"steps": [shell(), {"kind": "bash", "script": "x"}]},
        "steps.1.kind: step 2 has the unknown kind 'bash'; did you mean shell?",
    ),
    ({"steps": [{"kind": "Python", "code": "x"}]}, "did you mean python?"),
    ({"steps": [{"kind": "javascript", "code": "x"}]}, "did you mean node?"),
    ({"steps": [{"kind": 3}]}, "steps.0.kind: must be a text in step 1; use shell, python, node or file"),
    (
        {"steps": [{"kind": "ruby", "code": "x"}]},
        "steps.0.kind: step 1 has the unknown kind 'ruby'; use shell, python,",
    ),
    ({"steps": [{"kind": "shell"}]}, "steps.0.script: is missing; step 1 is a shell step, such as {"),
    (
        {"steps": [{"kind": "shell", "command": "ls"}]},
        "steps.0.command: there is no such field in a shell step (step 1); did",
    ),
    (
        {"steps": [{"kind": "python", "script": "1"}]},
        "steps.0.script: there is no such field in a python step (step 1); did",
    ),
    (
        {"steps": [{"kind": "file", "filename": "a", "text": "x"}]},
        "steps.0.filename: there is no such field in a file step",
    ),
    (
        {"steps": [shell(timeout=5)]},
        "steps.0.timeout: there is no such field in a shell step (step 1); did you mean seconds?",
    ),
    ({"steps": [{"kind": "python"}]}, "steps.0: give code or file, not both (step 1)"),
    ({"steps": [shell()] * 101}, "steps: has too many items; the maximum is 100"),
    ({"steps": [shell(script="")]}, "steps.0.script: is empty"),
    ({"steps": [shell(script="echo a\0b")]}, "NUL"),
    ({"steps": [shell(script="#" * 500_001)]}, "steps.0.script: has too many characters; the maximum is 500000"),
    ({"steps": [shell(title="two\nlines")]}, "steps.0.title: must be one line"),
    ({"steps": [shell(title="x" * 201)]}, "steps.0.title: has too many characters; the maximum is 200"),
    ({"steps": [shell(seconds=0)]}, "steps.0.seconds: must be greater than 0.0, not 0"),
    # paths
    (file(""), "steps.0.path: "),
    (file("."), "steps.0.path: must be a path inside the workspace"),
    (file(".."), "steps.0.path: must be a path inside the workspace"),
    (file("a/../../b"), "steps.0.path: must be a path inside the workspace"),
    (file("/etc/passwd"), "steps.0.path: must be a path inside the workspace"),
    (file("folder/"), "steps.0.path: must be a path inside the workspace"),
    (file("a\0b"), "steps.0.path: "),
    (file("x" * 501), "steps.0.path: has too many characters; the maximum is 500"),
    ({"prompt": HELLO, "outputs": ["../*"]}, "outputs.0: must be a path inside the workspace"),
    ({"prompt": HELLO, "outputs": ["a", "/etc/*"]}, "outputs.1: must be a path inside the workspace"),
    ({"prompt": HELLO, "outputs": [f"{n}" for n in range(51)]}, "outputs: has too many items; the maximum is 50"),
    # the prompt and the acceptance command
    ({"prompt": "a\0b"}, "prompt: must not contain the character NUL"),
    ({"prompt": "x" * 100_001}, "prompt: has too many characters; the maximum is 100000"),
    ({"prompt": HELLO, "check": ""}, "check: "),
    ({"prompt": HELLO, "check": "x" * 10_001}, "check: has too many characters; the maximum is 10000"),
    # limits
    (limits(memory="10t"), "limits.memory: must be between 64m and this machine's memory"),
    (limits(memory="1k"), "limits.memory: must be between 64m and this machine's memory"),
    (limits(memory=-1), "limits.memory: must be between 64m and this machine's memory"),
    (limits(memory=10**30), "limits.memory: "),
    (limits(memory="abc"), "limits.memory: a size is a number of bytes, or a number with k, m, g or t, such as 512m"),
    (limits(cpus=0), "limits.cpus: "),
    (limits(cpus=1000), f"limits.cpus: must be at most {os.cpu_count()}"),
    (limits(seconds=0), "limits.seconds: "),
    (limits(seconds=-1), "limits.seconds: "),
    (limits(seconds=1e9), "limits.seconds: must be at most 86400"),
    (limits(seconds=float("nan")), "limits.seconds: "),
    (limits(seconds=float("inf")), "limits.seconds: "),
    (limits(processes=1), "limits.processes: must be at least 32, not 1"),
    (limits(processes=1.5), "limits.processes: "),
    (limits(zip=0), "limits.zip: must be at least 65536, not 0"),
    (limits(zip="2048g"), "limits.zip: "),
    # labels
    ({"prompt": HELLO, "labels": {f"n{n}": "x" for n in range(33)}}, "labels: has too many items; the maximum is 32"),
    ({"prompt": HELLO, "labels": {"": "x"}}, "labels."),
    ({"prompt": HELLO, "labels": {"a b": "x"}}, "labels.a b"),
    ({"prompt": HELLO, "labels": {"-a": "x"}}, "labels.-a"),
    ({"prompt": HELLO, "labels": {"a": "x" * 256}}, "labels.a: has too many characters; the maximum is 255"),
    ({"prompt": HELLO, "labels": {"a": "two\nlines"}}, "labels.a: must be one line"),
]

# Half of a surrogate pair is JSON, but no text: no database, log or answer can carry it.
SURROGATES = [
    r'{"prompt": "```bash\necho \ud800\n```"}',
    r'{"prompt": "Hello world", "labels": {"a": "\ud800"}}',
    r'{"prompt": "Hello world", "labels": {"\ud800": "a"}}',
    r'{"prompt": "Hello world", "outputs": ["\udfff"]}',
    r'{"prompt": "Hello world", "check": "echo \ud800"}',
    r'{"prompt": "Hello world", "\ud800": 1}',
    r'{"steps": [{"kind": "\ud800"}]}',
    r'{"steps": [{"kind": "shell", "script": "echo \ud800"}]}',
    r'{"steps": [{"kind": "shell", "script": "true", "title": "\ud800"}]}',
    r'{"steps": [{"kind": "file", "path": "\ud800", "content": "x"}]}',
    r'{"steps": [{"kind": "file", "path": "x", "content": "\ud800"}]}',
]


@pytest.fixture(autouse=True, scope="module")
def _nothing_stored(system: System) -> Iterator[None]:
    with nothing_stored(system):
        yield


@pytest.fixture(scope="module", autouse=True)
def slow(system: System) -> Iterator[dict[str, Future[httpx.Response]]]:
    """Bodies of which a byte comes now and then; it takes a while, so they are begun before all else."""
    with ThreadPoolExecutor() as pool:
        kinds = ("application/json", "multipart/form-data; boundary=x")
        yield {kind: pool.submit(trickled, system, kind) for kind in kinds}


def trickled(system: System, kind: str) -> httpx.Response:
    """Send a body a byte at a time for as long as nobody answers; returns the answer."""
    head = f"POST /schedule HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 10000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", system.port)) as connection:
        connection.sendall(head.encode())
        while not select.select([connection], [], [], 0.2)[0]:
            connection.sendall(b" ")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


@pytest.mark.parametrize(("body", "words"), REFUSED, ids=[f"{json.dumps(body)[:60]}" for body, _ in REFUSED])
def test_a_wrong_request_is_refused_with_a_sentence_that_names_what_is_wrong(
    system: System, body: dict[str, Any], words: str
) -> None:
    answer = system.http.post("/schedule", content=json.dumps(body))
    found = problem(answer, 422, words)
    assert found["type"] == "/problems/invalid"
    assert found["errors"]
    assert len(answer.content) < 8_000  # what was sent does not come back


@pytest.mark.parametrize("body", SURROGATES)
def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands(system: System, body: str) -> None:
    found = problem(system.http.post("/schedule", content=body), 422)
    assert found["type"] == "/problems/invalid"


@pytest.mark.parametrize("body", [b"", b"{", b"{'prompt': 'x'}", b"\xff\xfe\x00", b"prompt=x", b"[" * 200_000])
def test_what_is_no_json_is_said_to_be_no_json(system: System, body: bytes) -> None:
    problem(system.http.post("/schedule", content=body), 400, "is not valid JSON")


@pytest.mark.parametrize("body", [b"[]", b"null", b"3", b'"Hello world"', b"true"])
def test_json_that_is_no_object_is_refused(system: System, body: bytes) -> None:
    problem(system.http.post("/schedule", content=body), 422, "object")


def test_all_wrong_fields_are_named_at_once(system: System) -> None:
    body = {"prompt": 3, "network": "host", "limits": {"cpus": 0}}
    found = problem(system.http.post("/schedule", json=body), 422)
    assert {error["field"] for error in found["errors"]} == {"prompt", "network", "limits.cpus"}


def test_a_request_with_very_many_wrong_fields_gets_a_short_answer(system: System) -> None:
    answer = system.http.post("/schedule", json={f"field{n}": n for n in range(100_000)})
    problem(answer, 422, "field0: there is no such field")
    assert len(answer.content) < 20_000


@pytest.mark.parametrize("wait", ["-1", "601", "soon", "NaN", "inf", ""])
def test_a_wait_out_of_range_is_refused(system: System, wait: str) -> None:
    problem(system.http.post("/schedule", params={"wait": wait}, json={"prompt": HELLO}), 422, "wait: ")


def test_what_is_neither_json_nor_a_form_is_refused_with_the_content_type_to_set(system: System) -> None:
    answer = system.http.post("/schedule", content=b"<prompt/>", headers={"Content-Type": "application/xml"})
    problem(answer, 415, "application/xml", "-H 'Content-Type: application/json'", "-F")


def test_ten_megabytes_are_refused_before_they_are_sent(system: System) -> None:
    found = problem(system.http.post("/schedule", json={"prompt": "x" * 10_000_000}), 413, "4.0 MiB")
    assert found["type"] == "/problems/too-large"


def test_ten_megabytes_of_unknown_length_are_refused_on_the_way(system: System) -> None:
    answer = system.http.post("/schedule", content=(b" " * 65_536 for _ in range(160)))
    found = problem(answer, 413, "4.0 MiB")
    assert found["type"] == "/problems/too-large"
    assert system.http.get("/health").status_code == 200


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_a_body_that_comes_too_slowly_is_not_waited_for(slow: dict[str, Future[httpx.Response]], kind: str) -> None:
    answer = slow[kind].result(timeout=60)
    problem(answer, 408, "came too slowly", "30 s")
    assert answer.headers["connection"] == "close"


def test_what_the_api_does_not_have_is_a_problem_too(system: System) -> None:
    problem(system.http.get("/nothing"), 404, "/nothing", "GET /")
    answer = system.http.get("/schedule")
    problem(answer, 405, "GET is not allowed here: '/schedule' takes POST.")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("GET", "/status", "Did you mean GET /status/{job_id}?"),
        ("GET", "/job", "Did you mean GET /jobs?"),
        ("POST", "/scheduel", "Did you mean POST /schedule?"),
        ("POST", "/api/v1/schedule", "Did you mean POST /schedule?"),
        ("POST", "/run", "Did you mean POST /schedule?"),
        ("POST", "/tasks", "Did you mean POST /schedule?"),
        ("POST", "/jobs", "takes GET. POST /schedule submits a job."),
        ("POST", "/", "takes GET, HEAD. POST /schedule submits a job."),
        ("GET", "/jobs/0123456789abcdef/status", "Did you mean GET /status/0123456789abcdef?"),
        ("POST", "/jobs/0123456789abcdef/cancel", "Did you mean POST /cancel/0123456789abcdef?"),
        ("GET", "/jobs/0123456789abcdef/download", "Did you mean GET /download/0123456789abcdef?"),
        ("GET", "/jobs/0123456789abcdef/result", "Did you mean GET /download/0123456789abcdef?"),
        ("GET", "/jobs/0123456789abcdef/logs", "Did you mean GET /jobs/0123456789abcdef/log?"),
        ("GET", "/jobs/0123456789abcdef/output", "Did you mean GET /jobs/0123456789abcdef/log?"),
        ("GET", "/files/0123456789abcdef", "Did you mean GET /jobs/0123456789abcdef/files?"),
        ("GET", "/cancel/0123456789abcdef", "GET is not allowed here: '/cancel/0123456789abcdef' takes POST."),
        ("PATCH", "/jobs/0123456789abcdef", "takes GET, DELETE."),
        ("GET", "/healthz", "Did you mean GET /health?"),
        ("GET", "/swagger", "Did you mean GET /docs?"),
        ("GET", "/template", "Did you mean GET /templates?"),
        ("GET", "/qqqqqqq", "There is nothing at '/qqqqqqq'. GET / lists the addresses."),
    ],
)
def test_a_wrong_address_is_answered_with_the_call_that_was_meant(
    system: System, method: str, path: str, words: str
) -> None:
    problem(system.http.request(method, path), 405 if "takes" in words else 404, words)


def test_curl_says_what_is_wrong_too(system: System) -> None:
    url = f"{system.http.base_url}/schedule"
    curl = subprocess.run(["curl", "-s", "-d", '{"promt": "x"}', url], capture_output=True, check=True)
    assert json.loads(curl.stdout)["detail"].startswith("promt: there is no such field")
