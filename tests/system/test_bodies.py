"""Bodies as clients encode them: charsets, compression, forms without files, and JSON that is none."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.answers import nothing_stored, problem
from tests.support.system import System

#: gzip without a time, so that parametrized tests keep their names.
gzipped = partial(gzip.compress, mtime=0)

HELLO = {"prompt": "Hello world"}
FORM = "application/x-www-form-urlencoded"


def post(system: System, body: bytes, kind: str | None = "application/json", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return system.http.post("/schedule", content=body, headers=named | ({"Content-Type": kind} if kind else {}))


# ── content types and charsets ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "kind",
    [None, FORM, "text/plain", "text/plain;charset=UTF-8", "application/json; charset=utf8", "text/json",
     "application/x-json", "application/vnd.api+json", "APPLICATION/JSON", "application/json;",
     "application/json; charset=x"],
)  # fmt: skip
def test_json_is_taken_with_the_types_that_clients_give_it(parked: System, kind: str | None) -> None:
    assert post(parked, json.dumps(HELLO).encode(), kind).status_code == 202


@pytest.mark.parametrize(
    "kind",
    ["text/csv", "application/octet-stream", "application/xml", "image/png", "multipart/mixed; boundary=b", "junk"],
)
def test_another_type_is_refused_with_those_that_are_taken(parked: System, kind: str) -> None:
    words = (repr(kind.partition(";")[0]), "-H 'Content-Type: application/json'", "-F prompt=", "-F files=@sales.csv")
    problem(post(parked, b"x", kind), 415, *words)


@pytest.mark.parametrize(
    ("encoding", "charset"),
    [
        ("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("utf-16-le", None), ("utf-16-be", None),
        ("utf-32", None), ("utf-8", "iso-8859-1"), ("latin-1", "ISO-8859-1"), ("cp1252", "windows-1252"),
    ],
)  # fmt: skip
def test_json_is_read_in_its_encoding(parked: System, encoding: str, charset: str | None) -> None:
    body = json.dumps({**HELLO, "labels": {"a": "grün"}}, ensure_ascii=False).encode(encoding)
    answer = post(parked, body, f"application/json; charset={charset}" if charset else "application/json")
    assert answer.json()["labels"] == {"a": "grün"}, answer.text


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=punycode", "; charset=hex"])
def test_text_of_another_charset_is_refused_with_its_place(parked: System, charset: str) -> None:
    body = '{"prompt": "grün"}'.encode("latin-1")
    with nothing_stored(parked):
        problem(post(parked, body, f"application/json{charset}"), 400, "byte 15 (0xfc) is not UTF-8", "charset=")


# ── JSON that is none ────────────────────────────────────────────────────────────────────────────────────────────────

WRONG: list[tuple[bytes, str]] = [
    (b"", ": it is empty. Send JSON"),
    (b'{"prompt": "x",}', " at line 1, column 16: a comma has nothing after it"),
    (b'{"outputs": ["a",\n]}', "a comma has nothing after it"),
    (b'{"prompt": "x",, "check": "y"}', " at line 1, column 16: a comma has nothing after it"),
    (b"{'prompt': 'x'}", " at line 1, column 2: use plain double quotes"),
    ('{“prompt”: "x"}'.encode(), " at line 1, column 2: use plain double quotes"),
    (b"'{prompt: x}'", "The Command Prompt of Windows keeps it"),
    (b'{prompt: "x"}', " at line 1, column 2: a name needs double quotes"),
    (b'{\n  "prompt": "x" // now\n}', " at line 2, column 17: JSON has no comments"),
    (b'{"prompt": None}', " at line 1, column 12: write true, false or null"),
    (b'{"prompt": "a\nb"}', " at line 1, column 14: a string has a line break; write \\n."),
    (b'{"prompt": "a\tb"}', "a string has a tab; write \\t."),
    (b'{"prompt": "a\0b"}', "a string has a NUL character; write \\u0000."),
    (b'{"prompt": "C:\\Users"}', "write \\\\ for a backslash"),
    (b'{"prompt": "x', " at line 1, column 12: a string has no end"),
    (b'{"prompt": "x"', "but the body ends"),
    (b'{"prompt": "x"} {"prompt": "y"}', " at line 1, column 17: text follows after the end of the JSON"),
    (b'{"keep_days": ' + b"1" * 5000 + b"}", "a number has too many digits"),
    (b"Hello world", "it looks like plain text"),
    (b"month,amount\n1,10\n", "-F files=@sales.csv"),
    (b"1,10\n2,20\n", "-F files=@sales.csv"),
    (b"a,b\nhttp://x/?y=1,2\n", "-F files=@sales.csv"),
    (b"<html>", "it looks like XML or HTML"),
    (b"@body.json", "curl reads a file with -d @body.json"),
    (b'--b\r\nContent-Disposition: form-data; name="a"\r\n', "it looks like a form"),
    (b"%7B%22prompt%22%3A1%7D", "it is percent-encoded"),
    (gzipped(b"{}"), "add -H 'Content-Encoding: gzip'"),
    (b"PK\x03\x04\x14\0", "it is a ZIP archive"),
    (b"\x89PNG\r\n", "it is a picture"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["application/json", FORM, "text/plain"])
@pytest.mark.parametrize(("body", "words"), WRONG)
def test_json_that_is_none_is_refused_with_the_place_and_what_to_do(
    parked: System, body: bytes, words: str, kind: str
) -> None:
    with nothing_stored(parked):
        found = problem(post(parked, body, kind), 400, "is not valid JSON")
    assert words.lower() in found["detail"].lower(), found["detail"]


def test_an_error_never_repeats_what_was_sent(parked: System) -> None:
    secret = b"4711-secret"
    for body in (
        b'{"secrets": {"A": "%s"' % secret,
        b'{"secrets": {"A": "%s" x' % secret,
        b'{"secrets": "%s\n"}' % secret,
    ):
        assert secret.decode() not in post(parked, body).text


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"prompt": "a", "prompt": "b"}', "prompt"),
        ('{"prompt": "a", "labels": {"x": "1", "y": "2", "x": "3"}}', "x"),
        ('{"steps": [{"kind": "shell", "script": "true", "script": "false"}]}', "script"),
    ],
)
def test_a_name_that_is_given_twice_is_refused(parked: System, body: str, name: str) -> None:
    with nothing_stored(parked):
        found = problem(post(parked, body.encode()), 422, f"{name}: is given more than once")
    assert found["errors"] == [{"field": name, "message": "is given more than once"}]


# ── a form without files ─────────────────────────────────────────────────────────────────────────────────────────────

PRINT = "Create a Python script that prints hello world"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (f"prompt={PRINT}", {"prompt": PRINT}),
        (f"prompt={PRINT}\n", {"prompt": PRINT}),
        (f"prompt={PRINT.replace(' ', '+')}&check=", {"prompt": PRINT}),
        ("prompt=Hello%20world&network=none", {**HELLO, "network": "none"}),
        ('prompt=Hello world&labels={"team": "blue"}', {**HELLO, "labels": {"team": "blue"}}),
        ("prompt=Hello world&keep_days=2.5&template=", {**HELLO, "keep_days": 2.5}),
    ],
)
def test_a_form_without_files_submits_a_job(parked: System, body: str, fields: dict[str, Any]) -> None:
    answer = post(parked, body.encode(), FORM)
    assert answer.status_code == 202, answer.text
    assert {name: answer.json()[name] for name in fields} == fields


AMBIGUOUS = "not percent-encoded"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("prompt=What is 2+2?", AMBIGUOUS), ("prompt=Say 50%25 of it", AMBIGUOUS), ("prompt=a & b", AMBIGUOUS),
        ("prompt=Plot x&y of it", AMBIGUOUS), ("prompt=Is x & y=2?", AMBIGUOUS), ("prompt=%ff", AMBIGUOUS),
        ('steps=[{"kind": "shell", "script": "true && false"}]', AMBIGUOUS),
        ("promt=Hello world", "promt: there is no such field"),
        ("prompt=Hello world&timeout=5", "timeout: there is no such field"),
        ("prompt=a&prompt=b", "prompt: is given more than once"),
        ("files=@sales.csv", "files: was sent as text; -F files=@sales.csv"),
        ("labels=blue", "labels: is not valid JSON"),
        ("prompt=" + "&a=" * 200, AMBIGUOUS), ("check=true", "prompt, steps and template are missing"),
    ],
)  # fmt: skip
def test_a_form_that_has_two_readings_or_none_is_refused(parked: System, body: str, words: str) -> None:
    with nothing_stored(parked):
        problem(post(parked, body.encode(), FORM), 422, words)


# ── compressed bodies ────────────────────────────────────────────────────────────────────────────────────────────────

LARGE = json.dumps({"prompt": "Hello world", "labels": {"a": "x"}}).encode() + b" " * 3_000_000
PART = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nHello world\r\n'
FILE = (
    PART
    + b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    + b"x" * 9_000_000
    + b"\r\n--b--"
)
MULTIPART = "multipart/form-data; boundary=b"


@pytest.mark.parametrize("body", [LARGE, json.dumps(HELLO).encode()], ids=["large", "small"])
@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzipped), ("x-gzip", gzipped), ("GZIP", gzipped), ("deflate", zlib.compress),
        ("identity", bytes), ("identity, gzip", gzipped), ("", bytes),
        ("gzip", lambda body: gzipped(body[:20]) + gzipped(body[20:])),
    ],
)  # fmt: skip
def test_a_compressed_body_is_read(parked: System, body: bytes, encoding: str, encode: Any) -> None:
    whole = encode(body)
    assert post(parked, whole, Content_Encoding=encoding).status_code == 202
    pieces = (whole[place : place + 7] for place in range(0, min(len(whole), 50_000), 7))
    if len(whole) <= 50_000:
        assert post(parked, pieces, Content_Encoding=encoding).status_code == 202  # type: ignore[arg-type]


def test_a_compressed_form_is_read(parked: System) -> None:
    answer = post(parked, gzipped(FILE), MULTIPART, Content_Encoding="gzip")
    assert [upload["bytes"] for upload in answer.json()["uploads"]] == [9_000_000]


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "aes128gcm", "x"])
def test_another_encoding_is_refused_with_those_that_are_taken(parked: System, encoding: str) -> None:
    with nothing_stored(parked):
        answer = post(parked, b"x", Content_Encoding=encoding)
        problem(answer, 415, f"Content-Encoding {encoding!r}", "gzip or deflate")
    assert answer.headers["accept-encoding"] == "gzip, deflate, identity"


@pytest.mark.parametrize(
    "body",
    [json.dumps(HELLO).encode(), gzipped(LARGE)[:-9], gzipped(b"{}") + b"x", b"\x1f\x8b", b"\x1f\x8bxxxx"],
)
def test_what_is_not_compressed_as_it_says_is_refused(parked: System, body: bytes) -> None:
    with nothing_stored(parked):
        problem(post(parked, body, Content_Encoding="gzip"), 400, "The body is not what its Content-Encoding says")


def test_a_small_body_cannot_become_a_large_one(make_parked: Callable[..., System]) -> None:
    system = make_parked(MAX_UPLOAD="8m").start()
    bomb = gzipped(b" " * 100_000_000, 1)
    file = PART.replace(b'"prompt"', b'"files"; filename="a"') + b"\0" * 100_000_000
    with nothing_stored(system):
        problem(post(system, bomb, Content_Encoding="gzip"), 413, "4.0 MiB")
        problem(post(system, gzipped(bomb), Content_Encoding="gzip"), 400)
        problem(post(system, gzipped(file, 1), MULTIPART, Content_Encoding="gzip"), 413, "MAX_UPLOAD")
        problem(post(system, gzipped(PART + b"\r\n" * 50_000_000, 1), MULTIPART, Content_Encoding="gzip"), 413)
    assert system.process
    peak = Path(f"/proc/{system.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
    assert int(peak) < 250_000  # KiB


def test_empty_streams_are_limited_too(parked: System) -> None:
    with nothing_stored(parked):
        problem(post(parked, gzipped(b"") * 300_000, Content_Encoding="gzip"), 413, "4.0 MiB")


def test_an_empty_body_may_name_an_encoding(parked: System) -> None:
    job = post(parked, json.dumps(HELLO).encode()).json()["job_id"]
    for path in (f"/cancel/{job}", f"/jobs/{job}/retry"):
        assert parked.http.post(path, headers={"Content-Encoding": "gzip"}).status_code in (200, 202)
