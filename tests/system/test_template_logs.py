"""The log-report template with logs of many programs, in one job."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.support.system import Artifact, System

ACCESS = '1.2.3.4 - - [10/Oct/2024:13:55:36 +0000] "'
FILES = {
    "apache_error.log": (
        b"[Wed Oct 11 14:32:52.123456 2023] [core:error] [pid 35708:tid 4328636416] [client 72.15.99.187] No file: /x\n"
        b"[Wed Oct 11 14:32:53 2000] [error] [client 127.0.0.1] client denied by server configuration: /y\n"
        b"[Wed Oct 11 14:32:54 2023] [mpm_event:notice] [pid 1:tid 2] AH00489: resuming normal operations\n"
    ),
    "journal.json": b"".join(
        json.dumps({"__REALTIME_TIMESTAMP": "1728560000000000", "PRIORITY": level, "MESSAGE": f"p{level}"}).encode()
        + b"\n"
        for level in "2346"
    ),
    "gozero.jsonl": (
        b'{"level":"info","time":"0001-01-01T00:00:00Z","msg":"a"}\n{"level":"info","time":"9999-12-31T23:59:59Z"}\n'
    ),
    "bom.jsonl": b'\xef\xbb\xbf{"level":"error","msg":"<script>alert(1)</script>"}\n',
    "access.log": (
        f'{ACCESS}GET /slow HTTP/1.1" 200 1000 "-" "curl/8.5" 2.500\n'
        f'{ACCESS}GET / HTTP/1.1" 200 24 "-" "curl/8.5" 0.010\n'
        f'{ACCESS}\\x16\\x03\\x01" 400 0 "-" "-"\n{ACCESS}-" 408 0 "-" "-"\n'
    ).encode(),
    "cut.log.gz": gzip.compress(b"2024-10-10 10:00:00 INFO ok\n" * 99)[:-8],
    "empty.log": b"",
    "array.json": json.dumps([{"log": {"level": "error"}, "message": "nested"}], indent=1).encode("utf-16"),
    "long.log": b"x" * 12_000_000 + b"\n2024-10-10 10:00:00 WARN colour\n".replace(b"WARN", b"\x1b[33mWARN\x1b[0m"),
}  # fmt: skip


def report(system: System, files: dict[str, bytes]) -> tuple[dict[str, Any], Artifact]:
    form = [("template", (None, "log-report")), *(("files", file) for file in files.items())]
    answer = system.http.post("/schedule", files=form)
    assert answer.status_code == 202, answer.text
    ended = system.ended(answer.json()["job_id"])
    return ended, system.zip(ended["job_id"])


@pytest.fixture(scope="module")
def archive(system: System) -> Artifact:
    ended, found = report(system, FILES)
    assert ended["status"] == "completed", found.output_log
    return found


def test_the_report_counts_every_line_of_every_file(archive: Artifact) -> None:
    found = json.loads(archive.text("summary.json"))
    assert found["levels"] == {"error": 5, "critical": 1, "warning": 4, "info": 105}
    assert found["unknown_lines"] == 1, "the line of 12 MB"
    assert found["forms"]["Apache error log"] == 3
    assert found["forms"]["journal"] == 4
    assert {error["message"] for error in found["top_errors"]} >= {"p<n>", "nested", "<script>alert(<n>)</script>"}
    assert sum(found["files"].values()) == found["lines"]


def test_the_report_has_the_durations_bytes_and_user_agents_of_requests(archive: Artifact) -> None:
    found = json.loads(archive.text("summary.json"))
    assert found["durations"] == {"requests": 2, "median": 0.01, "p95": 2.5, "p99": 2.5, "longest": 2.5}
    assert found["slowest_paths"][0] == {"path": "/slow", "count": 1, "mean": 2.5, "longest": 2.5}
    assert found["bytes_sent"] == 1024
    assert found["user_agents"] == [{"agent": "curl/8.5", "count": 2}]
    assert {one["request"] for one in found["failing_requests"]} == {
        "400 (not HTTP, such as a TLS handshake)",
        "408 (no request)",
    }
    page = archive.text("report.html")
    assert "<h2>Slowest pages</h2>" in page
    assert "<b>2.50 s</b>longest request" in page


def test_the_report_says_what_it_could_not_read(archive: Artifact) -> None:
    notes = json.loads(archive.text("summary.json"))["notes"]
    broken = "Compressed file ended before the end-of-stream marker was reached"
    assert f"cut.log.gz is broken or cut off ({broken}). Lines before that: 99." in notes
    assert "empty.log is empty." in notes
    assert "long.log has lines that are too long: 1. Their ends were left out." in notes
    assert "Times that cannot be right, such as 0001-01-01T00:00:00Z: 2. The timeline leaves them out." in notes
    assert all(note.replace("'", "&#x27;") in archive.text("report.html") for note in notes)


def test_the_page_is_light_or_dark_and_its_scripts_have_a_folder(archive: Artifact) -> None:
    page = archive.text("report.html")
    assert page.count("prefers-color-scheme: dark") == 2
    assert page.count("data:image/png;base64,") == 2
    assert "<script>alert" not in page
    assert all(path.startswith("scripts/") for path in archive.paths if path.endswith(".py"))


def test_a_german_log_has_a_german_report(system: System) -> None:
    lines = "2024-10-11 10:00:00 FEHLER: Verbindung zur Datenbank wurde beendet\n" * 1500
    ended, found = report(system, {"dienst.log": lines.encode("cp1252")})
    assert ended["status"] == "completed", found.output_log
    page = found.text("report.html")
    assert '<html lang="de">' in page
    assert "<b>1.500</b>Einträge" in page
    assert "<h2>Fehler</h2>" in page


def test_a_file_that_is_no_log_ends_the_job_with_the_cause(system: System) -> None:
    ended, found = report(system, {"a.log.gz": gzip.compress(b"2024-10-10 10:00:00 ERROR x\n")[:15]})
    assert (ended["status"], ended["reason"]) == ("failed", "step_failed")
    assert "a.log.gz is broken or cut off (Compressed file ended before the end-of-stream" in found.output_log
