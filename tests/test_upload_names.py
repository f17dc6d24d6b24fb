"""Forms and file names of any kind, made by machine: one plain name comes of each, or a sentence, and nothing is left.

What is red stays red: all is derived from this file alone.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from pathlib import Path
from typing import Any

import httpx
import pytest
from answers import nothing_stored, problem
from conftest import System
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from orchestrator.errors import BadRequest
from orchestrator.files.uploads import safe_name

by_machine = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

PIECES = st.sampled_from(
    ["..", ".", "/", "\\", "a", "é", "e\u0301", "\0", "\n", "\x7f", "\x85", "\u202e", "\u2028", "\ud800", "\udcff",
     ".env", ".ENV", "x" * 200, "é" * 120, "\ufb01", "\u212b", "\uff0f", "\u2215", " ", "CON", ";", "%00", "%2e%2e%2f",
     "~", "-rf"]
)  # fmt: skip
GIVEN = st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=6).map("".join))


@settings(by_machine, max_examples=2000)
@given(GIVEN)
@example("")
@example("a/..")
@example("\u0344" * 64)  # composed, it is longer
def test_any_name_is_refused_with_a_sentence_or_becomes_one_plain_component(given_name: str) -> None:
    try:
        name = safe_name(given_name)
    except BadRequest as refused:
        assert refused.status == 422 and len(refused.detail) > 20 and refused.detail.endswith(".")
        assert refused.detail.isprintable()
        return
    assert name not in ("", ".", "..") and "/" not in name and "\\" not in name
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
    assert len(name.encode()) <= 255
    assert unicodedata.is_normalized("NFC", name)
    assert safe_name(name) == name
    assert unicodedata.normalize("NFC", given_name).endswith(name)  # nothing is taken away but folders


# ── through the front door ───────────────────────────────────────────────────────────────────────────────────────────

STEPS = b'Content-Disposition: form-data; name="steps"\r\n\r\n[{"kind": "shell", "script": "true"}]'


def post(system: System, body: Any, kind: str = "multipart/form-data; boundary=B") -> httpx.Response:
    return system.http.post("/schedule", content=body, headers=[(b"Content-Type", kind.encode("latin-1"))])


def form(*parts: bytes) -> bytes:
    return b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + b"--B--\r\n"


def file(disposition: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="files"; ' + disposition + b"\r\n\r\ncontent"


def left(system: System) -> set[Path]:
    return {path for path in system.record.rglob("*") if "orchestrator" not in path.name}


DISPOSITION = st.lists(
    st.sampled_from(
        [b"filename=", b"filename*=", b'filename="', b'"', b"UTF-8''", b"utf-8'de'", b"iso-8859-1''", b"x''",
         b"%e4%b8%ad", b"%ff", b"%00", b"%2e%2e%2f", b"a.csv", b"; ", b";", b"=",
         b"\\", b'\\"', b"\xe9", b"\xff\xfe", b"\xc3\xa9",
         b"name=", b"../x", b"C:\\x\\y.csv", b"\t", b" ", b"files", b"?=", b"=?utf-8?b?eA==?="]
    ),
    max_size=8,
).map(b"".join)  # fmt: skip
PART = st.one_of(
    st.just(STEPS),
    DISPOSITION.map(file),
    DISPOSITION.map(lambda rest: b"Content-Disposition: form-data; " + rest + b"\r\n\r\nx"),
    st.binary(max_size=40),
)


@settings(by_machine, max_examples=150)
@given(parts=st.lists(PART, max_size=4), cut=st.sampled_from([0, 0, 0, 1, 4, 30]), first=st.booleans())
@example(parts=[file(b"filename*=UTF-8''%e4%b8%ad.csv")], cut=0, first=True)
def test_any_form_is_taken_or_refused_with_a_sentence(
    parked: System, parts: list[bytes], cut: int, first: bool
) -> None:
    before = left(parked)
    body = form(*([STEPS] if first else []), *parts)
    answer = post(parked, body[: len(body) - cut])
    if answer.status_code == 202:
        found = answer.json()
        for upload in found["uploads"]:
            assert safe_name(upload["name"]) == upload["name"]
        assert parked.http.delete(f"/jobs/{found['job_id']}").status_code == 204
    else:
        assert answer.status_code in (400, 422), answer.text
        problem(answer, answer.status_code)
    assert left(parked) == before


@pytest.mark.parametrize(
    ("boundary", "status"),
    [
        ("x=B", 400), ("boundary=", 400), ("boundary=C", 400), ("boundary=\xe9", 400), ("boundary=" + "B" * 5000, 400),
        ("boundary=B; boundary=C", 400), ('boundary="B', 400), ("boundary=B\tC", 400), ('boundary="B"', 202),
    ],
)  # fmt: skip
def test_a_boundary_that_is_none_is_refused(parked: System, boundary: str, status: int) -> None:
    before = left(parked)
    answer = post(parked, form(STEPS), f"multipart/form-data; {boundary}")
    assert answer.status_code == status, answer.text
    if status == 202:
        parked.http.delete(f"/jobs/{answer.json()['job_id']}")
    else:
        problem(answer, status, "orm")
    assert left(parked) == before


FIELD = b'Content-Disposition: form-data; name="%d"\r\n\r\n'
FORMS = {
    "nothing": (b"", 400),
    "no part": (b"--B--\r\n", 422),
    "no header": (form(STEPS, b"\r\n\r\nno header"), 400),
    "no name": (form(STEPS, b"Content-Disposition: form-data\r\n\r\nx"), 400),
    "a field twice": (form(STEPS, STEPS), 422),
    "a file twice": (form(STEPS, file(b'filename="a"'), file(b'filename="a"')), 422),
    "twice, once composed": (form(STEPS, file(b'filename="e\xcc\x81"'), file(b'filename="\xc3\xa9"')), 422),
    "a header of a megabyte": (form(STEPS, b"X: " + b"x" * 2**20 + b"\r\n\r\nx"), 400),
    "10,000 headers": (form(STEPS, b"X: x\r\n" * 10_000 + b"\r\nx"), 400),
    "10,000 files": (form(STEPS, *[file(b'filename="%d"' % number) for number in range(10_000)]), 413),
    "30,000 fields": (form(STEPS, *[FIELD % number for number in range(30_000)]), 413),
}


@pytest.mark.parametrize("what", FORMS)
def test_a_form_that_no_browser_would_send_is_refused(parked: System, what: str) -> None:
    body, status = FORMS[what]
    before = left(parked)
    with nothing_stored(parked):
        problem(post(parked, body), status)
    assert left(parked) == before


@pytest.mark.parametrize("length", ["-1", "0x10", "1e3", "9" * 30, "10, 20", "+5", ""])
def test_a_length_that_is_none_is_refused(parked: System, length: str) -> None:
    head = "POST /schedule HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=B\r\n"
    with socket.create_connection(("127.0.0.1", parked.port), 20) as caller:
        caller.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + form(STEPS))
        assert re.match(rb"HTTP/1\.1 4(00|13) ", caller.recv(4096))


def test_headers_without_end_are_cut_off_in_little_memory(parked: System) -> None:
    def endless() -> Any:
        yield b"--B\r\nX: "
        for _ in range(300):
            yield b"x" * 2**20

    before = memory(parked)
    try:
        assert post(parked, endless()).status_code in (400, 413)
    except httpx.WriteError:
        pass  # refused before all was sent
    assert memory(parked) - before < 64


def memory(system: System) -> int:
    """MiB that the orchestrator has had in memory at most."""
    assert system.process
    return int(Path(f"/proc/{system.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
