"""Log files in the encodings, archives and shapes that people have, read by the template log-report."""

# ruff: noqa: E501 - lines of logs are long

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.logs import log_report

ERROR, INFO = "2024-10-10 10:00:00 ERROR größer\n", "2024-10-10 10:00:01 INFO ok\n"
#: gzip without a time, so that parametrized tests keep their names.
gzipped = partial(gzip.compress, mtime=0)

TEXT = ERROR + INFO
COUNTS = {"error": 1, "info": 1}
OBJECTS: list[dict[str, Any]] = [{"level": "error", "msg": "größer"}, {"level": "info", "msg": "ok"}]
LINES = "".join(json.dumps(one) + "\n" for one in OBJECTS)
NOISE = random.Random(7).randbytes(20_000).hex()  # noqa: S311 - the same in each run

TRACEBACK = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    main("ERROR: no entry")
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2, in f
requests.exceptions.Timeout: after 5 s
"""
JAVA = """java.lang.IllegalStateException: no pool
\tat com.x.Y.z(Y.java:12)
Caused by: java.io.IOException: closed
\t... 12 more
"""


def read(tmp_path: Path, content: bytes, name: str = "a.log") -> tuple[Any, list[str]]:
    place = tmp_path / name
    place.write_bytes(content)
    tally, notes = log_report.read_files([str(place)])
    accounted = (sum(tally.levels.values()), tally.continued, tally.unknown_count, tally.blank, tally.headers)
    assert sum(accounted) == tally.lines, "each line counts once"
    return tally, [told.format(**values) for told, values in notes]


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        ("\ufeff" + TEXT).encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r\n").encode("utf-16"),
        TEXT.rstrip().encode(),
        gzipped(TEXT.encode()),
        gzipped(TEXT.encode("utf-16")),
        gzipped(ERROR.encode()) + gzipped(INFO.encode()),
        bz2.compress(TEXT.encode()),
        lzma.compress(TEXT.encode()),
        TEXT.replace("ERROR", "\x1b[31;1mERROR\x1b[0m").encode(),
        ("\x1b[2m" + TEXT).encode(),
        TEXT.replace("ERROR", "#033[31mERROR#033[0m").encode(),
        LINES.encode("utf-8-sig"),
        LINES.replace("\n", "\r\n").encode("utf-16"),
        json.dumps(OBJECTS).encode(),
        json.dumps(OBJECTS, indent=2).encode(),
        ("\ufeff" + json.dumps(OBJECTS, indent=2)).encode(),
        "\n".join(json.dumps(one, indent=4) for one in OBJECTS).encode(),
        ("[\n" + ",\n".join(json.dumps(one) for one in OBJECTS) + "\n]\n").encode(),
        json.dumps({"version": 1, "Records": OBJECTS}).encode(),
        json.dumps({"hits": {"hits": [{"_id": 1, "_source": one} for one in OBJECTS]}}).encode(),
        "".join(f"\x1e{json.dumps(one)}\n" for one in OBJECTS).encode(),
        "".join(f"data: {json.dumps(one)}\n\n" for one in OBJECTS).encode(),
    ],
    ids=lambda content: repr(content[:30]),
)
def test_the_same_log_is_read_in_every_encoding_archive_and_shape(tmp_path: Path, content: bytes) -> None:
    tally, notes = read(tmp_path, content)
    assert (dict(tally.levels), notes) == (COUNTS, [])
    assert list(tally.examples.values()) == ["größer"]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (TEXT.encode("cp1252"), "a.log has lines that are not UTF-8; cp1252 was assumed."),
        (TEXT.encode("utf-16-le"), "a.log has no byte order mark; UTF-16-LE was assumed."),
        (TEXT.encode("utf-16-be"), "a.log has no byte order mark; UTF-16-BE was assumed."),
    ],
)
def test_an_assumed_encoding_is_said(tmp_path: Path, content: bytes, note: str) -> None:
    tally, notes = read(tmp_path, content)
    assert (dict(tally.levels), notes) == (COUNTS, [note])
    assert list(tally.examples.values()) == ["größer"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["a.log is empty."]),
        (b"\xef\xbb\xbf", ["a.log is empty."]),
        (b"\n\n \n", ["a.log is empty."]),
        (gzipped(TEXT.encode())[:-12], ["a.log is broken or cut off", "Compressed file ended before"]),
        (gzipped((INFO + NOISE).encode())[:9000], ["a.log is broken or cut off", "Compressed file ended before"]),
        (b"\x1f\x8b no gzip at all", ["a.log is broken or cut off", "Nothing of it could be read."]),
        (bz2.compress(TEXT.encode())[:20], ["a.log is broken or cut off"]),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), ["a.log is not a text but a "]),
        (b"LPKSHHRH" + bytes(range(256)), ["a.log is not a text but a journal of systemd; export it with journalctl -o json"]),
        (b"ElfFile\0" + bytes(range(256)), ["a.log is not a text but an event log of Windows"]),
    ],
)  # fmt: skip
def test_a_file_that_is_no_log_is_named_with_the_cause(tmp_path: Path, content: bytes, words: list[str]) -> None:
    _, notes = read(tmp_path, content)
    assert len(notes) == 1
    assert all(word in notes[0] for word in words)


def test_the_lines_before_the_break_of_an_archive_count(tmp_path: Path) -> None:
    packed = gzipped(b"".join(f"2024-10-10 10:00:00 ERROR {os.urandom(8).hex()}\n".encode() for _ in range(20_000)))
    tally, notes = read(tmp_path, packed[:100_000])
    assert tally.levels["error"] > 1000
    assert f"Lines before that: {tally.lines}." in notes[0]


@pytest.mark.parametrize(
    ("content", "levels", "cut"),
    [
        ("x" * 12_000_000 + "\n" + TEXT, COUNTS, 1),
        (TEXT + "2024-10-10 10:00:02 ERROR " + "x" * 12_000_000, {"error": 2, "info": 1}, 1),
        (json.dumps({"level": "error", "blob": "x" * 12_000_000}) + "\n" + LINES, {"error": 2, "info": 1}, 0),
        (json.dumps({"level": "error", "blob": "x" * 12_000_000}), {"error": 1}, 0),
        ("x" * 33_000_000 + "\n" + TEXT, COUNTS, 2),
        ("[" * 100_000 + "\n" + TEXT, COUNTS, 1),
        ("{" * 100_000 + "\n" + TEXT, COUNTS, 0),
        ('{"a":' * 100_000 + "\n" + TEXT, COUNTS, 0),
    ],
    ids=range(8),
)
def test_a_very_long_line_does_not_hide_the_others(
    tmp_path: Path, content: str, levels: dict[str, int], cut: int
) -> None:
    tally, notes = read(tmp_path, content.encode())
    assert dict(tally.levels) == levels
    assert notes == ([f"a.log has lines that are too long: {cut}. Their ends were left out."] if cut else [])


@pytest.mark.parametrize(
    ("content", "levels", "exceptions"),
    [
        (ERROR + TRACEBACK + INFO, COUNTS, ["KeyError: 'x'", "requests.exceptions.Timeout: after <n> s"]),
        (INFO + TRACEBACK, {"info": 1, "error": 1}, ["KeyError: 'x'", "requests.exceptions.Timeout: after <n> s"]),
        (TRACEBACK, {"error": 1}, ["KeyError: 'x'", "requests.exceptions.Timeout: after <n> s"]),
        (ERROR + JAVA + INFO, COUNTS, ["java.lang.IllegalStateException: no pool"]),
        (INFO + JAVA, {"info": 1, "error": 1}, ["java.lang.IllegalStateException: no pool"]),
        (INFO + "  an ERROR: in an indented line\n", {"info": 1}, []),
        (INFO + "panic: oh no\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1\nexit status 2\n", {"info": 1, "critical": 1}, []),
        ("Traceback (most recent call last):\n  File x\n" + TEXT, COUNTS, []),
    ],
)  # fmt: skip
def test_a_traceback_belongs_to_its_error_or_is_one(
    tmp_path: Path, content: str, levels: dict[str, int], exceptions: list[str]
) -> None:
    tally, _ = read(tmp_path, content.encode())
    assert (dict(tally.levels), list(tally.exceptions), tally.unknown_count) == (levels, exceptions, 0)


def test_a_log_of_iis_is_read_by_its_fields(tmp_path: Path) -> None:
    content = (
        "#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Date: 2024-10-10 10:00:00\r\n"
        "#Fields: date time cs-method cs-uri-stem c-ip cs(User-Agent) sc-status sc-bytes time-taken\r\n"
        "2024-10-10 10:00:00 GET /a 1.2.3.4 Mozilla/5.0 200 10 15\r\n2024-10-10 10:00:01 GET /b 1.2.3.4 - 500 20 1500\r\n"
        "#Fields: date time cs-uri-stem sc-status\r\n2024-10-10 10:00:02 /c 404\r\n"
    )
    tally, _ = read(tmp_path, content.encode(), "u_ex.log")
    assert (tally.headers, tally.unknown_count) == (5, 0)
    assert tally.statuses == {200: 1, 500: 1, 404: 1}
    assert (tally.weights.total(), tally.durations.longest, tally.agents) == (30, 1.5, Counter({"Mozilla/5.0": 1}))


def test_probes_and_timeouts_are_requests_of_their_own(tmp_path: Path) -> None:
    start = '1.2.3.4 - - [10/Oct/2024:13:55:36 +0000] "'
    lines = ['\\x16\\x03\\x01" 400 166 "-" "-"', '-" 408 0 "-" "-"', 'GET / HTTP/1.1" 200 9 "-" "x" 12000']
    tally, _ = read(tmp_path, "".join(f"{start}{line}\n" for line in lines).encode())
    assert tally.unknown_count == 0
    assert set(tally.failing) == {"400 (not HTTP, such as a TLS handshake)", "408 (no request)"}
    assert tally.numbers.longest == 12000


def test_durations_give_a_median_the_share_that_was_faster_and_the_slowest_pages() -> None:
    durations = log_report.Durations()
    for number in range(1, 101):
        durations.add("/slow" if number > 90 else "/fast", number / 100)
    assert [durations.share(part) for part in (0.5, 0.95, 1.0)] == [0.5, 0.95, 1.0]
    assert (durations.longest, durations.paths["/slow"][0]) == (1.0, 10)
    assert durations.scaled(1000).share(0.5) == 500


def test_without_a_known_line_the_script_ends_with_the_causes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.log.gz").write_bytes(gzipped(b"some text\n" * 9)[:-8])
    (tmp_path / "b.log").write_bytes(b"")
    monkeypatch.setattr("sys.argv", ["log_report.py", str(tmp_path / "a.log.gz"), str(tmp_path / "b.log")])
    with pytest.raises(SystemExit) as ended:
        log_report.main()
    said = str(ended.value)
    assert "a.log.gz is broken or cut off (Compressed file ended" in said
    assert "b.log is empty." in said
    assert "No line of 9 has a known form.\na.log.gz: some text" in said
