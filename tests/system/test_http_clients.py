"""What HTTP clients do: they offer upgrades, send requests in a row, and read the answer only after the whole body."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.system import System

STEPS = [{"kind": "shell", "script": "true"}]
BODY = json.dumps({"steps": STEPS}).encode()
LAST = b"GET /jobs?limit=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

# ── upgrades ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def offer(upgrade: str, connection: str = "Upgrade, HTTP2-Settings", chunked: bool = False) -> bytes:
    """A request to /schedule that offers an upgrade."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(BODY)}"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY) if chunked else BODY
    head = (
        f"POST /schedule HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nUpgrade: {upgrade}\r\n{length}\r\n"
    )
    return f"{head}HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n".encode() + body


def statuses(system: System, *parts: bytes) -> list[str]:
    """Send the parts one after the other on one connection, and return the status of each answer."""
    with socket.create_connection(("127.0.0.1", system.port), 20) as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            caller.sendall(part)
        with caller.makefile("rb") as answer:
            return [found.decode() for found in re.findall(rb"HTTP/1\.1 (\d+) ", answer.read())]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("upgrade", "connection"),
    [
        ("h2c", "Upgrade, HTTP2-Settings"), ("H2C", "upgrade"), ("websocket", "keep-alive, Upgrade"),
        ("TLS/1.0, HTTP/1.1", "Upgrade"), ("h2c", "close"), ("h2c, websocket\r\nUpgrade: foo", "Upgrade"),
    ],
)  # fmt: skip
def test_an_offered_upgrade_is_ignored_and_the_body_is_read(
    parked: System, upgrade: str, connection: str, chunked: bool
) -> None:
    request = offer(upgrade, connection, chunked)
    alone = connection == "close"
    assert statuses(parked, request, *([] if alone else [LAST])) == ["202"] + ([] if alone else ["200"])


def test_requests_in_a_row_are_all_answered_if_each_offers_an_upgrade(parked: System) -> None:
    get = b"GET /jobs HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    row = offer("h2c") + get + offer("websocket", chunked=True) + get + offer("h2c") + LAST
    wanted = ["202", "200", "202", "200", "202", "200"]
    assert statuses(parked, row) == wanted
    assert statuses(parked, *(row[place : place + 1] for place in range(len(row)))) == wanted


def test_a_tunnel_is_refused_and_nothing_in_it_is_answered(parked: System) -> None:
    for head in (b"CONNECT example.org:443", b"CONNECT /jobs"):
        (status,) = statuses(parked, head + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" + LAST)
        assert status in ("400", "405")


@pytest.mark.parametrize("send", [["-d", BODY.decode()], ["-F", f"steps={json.dumps(STEPS)}", "-F", "files=@a.csv"]])
def test_curl_with_http2_submits_a_job(parked: System, tmp_path: Path, send: list[str]) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    run = ["curl", "-sSf", "--http2", *send, f"{parked.http.base_url}/schedule"]
    answer = json.loads(subprocess.run(run, cwd=tmp_path, check=True, capture_output=True).stdout)
    assert [upload["name"] for upload in answer["uploads"]] == ["a.csv"] * ("-F" in send)


# ── answers before the end of the body ───────────────────────────────────────────────────────────────────────────────

KEY = "a-key-of-this-test"
KEYED = {"Authorization": f"Bearer {KEY}"}
MIB = 2**20
FORM = {**KEYED, "Content-Type": "multipart/form-data; boundary=b"}
FIELD = b'--b\r\nContent-Disposition: form-data; name="check"\r\n\r\ntrue\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'

#: Method, path, headers, beginning and size of a body, and the status of its early answer.
EARLY: dict[str, tuple[str, str, dict[str, str], bytes, int, int]] = {
    "no key": ("POST", "/schedule", {}, b"", 30 * MIB, 401),
    "a foreign origin": ("POST", "/schedule", {**KEYED, "Origin": "http://evil.example"}, b"", 30 * MIB, 403),
    "too large": ("POST", "/schedule", KEYED, b"", 30 * MIB, 413),
    "files too large": ("POST", "/schedule", FORM, FILE, 40 * MIB, 413),
    "a field twice": ("POST", "/schedule", FORM, FIELD * 2 + FILE, 15 * MIB, 422),
    "no form": ("POST", "/schedule", FORM, b"x", 15 * MIB, 400),
    "neither JSON nor a form": ("POST", "/schedule", {**KEYED, "Content-Type": "text/csv"}, b"", 4 * MIB - 1, 415),
    "no such path": ("POST", "/nothing", KEYED, b"", 4 * MIB - 1, 404),
    "no such method": ("PUT", "/jobs", KEYED, b"", 4 * MIB - 1, 405),
    "no such job": ("POST", "/cancel/0123456789abcdef", KEYED, b"", 4 * MIB - 1, 404),
}

NODE = """
const [url, method, headers, file] = process.argv.slice(1);
const body = require("fs").readFileSync(file);
fetch(url, {method, headers: JSON.parse(headers), body}).then(
    async (answer) => console.log(answer.status, (await answer.json()).status),
    (error) => console.log(error.cause?.code ?? error));
"""


@pytest.fixture(scope="module")
def keyed(no_engine: str) -> Iterator[System]:
    one = System(DOCKER_HOST=no_engine, API_KEY=KEY, MAX_UPLOAD="20m")
    try:
        yield one.start()
    finally:
        one.close()


def with_urllib(url: str, method: str, headers: dict[str, str], body: Path) -> str:
    """Ask with a client that reads the answer only after it has sent the whole body."""
    request = urllib.request.Request(url, body.read_bytes(), headers, method=method)  # noqa: S310 - our own server
    try:
        urllib.request.urlopen(request, timeout=60)  # noqa: S310
    except urllib.error.HTTPError as error:
        return f"{error.code} {json.load(error)['status']}"
    raise AssertionError


def with_chunks(url: str, method: str, headers: dict[str, str], body: Path) -> str:
    address, _, path = url.removeprefix("http://").partition("/")
    with contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        with open(body, "rb") as file:
            connection.request(method, f"/{path}", iter(lambda: file.read(2**16), b""), headers, encode_chunked=True)
        answer = connection.getresponse()
        return f"{answer.status} {json.load(answer)['status']}"


def with_curl(url: str, method: str, headers: dict[str, str], body: Path, *more: str) -> str:
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    run = ["curl", "-sS", "-X", method, "--data-binary", f"@{body}", "-w", "\n%{http_code}", *given, *more, url]
    found = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    problem, _, status = found.rpartition("\n")
    return f"{status} {json.loads(problem)['status']}"


def with_curl_without_asking(url: str, method: str, headers: dict[str, str], body: Path) -> str:
    return with_curl(url, method, headers, body, "-H", "Expect:")


def with_node(url: str, method: str, headers: dict[str, str], body: Path) -> str:
    run = ["node", "-e", NODE, url, method, json.dumps(headers), str(body)]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()


CLIENTS: list[Any] = [
    with_urllib,
    with_chunks,
    with_curl,
    with_curl_without_asking,
    pytest.param(with_node, marks=pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")),
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("why", EARLY)
def test_every_client_gets_an_answer_that_comes_before_the_end_of_its_body(
    keyed: System, tmp_path: Path, why: str, client: Callable[..., str]
) -> None:
    method, path, headers, begin, size, status = EARLY[why]
    body = tmp_path / "body"
    body.write_bytes(begin + b"x" * size)
    assert client(f"http://127.0.0.1:{keyed.port}{path}", method, headers, body) == f"{status} {status}"


def test_a_connection_can_be_used_again_after_an_early_answer(keyed: System) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", keyed.port, timeout=20)) as connection:
        for _ in range(2):
            connection.putrequest("POST", "/nothing")
            connection.putheader("Authorization", KEYED["Authorization"])
            connection.putheader("Content-Length", str(3 * MIB))
            connection.endheaders()
            answer = connection.getresponse()  # before any of the body
            assert (answer.status, answer.read()[:1]) == (404, b"{")
            used = connection.sock
            for _ in range(3):
                connection.send(b"x" * MIB)
        connection.request("GET", "/jobs", headers=KEYED)
        assert connection.getresponse().status == 200 and connection.sock is used
