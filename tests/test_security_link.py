"""The link as a hostile container speaks it: with its own token and with none, in every way that is wrong.

After each attack the neighbour's job completes, the attacked one ends, no answer was a 500, nothing is in the log but
what was refused, and what the orchestrator holds of memory and connections is what it held before.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from select import select
from typing import Any

import httpx
import pytest
from conftest import System, docker, until
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from providers import OpenAIServer, Turn
from test_link import STEP_ENDED, Caller

from orchestrator.link.guard import REQUESTS
from orchestrator.web.connection_limits import SILENT

MiB = 2**20
PACKED = {"files": 0, "bytes": 0, "left_out": 0, "partial": False}
OUTCOME = {"status": "failed", "reason": "step_failed", "detail": "said", "packed": PACKED}


class Hostile(Caller):
    """A container that has turned hostile, while its job goes on."""

    def __init__(self, system: System, job: str) -> None:
        super().__init__(system, job)
        self.job = job


by_machine = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def target() -> Iterator[System]:
    """A system of our own: what it held before is known."""
    one = System(MAX_CONCURRENT_JOBS="4", PACKAGE_SECONDS="2")
    try:
        one.start()
        one.completed(one.shell("true"))
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def prey(target: System) -> Iterator[Hostile]:
    """One for attacks that its job outlives."""
    job = target.shell("echo ready; sleep 600")
    target.says(job, "ready")
    caller = Hostile(target, job)
    with caller.http:
        yield caller
    target.cancel(job)
    assert target.ended(job)["status"] == "cancelled"


@pytest.fixture(scope="module", autouse=True)
def trickles(target: System, prey: Hostile) -> Iterator[dict[str, Future[bytes]]]:
    """What comes of a body and of headers that come a byte each half second, from the first test on."""

    def trickle(begin: bytes) -> bytes:
        with connect(target) as one, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            one.sendall(begin)
            one.settimeout(0.5)
            for _ in range(200):
                with contextlib.suppress(TimeoutError):
                    return one.recv(1000)
                one.sendall(b" ")
            return b"never"
        return b""

    slow = {"body": head(prey, "POST /events", "Content-Length: 1000"), "headers": b"POST /events HTTP/1.1\r\nX: "}
    with ThreadPoolExecutor(2) as pool:
        yield {what: pool.submit(trickle, begin) for what, begin in slow.items()}


@pytest.fixture
def doomed(target: System) -> Iterator[Hostile]:
    """One for attacks that may end the job."""
    job = target.shell("echo ready; sleep 600", limits={"zip": "64k"})
    target.says(job, "ready")
    caller = Hostile(target, job)
    with caller.http:
        yield caller
    target.cancel(job)
    target.ended(job, 20)


@pytest.fixture(autouse=True)
def unharmed(target: System) -> Iterator[None]:
    """What must hold after each attack."""
    assert target.process
    process = Path(f"/proc/{target.process.pid}")
    neighbour = target.shell("sleep 0.5; echo fine")
    (process / "clear_refs").write_text("5")  # the peak begins anew
    before, open_before = peak(process), len(list((process / "fd").iterdir()))
    seen = len(target.log.read_text())
    yield
    target.completed(neighbour)
    target.completed(target.shell("echo a new one starts"))
    assert peak(process) - before < 100, "MiB more in memory"
    until(lambda: len(list((process / "fd").iterdir())) < open_before + 30, "connections are let go of", 20)
    log = target.log.read_text()[seen:]
    assert "Traceback" not in log and '"level": "error"' not in log, log


def peak(process: Path) -> int:
    """MiB that a process had in memory at most."""
    return int((process / "status").read_text().partition("VmHWM:")[2].split()[0]) // 1024


def prompt(target: System, seconds: float = 3) -> None:
    """The users' door answers, meanwhile."""
    begun = time.monotonic()
    assert target.http.get("/jobs").status_code == 200
    assert time.monotonic() - begun < seconds


def connect(target: System) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(20)
    one.connect(str(target.run_dir / "link/link.sock"))
    return one


def raw(target: System, *parts: bytes, most: int = 300 * MiB) -> int:
    """Send bytes, the last part again and again until nobody takes it; how many were taken."""
    sent = 0
    with connect(target) as one, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for part in parts[:-1]:
            one.sendall(part)
        while parts[-1] and sent < most:
            one.sendall(parts[-1])
            sent += len(parts[-1])
    return sent


def asked(target: System, request: bytes) -> bytes:
    """What is answered to some bytes, until the connection is closed, or no more comes of it."""
    answer = b""
    with connect(target) as one, contextlib.suppress(ConnectionResetError, BrokenPipeError, TimeoutError):
        one.settimeout(2)
        one.sendall(request)
        while block := one.recv(65536):
            answer += block
    return answer


def head(caller: Caller | None, request: str, *more: str) -> bytes:
    token = [f"Authorization: Bearer {caller.token}"] if caller else []
    return "\r\n".join([f"{request} HTTP/1.1", "Host: link", *token, *more, "", ""]).encode("latin-1")


# ── who it is ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_other_token_opens_the_link(target: System, prey: Hostile, doomed: Hostile) -> None:
    mine, secret = prey.token.split(".")
    neighbour, theirs = doomed.token.split(".")
    for token in (
        f"{neighbour}.{secret}", f"{mine}.{theirs}", secret, f".{secret}", f"{mine}..{secret}", f"{mine}.{secret}x",
        f"{mine}.{secret},{neighbour}.{theirs}", "%", "' OR 1=1 --", "null", "0", "x" * 50_000, "é",
        "\xff" * 40, "", "..",
    ):  # fmt: skip
        for request in (
            "GET /commands",
            "POST /outcome",
            "PUT /artifact",
            "GET /uploads",
            "PUT /looks/x",
            "POST /ask",
            "GET /x",
        ):
            answer = asked(target, head(None, request, f"Authorization: Bearer {token}", "Content-Length: 2") + b"{}")
            assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 400 ")), (token, answer)


def test_who_has_no_token_is_not_read(target: System) -> None:
    for request in ("PUT /artifact", "POST /events"):
        sent = raw(target, head(None, request, "Transfer-Encoding: chunked"), b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert sent < 20 * MiB


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────────

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["kind", "number", "at", "step", "status", "exit_code", "detail", "output_bytes", "text", "phase"]
)
KINDS = st.sampled_from(["phase", "step_started", "output", "step_ended", "x"])
EVENT = st.dictionaries(FIELDS, ANY, max_size=4).flatmap(
    lambda odd: st.builds(lambda kind: {**STEP_ENDED, "kind": kind, "at": time.time(), **odd}, KINDS)
)
BATCH = ANY | st.dictionaries(st.sampled_from(["events", "x"]), st.lists(EVENT | ANY, max_size=4) | ANY, max_size=2)


@settings(by_machine, max_examples=150)
@given(batch=BATCH)
def test_any_batch_is_taken_or_refused(prey: Hostile, batch: Any) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        answer = prey.http.post("/events", content=json.dumps(batch).encode())
        assert answer.status_code in (200, 400), answer.text


ODD_OUTCOME = st.dictionaries(st.sampled_from([*sorted(OUTCOME), "x"]), ANY, min_size=1, max_size=4).map(
    lambda odd: {**OUTCOME, **odd}
)


@settings(by_machine, max_examples=60)
@given(
    outcome=ODD_OUTCOME, packed=st.dictionaries(st.sampled_from(sorted(PACKED)), ANY.filter(lambda value: value != 0))
)
def test_any_outcome_is_taken_or_refused(doomed: Hostile, outcome: dict[str, Any], packed: dict[str, Any]) -> None:
    for message in (outcome, {**OUTCOME, "reason": "engine_error", "packed": {**PACKED, **packed}}):
        with contextlib.suppress(UnicodeEncodeError):
            answer = doomed.http.post("/outcome", content=json.dumps(message).encode())
            assert answer.status_code in (200, 400, 401), answer.text


def event(number: Any, **more: Any) -> dict[str, Any]:
    return {"kind": "output", "number": number, "at": time.time(), "step": 1, "text": "x", **more}


BODIES = {
    "nesting": b"[" * 100_000,
    "nested events": b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested objects": b'{"a":' * 50_000,
    "a number of a megabyte": b'{"events": [{"kind": "output", "number": ' + b"9" * MiB + b"}]}",
    "keys that come twice": b'{"events": [], "events": [{}]}',
    "half a pair": b'{"events": [{"kind": "output", "number": 1, "at": 1.0, "step": 1, "text": "\\ud800"}]}',
    "a mark of byte order": b"\xef\xbb\xbf{}",
    "utf-16": '{"events": []}'.encode("utf-16"),
    "many events": json.dumps({"events": [event(1)] * 257}).encode(),
    "many keys": json.dumps({str(number): 0 for number in range(100_000)}).encode(),
    "a million keys": b'{"' + b'":0,"'.join(b"%x" % number for number in range(750_000)) + b'":0}',
    "millions of nothings": b'{"events": [' + b"[]," * 2_700_000 + b"[]]}",
    "a string without end": b'{"events": "' + b'\\"' * 4_000_000,
    "packed": gzip.compress(b'{"events": []}'),
}


def test_bodies_that_no_agent_would_send_are_refused(prey: Hostile) -> None:
    for what, body in BODIES.items():
        headers = {"Content-Encoding": "gzip"} if what == "packed" else {}
        for path in ("/events", "/outcome", "/take", "/ask"):
            answer = prey.http.post(path, content=body, headers=headers)
            assert answer.status_code == 400, f"{path}, {what}: {answer.text}"


def test_replays_gaps_and_numbers_from_anywhere_change_nothing(target: System, prey: Hostile) -> None:
    known = prey.events().json()["number"]
    batch = {
        "events": [event(known + 1, text="<once>"), event(known + 2, at=float(10**12)), event(known + 3, at=-1e300)]
    }
    body = json.dumps(batch).encode()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: prey.http.post("/events", content=body).json()["number"], range(1000)))
    assert set(answers) == {known + 3}
    for numbers in ([known + 9], [known + 5, known + 4], [1], [2**31], [known + 3, known + 2, known + 1]):
        answer = prey.http.post("/events", json={"events": [event(number) for number in numbers]})
        assert answer.json()["number"] >= known + 3
    for number in (0, -1, 2**31 + 1, 2**63, 2**64, -(2**70), 1.0, "1", None, True):
        assert prey.http.post("/events", json={"events": [event(number)]}).status_code == 400
    assert target.output(prey.job).count("<once>") == 1
    times = [found["data"]["at"] for found in live(target, prey.job)]
    assert all(at.startswith("20") for at in times)


def live(target: System, job: str) -> list[dict[str, Any]]:
    """The events of a job that goes on."""
    found = []
    with contextlib.suppress(httpx.ReadTimeout), target.http.stream("GET", f"/jobs/{job}/events", timeout=1) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                found.append({"data": json.loads(line.removeprefix("data: "))})
    return found


# ── how it says it ───────────────────────────────────────────────────────────────────────────────────────────────────


def endless(caller: Caller) -> dict[str, list[bytes]]:
    """What is begun and never ended: the last part comes again and again."""
    chunked = head(caller, "POST /events", "Transfer-Encoding: chunked")
    return {
        "body": [chunked, b"100000\r\n" + b" " * MiB + b"\r\n"],
        "body of a length": [head(caller, "POST /events", "Content-Length: 10000000000"), b" " * MiB],
        "small chunks": [chunked, b"1\r\n \r\n" * 10_000],
        "marks of a chunk": [chunked, b"1;", b"x" * MiB],
        "trailers": [chunked, b"0\r\n", b"X: x\r\n" * 10_000],
        "a trailer": [chunked, b"0\r\nX: ", b"x" * MiB],
        "headers": [b"GET /commands HTTP/1.1\r\n", b"X: x\r\n" * 10_000],
        "a header": [b"GET /commands HTTP/1.1\r\nX: ", b"x" * MiB],
        "a path": [b"GET /", b"x" * MiB],
        "a method": [b"G" * MiB],
        "empty lines": [b"\r\n" * 100_000],
        "requests": [head(None, "GET /commands") * 5_000],
        "requests with a token": [head(caller, "GET /x") * 5_000],
        "a ZIP of zeros": [
            head(caller, "PUT /artifact", "Transfer-Encoding: chunked"),
            b"100000\r\n" + b"\0" * MiB + b"\r\n",
        ],
    }


def test_what_never_ends_is_cut_off(target: System, doomed: Hostile) -> None:
    for what, parts in endless(doomed).items():
        sent = raw(target, *parts)
        assert sent < 200 * MiB, what
        prompt(target)


POST = "POST /events HTTP/1.1\r\nHost: a\r\n{token}"
NO_REQUESTS = (
    POST + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]]",
    POST + "Content-Length: -1\r\n\r\n[]",
    POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    POST + "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    POST + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
    POST + "X : a\r\nContent-Length: 2\r\n\r\n[]",
    POST + "X: a\r\n b\r\nContent-Length: 2\r\n\r\n[]",
    POST.replace("1.1", "1.0") + "Content-Length: 2\r\n\r\n[]",
    POST.replace("1.1", "9.9") + "\r\n",
    POST.replace("POST", "HACK") + "\r\n",
    POST.replace("POST", "DELETE") + "\r\n",
    POST.replace("/events", "http://other/../../etc/passwd") + "Content-Length: 0\r\n\r\n",
    POST.replace("/events", "/%00%ff/..%2f") + "Content-Length: 0\r\n\r\n",
    POST.replace("/events", "/\xff") + "Content-Length: 0\r\n\r\n",
    "PUT /looks/%2e%2e%2fx HTTP/1.1\r\nHost: a\r\n{token}Content-Length: 0\r\nConnection: close\r\n\r\n",
    "GET /commands HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n",
    "POST /events\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "\0" * 100,
)


def test_requests_that_are_none_are_refused(target: System, doomed: Hostile) -> None:
    for request in NO_REQUESTS:
        text = request.replace("{token}", f"Authorization: Bearer {doomed.token}\r\n")
        answer = asked(target, text.encode("latin-1"))
        assert answer[9:12] in (b"", b"400", b"401", b"404", b"405"), (request, answer)
        assert answer.count(b"HTTP/1.1 ") <= 1, (request, answer)


# ── how slowly, and how much at the same time ────────────────────────────────────────────────────────────────────────


def test_connections_that_say_nothing_are_few_and_short(target: System) -> None:
    for door in (connect, by_tcp):
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(door(target)) for _ in range(SILENT + 250)]
            prompt(target)
            job = target.shell("echo an agent gets through all the same")
            for one in silent[:250]:
                with contextlib.suppress(ConnectionResetError):
                    assert one.recv(1) == b""
            target.completed(job)


def by_tcp(target: System) -> socket.socket:
    return socket.create_connection(("127.0.0.1", target.port), 20)


def test_a_sandbox_can_ask_for_so_much_at_the_same_time(target: System, doomed: Hostile) -> None:
    begun = [connect(target) for _ in range(REQUESTS + 20)]
    for one in begun:
        one.sendall(head(doomed, "POST /events", "Content-Length: 100") + b" ")
    until(lambda: len(select(begun, [], [], 0)[0]) >= 20, "those that are too many are answered")
    refused = select(begun, [], [], 0)[0]
    assert len(refused) <= 26  # its own agent has some
    assert all(one.recv(100).startswith(b"HTTP/1.1 429 ") for one in refused)
    prompt(target)
    for one in begun:
        one.close()
    until(lambda: doomed.events().status_code == 200, "what was broken off is let go of")


# ── how it ends ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_three_zips_at_once_are_too_many_and_none_is_taken_before_the_end_is_settled(
    target: System, doomed: Hostile
) -> None:
    with contextlib.ExitStack() as stack:
        begun = [stack.enter_context(connect(target)) for _ in range(3)]
        for one in begun:
            one.sendall(head(doomed, "PUT /artifact", "Content-Length: 4") + b"PK")
        (refused,) = select(begun, [], [], 20)[0]
        assert refused.recv(100).startswith(b"HTTP/1.1 429 ")
        for one in set(begun) - {refused}:
            one.sendall(b"\0\0")
            assert one.recv(100).startswith(b"HTTP/1.1 409 ")
    assert target.status(doomed.job)["status"] == "running"


def test_a_zip_that_is_none_is_kept_as_it_is_and_hurts_nobody(target: System, doomed: Hostile) -> None:
    job = doomed.job
    assert doomed.http.post("/outcome", json=OUTCOME).json()["detail"] == "said"
    other = {**OUTCOME, "status": "completed", "reason": None, "packed": {**PACKED, "files": 7}}
    assert doomed.http.post("/outcome", json=other).json()["detail"] == "said"
    assert doomed.http.put("/artifact", content=b"no ZIP").status_code == 200
    assert doomed.http.put("/artifact", content=b"no ZIP either").status_code == 401
    found = target.ended(job)
    assert (found["status"], found["detail"], found["artifact"]["bytes"]) == ("failed", "said", 6)
    assert target.http.get(f"/download/{job}").content == b"no ZIP"
    assert target.http.get(f"/jobs/{job}/files").status_code < 500


def test_half_a_zip_and_then_silence_ends_in_time(target: System, doomed: Hostile) -> None:
    assert doomed.http.post("/outcome", json=OUTCOME).status_code == 200
    with connect(target) as one:
        one.sendall(head(doomed, "PUT /artifact", "Content-Length: 1000") + b"PK")
        found = target.ended(doomed.job, 20)
    assert (found["status"], found["detail"]) == ("failed", "said")
    assert target.zip(doomed.job).manifest["salvaged"]


def test_a_zip_that_is_none_does_not_stop_the_next_start(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    job = system.shell("echo ready; sleep 600")
    system.says(job, "ready")
    caller = Caller(system, job)
    with caller.http:
        assert caller.http.post("/outcome", json=OUTCOME).status_code == 200
    (system.record / job).mkdir(exist_ok=True)
    system.kill()
    (system.record / job / f"{job}.zip").write_bytes(b"PK no ZIP")  # we died when it was there, and not yet the job's
    name = f"containerized-agent-{caller.token.partition('.')[0]}"
    until(lambda: name in system.containers(), "its container is there")
    docker("kill", name)
    system.start()
    assert system.ended(job)["detail"] == "said"
    assert "Traceback" not in system.log.read_text()
    system.completed(system.shell("true"))


def test_what_trickled_all_the_while_was_cut_off(trickles: dict[str, Future[bytes]]) -> None:
    assert trickles["headers"].result(60) == b""
    assert trickles["body"].result(60).startswith(b"HTTP/1.1 408 ")


def test_a_container_cannot_ask_a_model_for_more_than_its_job_may(make_system: Callable[..., System]) -> None:
    with OpenAIServer(lambda _: Turn(fault="never")) as server:
        system = make_system(**server.settings).start()
        job = system.submit(prompt="Think", limits={"calls": 5})
        until(lambda: server.asked, "the model is asked")
        docker("pause", f"containerized-agent-{system.status(job)['sandbox']}")  # somebody else speaks for it now
        caller = Caller(system, job)
        for number in range(2, 40):
            with contextlib.suppress(httpx.ReadTimeout):
                ask(caller, number, timeout=0.02)
        assert ask(caller, 7).status_code == 409
        until(lambda: ask(caller, 40 + len(server.asked)).json()["reason"] == "budget_exceeded", "the budget holds")
        assert len(server.asked) <= 5
        until(lambda: all(one.hung_up.is_set() for one in server.asked), "each call is broken off")
        found = system.status(job)
        assert found["usage"]["calls"] == 5 == len(found["thinking"])
        docker("unpause", f"containerized-agent-{system.status(job)['sandbox']}")
        system.ended(job)
        caller.http.close()


def ask(caller: Caller, number: int, **options: Any) -> httpx.Response:
    body = {"number": number, "purpose": "plan", "workspace": "", "missing": [], "left": 0.0}
    return caller.http.post("/ask", json=body, **options)
