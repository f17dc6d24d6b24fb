"""The ZIP over HTTP: when it is there, ranges, ETags, and what it says to a browser."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from orchestrator.api.file_response import Contents
from tests.support.answers import problem
from tests.support.system import System, until

#: Random bytes, so that the ZIP is larger than what is read and sent at once.
SCRIPT = "head -c 300000 /dev/urandom > random.bin"


@pytest.fixture(scope="module")
def ended(system: System) -> dict[str, Any]:
    """A completed job."""
    return system.completed(system.shell(SCRIPT, outputs=["random.bin"]))


@pytest.fixture(scope="module")
def whole(system: System, ended: dict[str, Any]) -> bytes:
    return get(system, ended).content


def get(system: System, ended: dict[str, Any], method: str = "GET", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return system.http.request(method, ended["links"]["download"], headers=named)


def etag(ended: dict[str, Any]) -> str:
    return f'"{ended["artifact"]["sha256"]}"'


def test_before_the_end_there_is_none_and_the_answer_says_how_to_wait(system: System) -> None:
    job_id = system.shell("echo ready; sleep 600")
    system.says(job_id, "ready")
    for path in (f"/download/{job_id}", f"/download/{job_id}.zip"):
        answer = system.http.get(path)
        found = problem(answer, 409, "is running", f"GET /status/{job_id}?wait=60")
        assert found["type"] == "/problems/not-ended"
        assert int(answer.headers["retry-after"]) > 0
    system.cancel(job_id)
    system.ended(job_id)
    assert system.http.get(f"/download/{job_id}").status_code == 200


def test_the_etag_is_the_sha256_that_the_status_tells(system: System, ended: dict[str, Any], whole: bytes) -> None:
    answer = get(system, ended)
    assert answer.headers["etag"] == etag(ended)
    assert len(whole) == ended["artifact"]["bytes"] == int(answer.headers["content-length"])
    assert len(system.zip(ended["job_id"]).read("workspace/random.bin")) == 300_000


def test_a_browser_saves_it_and_never_shows_it(system: System, ended: dict[str, Any]) -> None:
    headers = get(system, ended).headers
    assert headers["content-type"] == "application/zip"
    assert headers["content-disposition"] == f'attachment; filename="{ended["job_id"]}.zip"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "sandbox"
    assert "private" in headers["cache-control"]


def test_it_can_be_asked_for_by_its_file_name(system: System, ended: dict[str, Any], whole: bytes) -> None:
    answer = system.http.get(f"/download/{ended['job_id']}.zip")
    assert answer.status_code == 200
    assert answer.content == whole
    assert answer.headers["etag"] == etag(ended)


def test_head_tells_all_but_the_content(system: System, ended: dict[str, Any]) -> None:
    for path in (ended["links"]["download"], ended["links"]["download"] + ".zip"):
        answer = system.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) == ended["artifact"]["bytes"]
        assert answer.headers["etag"] == etag(ended)
        assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("form", ["{}", "*", "W/{}", '"other", {}', '"other",W/{}'])
def test_who_has_it_already_does_not_get_it_again(system: System, ended: dict[str, Any], form: str) -> None:
    for method in ("GET", "HEAD"):
        answer = get(system, ended, method, If_None_Match=form.format(etag(ended)))
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag(ended)


def test_who_has_another_one_gets_it(system: System, ended: dict[str, Any], whole: bytes) -> None:
    assert get(system, ended, If_None_Match='"other"').content == whole


@pytest.mark.parametrize(
    ("wanted", "begin", "end"),
    [("0-9", 0, 10), ("1000-200999", 1000, 201_000), ("-5", -5, None), ("100-", 100, None), ("5-99999999", 5, None)],
    ids=["first", "middle", "last", "from", "beyond"],
)
def test_a_part_can_be_had(
    system: System, ended: dict[str, Any], whole: bytes, wanted: str, begin: int, end: int | None
) -> None:
    answer = get(system, ended, Range=f"bytes={wanted}")
    assert answer.status_code == 206
    assert answer.content == whole[begin:end]
    first, last, total = answer.headers["content-range"].removeprefix("bytes ").replace("/", "-").split("-")
    assert whole[int(first) : int(last) + 1] == answer.content
    assert int(total) == len(whole)
    assert answer.headers["etag"] == etag(ended)


def test_several_parts_come_in_one_answer(system: System, ended: dict[str, Any], whole: bytes) -> None:
    answer = get(system, ended, Range="bytes=0-3,100000-100009,-2")
    assert answer.status_code == 206
    head = f"Content-Type: {answer.headers['content-type']}\n\n".encode()
    parts = BytesParser().parsebytes(head + answer.content).get_payload()
    assert [part.get_payload(decode=True) for part in parts if isinstance(part, Message)] == [
        whole[:4],
        whole[100_000:100_010],
        whole[-2:],
    ]


def test_a_part_that_is_not_there_is_416_with_the_size(system: System, ended: dict[str, Any], whole: bytes) -> None:
    answer = get(system, ended, Range="bytes=99999999-")
    problem(answer, 416, f"{len(whole):,} bytes")
    assert answer.headers["content-range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize("wanted", ["bytes=9-5", "bytes=x-y", "junk", "bytes=" + "0-0," * 5_000])
def test_nonsense_for_a_range_does_no_harm(system: System, ended: dict[str, Any], wanted: str) -> None:
    answer = get(system, ended, Range=wanted)
    assert answer.status_code == 200 or problem(answer, 400, "bytes=0-99")


def test_a_broken_download_goes_on_where_it_is_still_the_same(
    system: System, ended: dict[str, Any], whole: bytes
) -> None:
    assert get(system, ended, Range="bytes=1000-", If_Range=etag(ended)).content == whole[1000:]
    again = get(system, ended, Range="bytes=1000-", If_Range='"other"')
    assert (again.status_code, again.content) == (200, whole)


def test_a_zip_that_somebody_deleted_is_said_to_be_missing(system: System) -> None:
    ended = system.completed(system.shell("true"))
    shutil.rmtree(system.record / ended["job_id"])
    found = problem(get(system, ended), 404, "There is no ZIP of job", ended["job_id"])
    assert found["type"] == "/problems/no-zip"
    assert system.status(ended["job_id"])["status"] == "completed"


@pytest.mark.parametrize(("wanted", "begin", "end"), [("", 0, None), ("bytes=5-9", 5, 10), ("bytes=-1", -1, None)])
def test_what_is_removed_before_the_answer_begins_is_sent_whole(
    tmp_path: Path, wanted: str, begin: int, end: int | None
) -> None:
    content = os.urandom(300_000)
    path = tmp_path / "file"
    path.write_bytes(content)
    opened = path.open("rb")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path.unlink()
        await Contents(opened, len(content), 0, "file", "application/zip", '"1"')(scope, receive, send)
        assert opened.closed

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
            return await http.get("/", headers={"Range": wanted} if wanted else {})

    assert asyncio.run(get()).content == content[begin:end]


def test_a_restart_removes_the_files_of_jobs_that_are_past_their_days(make_system: Callable[..., System]) -> None:
    system = make_system(RETENTION_DAYS="0.0000001").start()
    job_id = system.shell("echo hello; touch a")
    before = system.completed(job_id)
    assert system.http.get(f"/download/{job_id}").status_code == 200
    assert system.stop() == 0
    system.start()
    until(lambda: system.http.get(f"/download/{job_id}").status_code == 410, "the ZIP has expired")
    found = problem(system.http.get(f"/download/{job_id}"), 410, job_id, "RETENTION_DAYS", "/retry runs it again")
    assert found["type"] == "/problems/expired"
    after = system.status(job_id)
    assert after["artifact"] == {**before["artifact"], "expired": True}
    assert after["expired"]
    (step,) = before["steps"]
    assert step["output_tail"] == "hello\n"
    gone = {"artifact": None, "expired": None, "steps": [{**step, "output_tail": ""}]}
    assert {**after, "artifact": None, "expired": None} == {**before, **gone}
    assert not (system.record / job_id).exists()
    kinds = [event["event"] for event in system.events(job_id)]
    assert "output" not in kinds
    assert kinds[-1] == "completed"
