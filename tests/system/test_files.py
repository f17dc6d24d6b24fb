"""A job's files, one by one: while it runs, through the link; afterwards, from its ZIP."""

from __future__ import annotations

import hashlib
import io
import socket
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.answers import problem, raw
from tests.support.system import System, docker, until

DEEP = "/".join(["d"] * 200)

#: All that a workspace can hold: files with plain and with odd names, folders, links to anywhere, and what is no file.
MAKE_ALL = rf"""
import os, socket
os.makedirs("{DEEP}")
for name in ["plain.txt", "with space.csv", "100%.txt", "per%0Acent", "ü.html", "two\nlines", "tab\t;1", "back\\slash",
             ".hidden", "a.tar.gz", "{DEEP}/deep.txt"]:
    open(name, "w").write("content of " + ascii(name))
open(b"no\xfftext", "w").write("bytes")
os.makedirs("charts/empty")
open("charts/a.png", "w").write("png")
open("charts2", "w").write("beside")
open("nothing", "w").close()
for junk in ("node_modules", "__pycache__", ".cache", "venv"):
    os.makedirs(junk)
    open(f"{{junk}}/junk", "w").close()
open("venv/pyvenv.cfg", "w").close()
for name, target in {{"passwd": "/etc/passwd", "environ": "/proc/self/environ", "to-fifo": "fifo", "zero": "/dev/zero",
                      "inside": "plain.txt", "etc": "/etc", "up": "..", "loop": "loop", "up/../x": ""}}.items():
    if target:
        os.symlink(target, name)
os.mkfifo("fifo")
listening = socket.socket(socket.AF_UNIX)
listening.bind("socket")
os.mkdir("closed")
open("closed/file", "w").close()
os.chmod("closed", 0)
open("secret", "w").close()
os.chmod("secret", 0)
print("ready", flush=True)
import time
time.sleep(600)
"""


@pytest.fixture(scope="module")
def site(engine: None) -> Iterator[System]:
    """A system whose jobs run for longer than one test."""
    one = System(MAX_CONCURRENT_JOBS="8")
    try:
        yield one.start()
    finally:
        one.close()


def running(site: System, code: str, **body: Any) -> str:
    """A job that runs until it is cancelled, and has said that it is ready."""
    job = site.python(code, **body)
    site.says(job, "ready")
    return job


@pytest.fixture(scope="module")
def job(site: System) -> str:
    return running(site, MAKE_ALL)


@dataclass
class Frozen:
    """A job whose container stands still, and what came of asking for its files, with the seconds that it took."""

    job: str
    name: str
    asked: Future[tuple[httpx.Response, float]]


@pytest.fixture(scope="module", autouse=True)
def frozen(site: System) -> Iterator[Frozen]:
    """Asked for at the beginning, so that the other tests go on meanwhile."""
    job = running(site, "import time; print('ready', flush=True); time.sleep(600)")
    name = f"containerized-agent-{site.status(job)['sandbox']}"

    def ask() -> tuple[httpx.Response, float]:
        begun = time.monotonic()
        return site.http.get(f"/jobs/{job}/files"), time.monotonic() - begun

    docker("pause", name)
    with ThreadPoolExecutor(1) as asking:
        yield Frozen(job, name, asking.submit(ask))
    if name in site.containers():
        docker("unpause", name)


def listed(site: System, job: str, **query: Any) -> dict[str, Any]:
    answer = site.http.get(f"/jobs/{job}/files", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def get(site: System, job: str, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return site.http.request(method, f"/jobs/{job}/files/{quote(path)}", headers=named)


def memory(site: System) -> int:
    """MiB that the orchestrator has in memory."""
    assert site.process
    status = Path(f"/proc/{site.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


# ── what there is ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_running_jobs_files_are_listed_by_name_without_junk(site: System, job: str) -> None:
    found = listed(site, job)
    assert (found["job_id"], found["source"], found["truncated"], found["next_cursor"]) == (job, "running", False, None)
    kinds = {entry["path"]: entry["kind"] for entry in found["files"]}
    assert list(kinds) == sorted(kinds)
    assert {path for path, kind in kinds.items() if kind == "link"} == {
        "environ", "etc", "inside", "loop", "passwd", "to-fifo", "up", "zero",
    }  # fmt: skip
    assert {path for path, kind in kinds.items() if kind == "folder"} == {"charts/empty"}
    assert {"plain.txt", "per%0Acent", "no%FFtext", "two%0Alines", "ü.html", ".hidden", f"{DEEP}/deep.txt"} <= set(
        kinds
    )
    assert not any(word in path for path in kinds for word in ("junk", "pyvenv", "fifo.", "socket"))
    entries = {entry["path"]: entry for entry in found["files"]}
    assert entries["charts/a.png"]["media_type"] == "image/png" and entries["charts/a.png"]["bytes"] == 3
    assert entries["nothing"]["bytes"] == 0 and entries["a.tar.gz"]["media_type"] == "application/gzip"
    assert entries["inside"]["url"] is None


@pytest.mark.parametrize("limit", [4, 7])
def test_a_list_can_be_had_in_pages(site: System, job: str, limit: int) -> None:
    whole = [entry["path"] for entry in listed(site, job)["files"]]
    pages: list[str] = []
    cursor = ""
    while cursor is not None:
        page = listed(site, job, limit=limit, cursor=cursor)
        assert 0 < len(page["files"]) <= limit
        pages += [entry["path"] for entry in page["files"]]
        cursor = page["next_cursor"]
    assert pages == whole


def test_a_list_can_be_of_one_folder(site: System, job: str) -> None:
    for under in ("charts", "charts/", "/charts"):
        assert [entry["path"] for entry in listed(site, job, under=under)["files"]] == ["charts/a.png", "charts/empty"]
    assert listed(site, job, under="nowhere")["files"] == []
    problem(site.http.get(f"/jobs/{job}/files", params={"below": "charts"}), 422, "below", "under")
    problem(site.http.get(f"/jobs/{job}/files", params={"limit": 0}), 422, "limit")


def test_files_and_their_names_are_the_same_afterwards(site: System) -> None:
    def seen(job: str) -> tuple[list[Any], dict[str, bytes]]:
        entries = listed(site, job)["files"]
        contents = {}
        for entry in entries:
            if entry["url"] and entry["path"] not in ("secret",):
                answer = site.http.get(entry["url"])
                assert answer.status_code == 200, answer.text
                contents[entry["path"]] = answer.content
                assert len(answer.content) == entry["bytes"]
        return [{**entry, "modified": None} for entry in entries if entry["path"] != "secret"], contents

    job = running(site, MAKE_ALL)
    before = seen(job)
    assert before[1]["two%0Alines"] == b"content of 'two\\nlines'" and before[1]["no%FFtext"] == b"bytes"
    site.cancel(job)
    site.ended(job)
    assert listed(site, job)["source"] == "artifact"
    assert seen(job) == before
    artifact = site.zip(job)
    assert before[1].keys() == {path for path in artifact.paths if f"workspace/{path}" in artifact.sums()}
    for name, content in before[1].items():
        headers = get(site, job, name).headers
        assert headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    whole = [entry["path"] for entry in listed(site, job)["files"]]
    assert [entry["path"] for entry in listed(site, job, cursor=whole[3], limit=5)["files"]] == whole[4:9]
    assert [entry["path"] for entry in listed(site, job, under="charts")["files"]] == ["charts/a.png", "charts/empty"]
    assert get(site, job, "plain.txt", Range="bytes=3-6").content == b"tent"
    assert "multipart" in get(site, job, "plain.txt", Range="bytes=0-1,3-4").headers["content-type"]
    assert get(site, job, "plain.txt", If_None_Match=get(site, job, "plain.txt").headers["etag"]).status_code == 304
    problem(get(site, job, "charts"), 409, "is a folder", "under=charts")
    problem(get(site, job, "passwd"), 409, "symlink", "/etc/passwd")
    problem(get(site, job, "secret"), 404)


def test_names_that_collide_once_they_are_escaped_are_told_apart(site: System) -> None:
    job = running(
        site,
        r"""
for name in ("a\nb", "a%0Ab"):
    open(name, "w").write(ascii(name))
print("ready", flush=True)
import time; time.sleep(600)
""",
    )
    expected = {"a%0Ab": b"'a\\nb'", "a%0Ab~2": b"'a%0Ab'"}
    for _ in range(2):
        assert {entry["path"]: site.http.get(entry["url"]).content for entry in listed(site, job)["files"]} == expected
        site.cancel(job)
        site.ended(job)


def test_before_it_runs_a_job_has_no_files(parked: System) -> None:
    job = parked.shell("true")
    found = listed(parked, job)
    assert (found["source"], found["files"], found["next_cursor"]) == ("scheduled", [], None)
    problem(get(parked, job, "a.txt"), 409, "scheduled")
    for path in (f"/jobs/{'0' * 16}/files", f"/jobs/{'0' * 16}/files/a.txt"):
        problem(parked.http.get(path), 404, "no job")
    parked.cancel(job)
    assert listed(parked, job)["source"] == "artifact"  # a ZIP without a workspace
    problem(get(parked, job, "a.txt"), 404)


def test_files_that_have_expired_are_gone(make_parked: Callable[..., System]) -> None:
    system = make_parked(RETENTION_DAYS="0.0000001", API_KEY="a-key-of-ours")
    job = system.start().shell("true")
    system.cancel(job)
    for path in (f"/jobs/{job}/files", f"/jobs/{job}/files/a.txt"):
        assert httpx.get(f"http://127.0.0.1:{system.port}{path}").status_code == 401
    system.stop()
    system.start()
    until(lambda: system.status(job)["expired"], "its files have expired")
    for path in (f"/jobs/{job}/files", f"/jobs/{job}/files/a.txt"):
        problem(system.http.get(path), 410, "RETENTION_DAYS")


def test_the_status_says_where_the_files_are(site: System, job: str) -> None:
    assert site.status(job)["links"]["files"] == f"/jobs/{job}/files"


def make_zip(names: Iterable[str], **options: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in names:
            made.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), "content", **options)
        made.writestr("SHA256SUMS", f"{'0' * 64}  workspace/a.txt\nnonsense  workspace/b.txt\n")
    return out.getvalue()


GOOD = make_zip(["workspace/a.txt", "workspace/b.txt", "report.md"])
CENTRAL = GOOD.index(b"PK\1\2")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        GOOD[:-1],
        GOOD + b"x",
        b"x" * 100,
        make_zip(["workspace/a.txt", "workspace/ü"]).replace(b"\xc3\xbc", b"\xff\xfe"),
        make_zip(["workspace/a.txt"], compress_type=zipfile.ZIP_BZIP2),
        GOOD.replace(b"PK\3\4", b"PK\0\0"),
        GOOD[:CENTRAL] + GOOD[CENTRAL:].replace(b"\x14\x00\x00\x00\x00\x00", b"\x14\x00\x01\x00\x00\x00"),  # encrypted
    ],
    ids=["empty", "begun", "cut", "longer", "no-zip", "name", "method", "no-entry", "encrypted"],
)
def test_a_zip_that_is_none_of_ours_does_no_harm(parked: System, content: bytes) -> None:
    job = parked.shell("true")
    parked.cancel(job)
    (parked.record / job / f"{job}.zip").write_bytes(content)
    problem(get(parked, job, "a.txt"), 409, "is unreadable", f"/download/{job}")
    assert parked.http.get(f"/jobs/{job}/files").status_code in (200, 409)


def test_a_zip_whose_directory_would_take_too_much_memory_is_not_looked_into(parked: System) -> None:
    job = parked.shell("true")
    parked.cancel(job)
    content = GOOD[:-10] + (2**25 + 1).to_bytes(4, "little") + GOOD[-6:]
    (parked.record / job / f"{job}.zip").write_bytes(content)
    problem(get(parked, job, "a.txt"), 409, "too many files", f"/download/{job}")


def test_a_zip_with_more_files_than_a_classic_one_can_count_is_looked_into(parked: System) -> None:
    job = parked.shell("true")
    parked.cancel(job)
    names = [f"workspace/{number:05}" for number in range(70_000)]
    (parked.record / job / f"{job}.zip").write_bytes(make_zip(names))
    last = listed(parked, job, cursor="69997")
    assert [entry["path"] for entry in last["files"]] == ["69998", "69999"] and last["next_cursor"] is None
    answer = get(parked, job, "69999", Range="bytes=3-")
    assert (answer.status_code, answer.content) == (206, b"tent")
    assert answer.headers["etag"].startswith(f'"{parked.status(job)["artifact"]["sha256"]}-')


# ── one file of a running job ────────────────────────────────────────────────────────────────────────────────────────


def test_a_browser_saves_it_and_never_shows_it(site: System, job: str) -> None:
    headers = get(site, job, "ü.html").headers
    assert headers["content-disposition"].endswith("; filename*=UTF-8''%C3%BC.html")
    assert headers["content-type"].startswith("text/html")
    assert (headers["x-content-type-options"], headers["content-security-policy"]) == ("nosniff", "sandbox")
    assert "private" in headers["cache-control"] and headers["etag"].startswith("W/")
    assert get(site, job, "plain.txt").headers["content-disposition"] == 'attachment; filename="plain.txt"'


def test_head_tells_all_but_the_content(site: System, job: str) -> None:
    for path in ("plain.txt", "nothing"):
        whole, head = get(site, job, path), get(site, job, path, "HEAD")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "content-type", "content-disposition", "etag", "accept-ranges"):
            assert head.headers[name] == whole.headers[name]


def test_who_has_it_already_does_not_get_it_again(site: System, job: str) -> None:
    answer = get(site, job, "plain.txt", If_None_Match=get(site, job, "plain.txt").headers["etag"])
    assert (answer.status_code, answer.content) == (304, b"")
    assert get(site, job, "plain.txt", If_None_Match='W/"other"').status_code == 200


@pytest.mark.parametrize(
    ("wanted", "begin", "end"),
    [("0-3", 0, 4), ("5-", 5, None), ("-4", -4, None), ("3-999999", 3, None), ("-999999", 0, None)],
)
def test_a_part_of_it_can_be_had(site: System, job: str, wanted: str, begin: int, end: int | None) -> None:
    whole = get(site, job, "plain.txt").content
    answer = get(site, job, "plain.txt", Range=f"bytes={wanted}")
    assert (answer.status_code, answer.content) == (206, whole[begin:end])
    first, last, size = answer.headers["content-range"].removeprefix("bytes ").replace("/", "-").split("-")
    assert (whole[int(first) : int(last) + 1], int(size)) == (answer.content, len(whole))


def test_a_part_that_is_not_there_or_makes_no_sense_is_refused(site: System, job: str) -> None:
    for path, wanted in (("plain.txt", "9999-"), ("plain.txt", "-0"), ("nothing", "0-"), ("nothing", "-5")):
        answer = get(site, job, path, Range=f"bytes={wanted}")
        problem(answer, 416, "bytes")
        assert answer.headers["content-range"].startswith("bytes */")
    for wanted in ("bytes=5-2", "bytes=a-b", "bytes=0-1,3-4", "bytes=-", "bytes=" + "9" * 30 + "-"):
        problem(get(site, job, "plain.txt", Range=wanted), 400, "bytes=0-99")
    for headers in ({"Range": "lines=1-2"}, {"Range": "bytes=0-1", "If_Range": '"x"'}):
        assert get(site, job, "plain.txt", **headers).status_code == 200


@pytest.mark.parametrize(
    "target",
    ["%2e%2e/%2e%2e/etc/passwd", "../../etc/passwd", "%2Fetc%2Fpasswd", "/etc/passwd", "charts/%2e%2e/plain.txt",
     "./plain.txt", "charts//a.png", "plain.txt/", "plain.txt/x", "plain.txt%00", "%00", "%FF", "x" * 3_000,
     "a/" * 5_000, "", "socket/x"],
)  # fmt: skip
def test_a_name_that_no_file_has_is_not_found(site: System, job: str, target: str) -> None:
    answer = raw(site, "GET", f"/jobs/{job}/files/{target}")
    assert answer.status_code == 404, answer.text
    assert answer.json()["type"] in ("/problems/no-such-file", "/problems/not-found")


@pytest.mark.parametrize(
    ("path", "words"),
    [("charts", "is a folder"), ("passwd", "/etc/passwd"), ("environ", "/proc/self/environ"), ("zero", "/dev/zero"),
     ("to-fifo", "fifo"), ("inside", "plain.txt"), ("etc/passwd", "'/etc'"), ("up/etc/passwd", "'..'"),
     ("loop", "loop"), ("loop/x", "loop"), ("fifo", "Only regular files"), ("socket", "Only regular files"),
     ("secret", "Permission denied"), ("closed/file", "Permission denied")],
)  # fmt: skip
def test_what_is_no_readable_file_is_said_to_be_what_it_is(site: System, job: str, path: str, words: str) -> None:
    begun = time.monotonic()
    problem(get(site, job, path), 409, words)
    assert time.monotonic() - begun < 5


def test_the_end_of_a_growing_file_can_be_followed(site: System) -> None:
    job = running(
        site,
        """
import itertools, time
with open("log", "w") as log:
    for number in itertools.count():
        print(f"line {number:06}", file=log, flush=True)
        if number == 100: print("ready", flush=True)
        time.sleep(0.01)
""",
    )

    def end() -> tuple[int, int]:
        answer = get(site, job, "log", Range="bytes=-24")
        assert answer.status_code == 206
        first, second = answer.content.decode().splitlines()
        number = int(first.removeprefix("line "))
        assert second == f"line {number + 1:06}"
        return number, int(answer.headers["content-range"].partition("/")[2])

    number, size = end()
    assert size == 12 * (number + 2) > 1000
    until(lambda: end()[0] > number + 50, "it grows")


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────

#: A file that takes no room, with something at its end.
MAKE_LARGE = """
with open("large", "wb") as file:
    file.truncate({} * 2**20 - 3)
    file.seek(0, 2)
    file.write(b"end")
print("ready", flush=True)
import time; time.sleep(600)
"""


@pytest.fixture
def large(site: System) -> str:
    return running(site, MAKE_LARGE.format(60))


class Slow:
    """A caller that asks for a file and reads no more than the beginning of the answer, until it is told to."""

    def __init__(self, site: System, job: str, path: str, headers: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", site.port), timeout=60)
        request = f"GET /jobs/{job}/files/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        self._socket.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._socket.recv(1000)
        self.status = int(head.split()[1])
        self._count = len(head.partition(b"\r\n\r\n")[2])

    def read(self) -> int:
        """Bytes that come until the connection is closed."""
        with self._socket:
            while block := self._socket.recv(1 << 20):
                self._count += len(block)
        return self._count

    def close(self) -> None:
        self._socket.close()


def test_a_large_file_of_a_running_job_is_had_in_parts(site: System) -> None:
    job = running(site, MAKE_LARGE.format(300), limits={"zip": "64k"})
    problem(get(site, job, "large"), 413, "314,572,800 bytes", "64.0 MiB", "Range", "wait for the ZIP")
    problem(get(site, job, "large", Range="bytes=0-99999999"), 413, "Range")
    assert get(site, job, "large", "HEAD").headers["content-length"] == str(300 * 2**20)
    assert get(site, job, "large", Range="bytes=-5").content == b"\0\0end"
    part = 64 * 2**20
    assert len(get(site, job, "large", Range=f"bytes=1-{part}").content) == part


def test_who_does_not_read_holds_back_what_is_sent_and_others_are_told_to_come_back(site: System, large: str) -> None:
    before = memory(site)
    slow = [Slow(site, large, "large") for _ in range(2)]
    assert [one.status for one in slow] == [200, 200]
    answer = get(site, large, "large", Range="bytes=-3")
    problem(answer, 429, "2 file requests at a time")
    assert int(answer.headers["retry-after"]) > 0
    assert memory(site) - before < 30  # of 120, in the seconds that this caller waited for his turn
    with ThreadPoolExecutor(2) as callers:
        third = callers.submit(get, site, large, "large", Range="bytes=-3")
        slow[0].close()
        assert third.result().content == b"end"
    assert slow[1].read() == 60 * 2**20


def test_twenty_callers_at_once_are_all_answered(site: System, job: str) -> None:
    def answered(path: str) -> httpx.Response:
        while (answer := site.http.get(path)).status_code == 429:  # on a busy machine one is told to ask again
            assert int(answer.headers["retry-after"]) > 0
        return answer

    def look(number: int) -> None:
        if number % 2:
            assert answered(f"/jobs/{job}/files/plain.txt").content == b"content of 'plain.txt'"
        else:
            assert answered(f"/jobs/{job}/files?under=charts").json()["files"]

    with ThreadPoolExecutor(20) as callers:
        list(callers.map(look, range(20)))


def test_a_cancellation_does_not_wait_for_those_who_look(site: System, large: str) -> None:
    slow = [Slow(site, large, "large") for _ in range(2)]
    asked = time.monotonic()
    site.cancel(large)
    until(lambda: site.status(large)["phase"] != "python", "no process of it lives")
    assert time.monotonic() - asked < 2
    for one in slow:
        assert one.read() < 60 * 2**20
    assert site.ended(large)["status"] == "cancelled"
    assert "its agent did not end it in time" not in site.log.read_text()


def test_a_download_that_a_jobs_end_cuts_off_is_not_taken_for_whole_and_can_be_had_afterwards(
    site: System, large: str
) -> None:
    with pytest.raises(httpx.RemoteProtocolError), site.http.stream("GET", f"/jobs/{large}/files/large") as answer:
        assert answer.status_code == 200
        count = 0
        for block in answer.iter_raw(2**20):
            count += len(block)
            if count == 2**20:
                site.cancel(large)
                until(lambda: site.status(large)["phase"] != "python", "its processes are ended")
    assert 0 < count < 60 * 2**20
    answer = get(site, large, "large", Range="bytes=-3")  # it is being packed: the answer waits for the ZIP
    assert (answer.status_code, answer.content) == (206, b"end")
    assert site.status(large)["status"] == "cancelled"
    assert get(site, large, "large", Range=f"bytes={count}-").headers["content-length"] == str(60 * 2**20 - count)


def test_steps_that_end_all_the_time_do_not_keep_others_from_looking(site: System) -> None:
    steps = [{"kind": "shell", "script": f"echo {number} > number; sleep 0.2"} for number in range(12)]
    job = site.submit(steps=[{"kind": "shell", "script": "echo ready; touch a"}, *steps])
    site.says(job, "ready")
    sources = []
    while "artifact" not in sources:
        found = listed(site, job)
        sources.append(found["source"])
        assert "a" in [entry["path"] for entry in found["files"]]
    assert sources.count("running") > 1
    site.completed(job)


def test_a_job_that_has_used_up_its_processes_is_looked_at_afterwards(site: System) -> None:
    job = running(
        site,
        """
import os, time
try:
    while True:
        if not os.fork():
            time.sleep(600)
            os._exit(0)
except BlockingIOError:
    print("ready", flush=True)
time.sleep(600)
""",
        limits={"processes": 40},
    )
    for path in ("", "/a.txt"):
        answer = site.http.get(f"/jobs/{job}/files{path}")
        problem(answer, 503, "no process left", "limits.processes", "wait for the ZIP")
        assert int(answer.headers["retry-after"]) > 0
    asked = time.monotonic()
    site.cancel(job)
    site.ended(job)
    assert time.monotonic() - asked < 2
    assert listed(site, job)["source"] == "artifact"


def test_who_looks_does_not_use_up_the_memory_that_a_job_needs(site: System) -> None:
    job = running(
        site,
        """
import os, time
places = [("memory.current", "memory.max"), ("memory/memory.usage_in_bytes", "memory/memory.limit_in_bytes")]
used, limit = next(both for both in places if os.path.exists("/sys/fs/cgroup/" + both[0]))
def read(name):
    return int(open("/sys/fs/cgroup/" + name).read())
open("a.txt", "w").close()
taken = []
while read(limit) - read(used) > 8 * 2**20:
    taken.append(b"x" * 2**20)
print("ready", flush=True)
time.sleep(600)
""",
        limits={"memory": "128m"},
    )
    for path in ("", "/a.txt"):
        for _ in range(5):
            problem(site.http.get(f"/jobs/{job}/files{path}"), 503, "no memory left", "limits.memory")
    assert site.status(job)["phase"] == "python"


def test_a_workspace_with_more_files_than_a_list_may_have_is_said_to_have_more(site: System) -> None:
    job = running(
        site,
        """
import os, time
for _ in range(14):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
for number in range(2_500):
    os.close(os.open(f"{number:05}", os.O_CREAT))
print("ready", flush=True)
time.sleep(600)
""",
    )
    found = listed(site, job)
    assert found["truncated"] and len(found["files"]) == 1000
    assert found["next_cursor"] == found["files"][-1]["path"]
    assert not listed(site, job, cursor="e")["files"]


def test_a_sandbox_that_does_not_answer_is_not_waited_for_for_long(site: System, frozen: Frozen) -> None:
    answer, seconds = frozen.asked.result()
    problem(answer, 504, "did not answer within 10 s")
    assert 9 < seconds < 14
    with ThreadPoolExecutor(1) as waiting:
        begun = time.monotonic()
        asked = waiting.submit(listed, site, frozen.job)
        docker("kill", frozen.name)
        assert asked.result()["source"] == "artifact"  # who waits hears at once that nobody will answer any more
        assert time.monotonic() - begun < 9
