"""Attacks on the promises of docs/security.md about a running job's files: what a hostile container answers to a look.

The containers are of an image whose agent sleeps; in its place somebody who has the token takes the job, hears of the
looks, and answers.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocol import messages
from tests.support.answers import problem, raw
from tests.support.link import Caller
from tests.support.system import IMAGE, PATIENCE, System, docker, until

FILE: dict[str, Any] = {"kind": "file", "size": 5, "modified": 1e9, "begin": 0, "end": 5}
ENTRY: dict[str, Any] = {"path": "a", "kind": "file", "size": 1, "modified": 1e9}
LIST: dict[str, Any] = {"kind": "list", "files": [ENTRY], "more": False, "cut": False}


class Impostor:
    """Speaks in a sandbox in the place of its agent."""

    def __init__(self, site: System) -> None:
        self.site = site
        self.job = site.shell("true")
        until(
            lambda: f"containerized-agent-{site.status(self.job)['sandbox']}" in site.containers(), "it has a container"
        )
        self.caller = Caller(site, self.job)
        assert self.caller.http.post("/take", json={"version": messages.VERSION}).status_code == 200
        self._heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._asking = ThreadPoolExecutor(8)
        self._hearing = threading.Thread(target=self._hear)
        self._hearing.start()

    def _hear(self) -> None:
        while (answer := self.caller.http.get("/commands").json())["commands"] == []:
            for look in answer["looks"]:
                self._heard.put(look)

    def asked(self, path: str = "/a.txt", **headers: str) -> tuple[dict[str, Any], Future[httpx.Response]]:
        """A look that somebody asks for, and what he will be answered."""
        answer = self._asking.submit(self.site.http.get, f"/jobs/{self.job}/files{path}", headers=headers)
        return self.heard(), answer

    def heard(self) -> dict[str, Any]:
        """The next look that is asked for."""
        return self._heard.get(timeout=PATIENCE)

    def answer(self, look: dict[str, Any], content: bytes | Iterator[bytes]) -> int | None:
        """The status of an upload; None where the connection was closed before all was sent."""
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.site.run_dir / "link/link.sock")),
            base_url="http://link",
            headers={"Authorization": f"Bearer {self.caller.token}"},
            timeout=60,
        ) as http:
            try:
                return http.put(f"/looks/{look['id']}", content=content).status_code
            except httpx.TransportError:
                return None

    def close(self) -> None:
        self.site.cancel(self.job)
        self._hearing.join()
        self.site.ended(self.job)
        self._asking.shutdown()
        self.caller.http.close()


@pytest.fixture(scope="module")
def site(engine: None) -> Iterator[System]:
    image = "containerized-agent-sleeping"
    container = docker("create", IMAGE)
    docker("commit", "--change", 'ENTRYPOINT ["sleep", "600"]', container, image)
    docker("rm", container)
    one = System(MAX_CONCURRENT_JOBS="4", AGENT_IMAGE=image)
    try:
        yield one.start()
    finally:
        one.close()
        docker("rmi", image)


@pytest.fixture(scope="module")
def make_impostor(site: System) -> Iterator[Callable[[], Impostor]]:
    made: list[Impostor] = []

    def make() -> Impostor:
        made.append(Impostor(site))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def impostor(make_impostor: Callable[[], Impostor]) -> Impostor:
    return make_impostor()


def line(content: Any) -> bytes:
    return json.dumps(content).encode() + b"\n"


def endless(first: bytes, block: bytes) -> Iterator[bytes]:
    yield first
    for _ in range(2**31 // len(block)):
        yield block


#: What is no answer to somebody who asked for the bytes 0 to 4 of a file.
NO_FILE = {
    "empty": b"\n",
    "no JSON": b"{\n",
    "no text": b"\xff\xfe\n",
    "deep": b"[" * 100_000 + b"\n",
    "no object": b"[]\n",
    "unknown kind": line({"kind": "exec", "detail": ""}),
    "further field": line({**FILE, "path": "/etc/passwd"}),
    "missing field": line({"kind": "file", "size": 5}),
    "text for a number": line({**FILE, "size": "5"}),
    "negative": line({**FILE, "size": -1, "begin": -1, "end": -1}),
    "backwards": line({**FILE, "begin": 4, "end": 2}),
    "a part": line({**FILE, "begin": 2}),
    "beyond its end": line({**FILE, "end": 6}),
    "huge": line({**FILE, "size": 2**70, "end": 5}),
    "no moment": b'{"kind": "file", "size": 5, "modified": "never", "begin": 0, "end": 5}\n',
    "a list": line(LIST),
}

#: What is no list of at most 3 entries below "a/", after "a/b".
NO_LIST = {
    "a file": line(FILE),
    "not below": line({**LIST, "files": [{**ENTRY, "path": "b/c"}]}),
    "not after": line({**LIST, "files": [{**ENTRY, "path": "a/a"}]}),
    "not sorted": line({**LIST, "files": [{**ENTRY, "path": "a/d"}, {**ENTRY, "path": "a/c"}]}),
    "twice": line({**LIST, "files": [{**ENTRY, "path": "a/c"}, {**ENTRY, "path": "a/c"}]}),
    "too many": line({**LIST, "files": [{**ENTRY, "path": f"a/{name}"} for name in "cdef"]}),
    "too long": line({**LIST, "files": [{**ENTRY, "path": "a/c" + "x" * 5_000}]}),
    "no character": b'{"kind": "list", "more": false, "cut": false, "files": [{"path": "a/c\\ud800", "kind": "file", '
    b'"size": 1, "modified": 1}]}\n',
    "of no kind": line({**LIST, "files": [{**ENTRY, "path": "a/c", "kind": "device"}]}),
    "negative": line({**LIST, "files": [{**ENTRY, "path": "a/c", "size": -1}]}),
}


#: Puts one thing into the place of another, all the time: a folder and a link to /etc; a file, a link and a pipe.
SWAP = """
import ctypes, os
os.mkdir("x")
open("x/passwd", "w").write("mine")
os.symlink("/etc", "link")
open("y", "w").write("mine")
os.symlink("/proc/self/environ", "environ")
os.mkfifo("pipe")
libc = ctypes.CDLL(None, use_errno=True)
def exchange(one, other):
    assert libc.renameat2(-100, one, -100, other, 2) == 0, os.strerror(ctypes.get_errno())
print("ready", flush=True)
while True:
    exchange(b"x", b"link")
    exchange(b"y", b"environ")
    exchange(b"y", b"pipe")
"""


def test_no_name_and_no_link_shows_what_is_not_in_the_workspace(system: System) -> None:
    job = system.python(SWAP, limits={"cpus": 0.5})
    system.says(job, "ready")
    for path in ("x/passwd", "y"):
        seen = set()

        def look(path: str = path, seen: set[int] = seen) -> bool:
            answer = system.http.get(f"/jobs/{job}/files/{path}")
            seen.add(answer.status_code)
            assert answer.status_code in (200, 404, 409) and (answer.status_code != 200 or answer.content == b"mine")
            return seen >= {200, 409}

        until(look, "it was the file, and it was the link")
    for target in (
        "../etc/passwd",
        "%2e%2e/etc/passwd",
        "/etc/passwd",
        "x/../../etc/passwd",
        "environ/../../etc/passwd",
    ):
        assert raw(system, "GET", f"/jobs/{job}/files/{target}").status_code == 404


def test_what_a_container_answers_to_a_look_is_checked(impostor: Impostor) -> None:
    for what, content in NO_FILE.items():
        look, answer = impostor.asked("/a.txt")
        assert (look["path"], look["first"], look["last"]) == ("a.txt", None, None)
        assert impostor.answer(look, content) == 400, what
        problem(answer.result(), 503, "was malformed")
    for what, content in NO_LIST.items():
        look, answer = impostor.asked("?under=a&cursor=a/b&limit=3")
        assert impostor.answer(look, content) == 400, what
        problem(answer.result(), 503, "was malformed")
    look, answer = impostor.asked("?under=a&cursor=a/b&limit=3")  # what a container says is all the same only said
    odd = {**ENTRY, "path": "a/c\r\nX: y", "modified": -1e300, "size": 2**60}
    assert impostor.answer(look, line({**LIST, "files": [odd], "more": True})) == 200
    (found,) = answer.result().json()["files"]
    assert (found["path"], found["modified"][:4], found["url"].count("\n")) == (odd["path"], "1980", 0)
    for kind in ("link", "denied", "failed"):
        look, answer = impostor.asked("/a.txt")
        assert (
            impostor.answer(look, line({"kind": kind, "detail": "x\r\nSet-Cookie: a=b\r\n\r\n" + "y" * 10**6})) == 200
        )
        said = answer.result()
        assert said.status_code in (409, 503) and len(said.content) < 3_000
        assert "set-cookie" not in said.headers


def test_what_a_container_sends_is_cut_off_where_it_must_end(impostor: Impostor) -> None:
    assert impostor.site.process
    status = Path(f"/proc/{impostor.site.process.pid}/status")
    before = int(status.read_text().partition("VmHWM:")[2].split()[0])
    look, answer = impostor.asked("/a.txt")
    assert impostor.answer(look, endless(b"{", b" " * 2**20)) in (413, None)
    problem(answer.result(), 503, "was malformed")
    look, answer = impostor.asked("/a.txt")
    assert impostor.answer(look, endless(line(FILE), b"x" * 2**20)) in (200, None)
    assert answer.result().content == b"xxxxx"
    look, answer = impostor.asked("/a.txt")  # as large as it says it is: it is not even begun
    size = 2**50
    assert impostor.answer(look, endless(line({**FILE, "size": size, "end": size}), b"x" * 2**20)) in (200, None)
    problem(answer.result(), 413, f"{size:,} bytes")
    look, answer = impostor.asked("/a.txt")  # less than it says it is: nobody takes it for whole
    assert impostor.answer(look, line(FILE) + b"xx") == 200
    assert isinstance(answer.exception(), httpx.RemoteProtocolError)
    assert int(status.read_text().partition("VmHWM:")[2].split()[0]) - before < 40 * 1024


def test_a_container_answers_looks_into_itself_alone_and_each_once(
    impostor: Impostor, make_impostor: Callable[[], Impostor]
) -> None:
    neighbour = make_impostor()
    look, answer = neighbour.asked("/a.txt")
    assert impostor.answer(look, line(FILE) + b"false") == 404
    for other in ("0" * 16, "", "%2e%2e", look["id"].upper(), "x" * 5_000):
        assert impostor.answer({"id": other}, line(FILE) + b"false") == 404
    assert neighbour.answer(look, line(FILE) + b"right") == 200
    assert neighbour.answer(look, line(FILE) + b"again") == 404
    assert answer.result().content == b"right"

    heard: list[dict[str, Any]] = []
    refused = threading.Event()

    def halting() -> Iterator[bytes]:
        yield line(FILE) + b"ri"
        refused.wait(PATIENCE)
        yield b"ght"

    def hear_and_answer() -> int | None:
        heard.append(neighbour.heard())
        return neighbour.answer(heard[0], halting())

    with ThreadPoolExecutor(1) as sending:
        sent = sending.submit(hear_and_answer)
        with neighbour.site.http.stream("GET", f"/jobs/{neighbour.job}/files/a.txt") as going_on:
            assert neighbour.answer(heard[0], line(FILE) + b"again") == 404
            refused.set()
            assert (going_on.read(), sent.result()) == (b"right", 200)


def test_a_container_that_is_slow_to_answer_holds_nobody_for_long(impostor: Impostor) -> None:
    look, answer = impostor.asked("/a.txt")
    going_on = threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"{"
        going_on.wait(60)

    with ThreadPoolExecutor(1) as sending:
        sent = sending.submit(impostor.answer, look, slow())
        other, ended = impostor.asked("/b.txt")
        assert impostor.answer(other, line({"kind": "ended", "detail": ""})) == 200
        problem(ended.result(), 503, "are being packed")
        problem(answer.result(), 504, f"{messages.LOOK_BEGIN_SECONDS:g} s")
        going_on.set()
        sent.result()
    look, answer = impostor.asked("/a.txt")
    assert impostor.answer(look, line(FILE) + b"right") == 200
    assert answer.result().content == b"right"
