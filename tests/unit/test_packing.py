"""Packing: real folders through the real child, the ZIP proved with zipfile, plain `unzip` and `sha256sum`."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from agent.children.pack import matches, pack
from orchestrator.files.salvage import write_zip
from protocol.artifact import CHUNK, TIME_OVER, Artifact
from protocol.file_names import LONGEST_NAME, TOO_LONG
from tests.support.system import ROOT

USER = 10001
AS_USER: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []}
# A Python that any user may run: the one of the tests may be in root's own folder.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
UTF8 = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
MiB = 2**20
MANIFEST = {"job_id": "j1", "prompt": "ü \n"}
DOCUMENTS = {"report.md": "# Report\n", "output.log": "hello ü\n"}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="packing as another user needs root")


class Place:
    """A workspace of the job's user, and what becomes of it."""

    def __init__(self, folder: Path) -> None:
        self.code = folder / "code"
        for package in ("agent", "protocol"):
            shutil.copytree(ROOT / package, self.code / package)
        self.root = folder / "workspace"
        self.root.mkdir()
        self.zip = folder / "job.zip"
        self.out = folder / "out"
        self.summary: dict[str, Any] = {}
        self.peak = 0  # MiB that the child had in memory at most, until it wrote its summary

    def write(self, name: str | bytes, content: bytes = b"x") -> bytes:
        path = os.path.join(os.fsencode(self.root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def own(self) -> None:
        subprocess.run(["chown", "-hR", f"{USER}:{USER}", self.root], check=True)

    def pack(self, *outputs: str, budget: int = 1024 * MiB, seconds: float = 60, own: bool = True) -> dict[str, Any]:
        """Run the child as the agent does, and return the manifest."""
        if own:
            self.own()
        read, write = os.pipe()
        child = subprocess.Popen(
            [PYTHON, "-m", "agent.children.pack", str(write)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(write,),
            cwd=self.code,
            env=UTF8,
            **AS_USER,
        )
        os.close(write)
        assert child.stdin and child.stdout
        copy = threading.Thread(target=self._save, args=(child.stdout,))
        copy.start()
        request = {"root": str(self.root), "outputs": outputs, "budget": budget, "seconds": seconds}
        with child, open(read, "rb") as summary:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
            self.summary = json.loads(summary.readline())
            status = Path(f"/proc/{child.pid}/status").read_text()
            self.peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
            child.stdin.write(json.dumps({"manifest": MANIFEST, "documents": DOCUMENTS}).encode() + b"\n")
            child.stdin.flush()
            copy.join()
        assert child.returncode == 0
        return self.manifest()

    def _save(self, stream: BinaryIO) -> None:
        with self.zip.open("wb") as file:
            shutil.copyfileobj(stream, file)

    def manifest(self) -> dict[str, Any]:
        with zipfile.ZipFile(self.zip) as content:
            return cast("dict[str, Any]", json.loads(content.read("manifest.json")))

    def unpack(self) -> Path:
        """What plain `unzip` makes of the ZIP, proved by plain `sha256sum -c`; returns the workspace in it."""
        self.out.mkdir()
        subprocess.run(["unzip", "-q", self.zip, "-d", self.out], check=True, env=UTF8, stdin=subprocess.DEVNULL)
        check = ["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"]
        subprocess.run(check, cwd=self.out, check=True, env=UTF8)
        files = subprocess.run(["find", self.out, "-type", "f", "-printf", "x"], check=True, capture_output=True)
        sums = (self.out / "SHA256SUMS").read_text().splitlines()
        assert len(sums) == len(files.stdout) - 1  # of every file but itself
        return self.out / "workspace"


@pytest.fixture
def place() -> Iterator[Place]:
    folder = tempfile.mkdtemp(prefix="packing-")  # not tmp_path: only root may look into that
    os.chmod(folder, 0o755)
    yield Place(Path(folder))
    subprocess.run(["rm", "-rf", folder], check=True)  # shutil.rmtree fails on very deep trees


def artifact(out: BinaryIO, budget: int = 64 * MiB, deadline: float | None = None) -> Artifact:
    return Artifact(out, budget=budget, deadline=deadline)


def finished(one: Artifact, out: io.BytesIO) -> tuple[dict[str, Any], zipfile.ZipFile]:
    one.finish(MANIFEST, DOCUMENTS)
    content = zipfile.ZipFile(out)
    assert content.testzip() is None
    manifest = json.loads(content.read("manifest.json"))
    for file in manifest["files"]:
        if "sha256" in file:
            read = content.read(file["path"])
            assert (len(read), hashlib.sha256(read).hexdigest()) == (file["size"], file["sha256"])
    return manifest, content


def paths(manifest: dict[str, Any], part: str = "files") -> list[str]:
    return [record["path"].removeprefix("workspace/") for record in manifest[part]]


def only(manifest: dict[str, Any], part: str = "files") -> dict[str, Any]:
    assert len(manifest[part]) == 1
    return cast("dict[str, Any]", manifest[part][0])


NAMES: list[str | bytes] = [
    "plain.txt", "with space", " lead", "trail ", "ünïcödé 😀", "e\u0301", ".hidden", "..dots", "-rf", "--help",
    "*?[x]", "back\\slash", "back\\", "\\", "'\"$(x)`", "100%", "%41 as it is", "a:b|c", "folder with space/-x",
    "#U00e4", "new\nline", "\n", "tab\tand\rreturn", "a%b\nc", "bell\x07", "c1\x85", "semi;1", "semi;", "dir;2/inner",
    "new\nfolder/x", b"latin-\xe9", b"\xff\xfe", b"bad\xff/inner", "\n" * 255,
]  # fmt: skip


def test_names_of_every_kind_survive_plain_unzip_and_sha256sum(place: Place) -> None:
    contents = {os.fsdecode(name): b"content of " + os.fsencode(name) for name in NAMES}
    for name, content in contents.items():
        place.write(name, content)
    manifest = place.pack()
    workspace = place.unpack()
    assert (place.summary["files"], place.summary["partial"], manifest["partial"]) == (len(NAMES), False, False)
    unpacked = {(workspace.parent / file["path"]).read_bytes(): file for file in manifest["files"]}
    assert set(unpacked) == set(contents.values())
    originals = {file["path"]: file.get("original_name") for file in manifest["files"]}
    assert originals["workspace/a%25b%0Ac"] == "workspace/a%b\nc"
    assert originals["workspace/latin-%E9"] == "workspace/latin-\\xe9"
    assert originals["workspace/semi%3B1"] == "workspace/semi;1"
    assert originals["workspace/back%5Cslash"] == "workspace/back\\slash"
    for name in ("with space", "ünïcödé 😀", "%41 as it is", "-rf"):
        assert originals[f"workspace/{name}"] is None


def test_names_that_would_be_the_same_in_the_zip_are_told_apart(place: Place) -> None:
    names = ["a\nb", "a%0Ab", "a%0Ab~2", "d\n/x", "d%0A/x", "d%0A/y", "e\n/deep/x", "e%0A"]
    for name in names:
        place.write(name, name.encode())
    manifest = place.pack()
    workspace = place.unpack()
    assert len({file["path"] for file in manifest["files"]}) == len(names)
    for file in manifest["files"]:
        original = file.get("original_name", file["path"]).removeprefix("workspace/")
        assert (workspace.parent / file["path"]).read_text() == original


def test_symbolic_links_are_kept_as_links_and_never_followed(place: Place) -> None:
    place.write("real.txt")
    targets = {
        "in": "real.txt", "out": "/etc/passwd", "up": "../../../etc/passwd", "dangling": "nowhere", "loop": "loop",
        "folder": "/etc", "odd": "a\nb \\", "latin": os.fsdecode(b"\xe9"),
    }  # fmt: skip
    for name, target in targets.items():
        os.symlink(target, place.root / name)
    manifest = place.pack("folder/passwd", "in")
    workspace = place.unpack()
    assert {name: os.readlink(workspace / name) for name in targets} == targets
    assert {file["kind"] for file in manifest["files"] if "target" in file} == {"link"}
    assert place.summary["files"] == 1
    assert place.summary["outputs"] == {"folder/passwd": [], "in": ["in"]}
    with zipfile.ZipFile(place.zip) as content:
        assert not any(b"root:" in content.read(name) for name in content.namelist())


def test_empty_folders_modes_and_times_are_kept(place: Place) -> None:
    for folder in ("empty", "outer/inner/empty", "no-longer-empty/__pycache__"):
        (place.root / folder).mkdir(parents=True)
    os.chmod(place.root / "empty", 0o700)
    for mode in (0o644, 0o755, 0o400, 0o4755):
        os.chmod(place.write(f"{mode:o}"), mode)
    for year, moment in (("old", -(10**9)), ("late", 7 * 10**9), ("known", 1_700_000_000)):
        os.utime(place.write(year), (moment, moment))
    place.own()
    os.chmod(place.root / "4755", 0o4755)  # a change of owner takes the set-user-id bit away
    manifest = place.pack(own=False)
    workspace = place.unpack()
    folders = [file["path"] for file in manifest["files"] if file["kind"] == "folder"]
    assert folders == ["workspace/empty", "workspace/outer/inner/empty"]
    for name, mode in (("empty", 0o700), ("644", 0o644), ("755", 0o755), ("400", 0o400), ("4755", 0o755)):
        assert stat.S_IMODE((workspace / name).stat().st_mode) == mode
    assert {file["path"]: file["mode"] for file in manifest["files"]}["workspace/4755"] == "4755"
    with zipfile.ZipFile(place.zip) as content:
        years = [content.getinfo(f"workspace/{name}").date_time[0] for name in ("old", "late", "known")]
    assert years == [1980, 2107, 2023]


def test_what_the_jobs_user_can_not_read_is_left_out_with_the_systems_words(place: Place) -> None:
    place.write("mine")
    place.write("closed/inside")
    os.mkdir(place.root / "names-only")
    place.write("names-only/x")
    place.own()
    place.write("of-root")
    os.chmod(place.root / "of-root", 0o600)
    os.chmod(place.root / "closed", 0)
    os.chmod(place.root / "names-only", 0o444)
    manifest = place.pack("of-root", own=False)
    place.unpack()
    assert paths(manifest, "left_out") == ["closed", "names-only/x", "of-root"]
    assert {record["reason"] for record in manifest["left_out"]} == {"Permission denied"}
    assert "mine" in paths(manifest)
    assert manifest["partial"] and place.summary["partial"] and place.summary["left_out"] == 3
    assert place.summary["outputs_left_out"] == {"of-root": ["of-root"]}
    assert place.summary["reasons"] == {"of-root": "Permission denied"}


def test_a_workspace_that_can_not_be_read_at_all_still_gives_a_zip(place: Place) -> None:
    os.chmod(place.root, 0)
    manifest = place.pack()
    assert only(manifest, "left_out") == {"path": "workspace", "reason": "Permission denied"}
    place.root.chmod(0o755)
    place.root.rmdir()
    assert only(place.pack(own=False), "left_out")["reason"] == "No such file or directory"


def test_pipes_and_sockets_are_left_out_and_never_waited_for(place: Place) -> None:
    os.mkfifo(place.root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place.root / "socket"))
    manifest = place.pack()
    assert [(record["path"], record["reason"]) for record in manifest["left_out"]] == [
        ("workspace/pipe", "not a regular file"),
        ("workspace/socket", "not a regular file"),
    ]


@pytest.mark.slow
def test_a_tree_deeper_than_any_path_can_say_is_packed_as_far_as_it_can_be_unpacked(place: Place) -> None:
    handle = os.open(place.root, os.O_RDONLY)
    for level in range(3000):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
        if level == 1500:
            os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)
    manifest = place.pack()
    assert {file["path"].count("/") for file in manifest["files"]} >= {1502}
    assert only(manifest, "left_out")["reason"] == TOO_LONG
    place.unpack()


@pytest.mark.slow
def test_a_file_of_one_gibibyte_is_packed_in_little_memory(place: Place) -> None:
    with open(place.root / "sparse", "wb") as file:
        file.truncate(1024 * MiB)
    manifest = place.pack(budget=2048 * MiB)
    assert only(manifest)["size"] == 1024 * MiB
    assert only(manifest)["sha256"] == "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"
    assert place.zip.stat().st_size < 2 * MiB
    assert place.peak < 64
    subprocess.run(["unzip", "-tq", place.zip], check=True)


@pytest.mark.slow
def test_twenty_thousand_small_files_are_packed_in_the_order_of_their_paths(place: Place) -> None:
    for number in range(20_000):
        place.write(f"d{number % 100}/f{number}", b"content %d\n" % number * (number % 9))
    manifest = place.pack()
    assert len(manifest["files"]) == place.summary["files"] == 20_000
    with zipfile.ZipFile(place.zip) as content:
        names = content.namelist()[:20_000]
    assert names == sorted(names) == [file["path"] for file in manifest["files"]]
    assert place.peak < 80
    subprocess.run(["unzip", "-tq", place.zip], check=True)


@pytest.mark.slow
def test_more_entries_than_a_classic_zip_can_count(place: Place) -> None:
    with place.zip.open("wb") as out:
        one = artifact(out)
        for number in range(65_600):
            assert one.add_file(str(number), io.BytesIO(), 0, 0o644, 0)
        one.finish(MANIFEST, DOCUMENTS)
    with zipfile.ZipFile(place.zip) as content:
        assert len(content.infolist()) == 65_600 + 4
    subprocess.run(["unzip", "-tq", place.zip], check=True)


def test_what_does_not_compress_is_stored_and_what_does_is_deflated(place: Place) -> None:
    noise = os.urandom(MiB)
    place.write("noise", noise)
    place.write("text", b"one line\n" * 10_000)
    place.pack()
    workspace = place.unpack()
    with zipfile.ZipFile(place.zip) as content:
        assert content.getinfo("workspace/noise").compress_type == zipfile.ZIP_STORED
        assert content.getinfo("workspace/text").compress_type == zipfile.ZIP_DEFLATED
        assert content.getinfo("workspace/text").compress_size < 1000
    assert (workspace / "noise").read_bytes() == noise


class Meddler(io.BytesIO):
    """A stream that does something, once, when the first bytes of a large file come by."""

    def __init__(self, deed: Callable[[], None]) -> None:
        super().__init__()
        self.deed: Callable[[], None] | None = deed

    def write(self, data: Any) -> int:
        if self.deed and len(data) >= CHUNK:
            self.deed()
            self.deed = None
        return super().write(data)


def packed_here(place: Place, out: io.BytesIO) -> tuple[dict[str, Any], zipfile.ZipFile]:
    """Pack in this process, so that a test can do something in the middle of it."""
    request = {"root": str(place.root), "outputs": [], "budget": 64 * MiB, "seconds": 60}
    tail = io.BytesIO(json.dumps({"manifest": MANIFEST, "documents": DOCUMENTS}).encode() + b"\n")
    pack(request, out, io.BytesIO(), tail)
    content = zipfile.ZipFile(out)
    return json.loads(content.read("manifest.json")), content


@pytest.mark.parametrize(("size_then", "size_in_zip"), [(9 * CHUNK, 4 * CHUNK), (2 * CHUNK, 2 * CHUNK)])
def test_a_file_that_grows_or_shrinks_while_it_is_packed_is_marked(
    place: Place, size_then: int, size_in_zip: int
) -> None:
    noise = os.urandom(4 * CHUNK)
    path = place.write("moving", noise)
    manifest, content = packed_here(place, Meddler(lambda: os.truncate(path, size_then)))
    file = only(manifest)
    assert (file["size"], file["changed_while_read"], manifest["partial"]) == (size_in_zip, True, True)
    assert content.read("workspace/moving") == noise[:size_in_zip]
    assert file["sha256"] == hashlib.sha256(noise[:size_in_zip]).hexdigest()


class Failing(io.BytesIO):
    """A source that can be read up to `good` bytes."""

    def __init__(self, content: bytes, good: int, error: Exception) -> None:
        super().__init__(content)
        self.good, self.error = good, error

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self.good:
            raise self.error
        return super().read(size)


def test_a_read_error_in_the_middle_of_a_file_keeps_what_was_read() -> None:
    out = io.BytesIO()
    one = artifact(out)
    noise = os.urandom(3 * CHUNK)
    assert one.add_file("torn", Failing(noise, CHUNK, OSError(5, "Input/output error")), len(noise), 0o644, 0)
    assert not one.add_file("lost", Failing(noise, 0, OSError(5, "Input/output error")), len(noise), 0o644, 0)
    assert one.add_file("next", io.BytesIO(b"next"), 4, 0o644, 0)
    manifest, content = finished(one, out)
    files = {file["path"]: file for file in manifest["files"]}
    assert files["workspace/torn"]["truncated"] == "Input/output error"
    assert content.read("workspace/torn") == noise[:CHUNK]
    assert content.read("workspace/next") == b"next"
    lost = {"path": "workspace/lost", "reason": "Input/output error", "size": len(noise)}
    assert only(manifest, "left_out") == lost
    assert manifest["partial"]


def test_past_the_limit_the_largest_are_left_out_and_declared_outputs_are_no_exception(place: Place) -> None:
    for number in range(1, 6):
        place.write(f"{6 - number}.bin", os.urandom(number * MiB // 2))
    manifest = place.pack("*.bin", "1.bin", "5.bin", budget=4 * MiB)
    place.unpack()
    assert paths(manifest) == ["3.bin", "4.bin", "5.bin"]
    reason = "the ZIP's limit of 4.0 MiB is reached"
    assert manifest["left_out"] == [
        {"path": "workspace/1.bin", "reason": reason, "size": 5 * MiB // 2},
        {"path": "workspace/2.bin", "reason": reason, "size": 4 * MiB // 2},
    ]
    assert place.summary["outputs_left_out"] == {"*.bin": ["1.bin", "2.bin"], "1.bin": ["1.bin"], "5.bin": []}
    assert place.summary["reasons"] == {"1.bin": reason, "2.bin": reason}
    assert place.summary["outputs"]["5.bin"] == ["5.bin"]
    assert place.summary["partial"] and manifest["partial"]


def test_the_limit_counts_headers_too(place: Place) -> None:
    for number in range(1000):
        place.write(f"{number:03}-{'x' * 200}", b"")
    manifest = place.pack(budget=100_000)
    with zipfile.ZipFile(place.zip) as content:
        begin = next(info for info in content.infolist() if not info.filename.startswith("workspace/")).header_offset
        directory = sum(46 + len(file["path"]) for file in manifest["files"])
    assert 90_000 < begin + directory <= 100_000
    assert len(manifest["files"]) + len(manifest["left_out"]) == 1000


def test_a_file_larger_than_the_limit_is_packed_where_its_compressed_size_is_not(place: Place) -> None:
    place.write("log", b"the same line again and again\n" * 200_000)
    place.write("late-squeeze", os.urandom(CHUNK) + bytes(8 * MiB))
    place.write("noise", os.urandom(8 * MiB))
    manifest = place.pack(budget=MiB)
    workspace = place.unpack()
    assert paths(manifest) == ["late-squeeze", "log"]
    assert (workspace / "log").stat().st_size == 6_000_000
    assert paths(manifest, "left_out") == ["noise"]


def test_a_file_that_no_compression_could_make_fit_is_refused_without_reading_it(place: Place) -> None:
    with open(place.root / "huge", "wb") as file:
        file.truncate(2**40)
    assert only(place.pack(budget=64 * MiB), "left_out")["size"] == 2**40


def test_after_the_deadline_nothing_is_begun(place: Place) -> None:
    place.write("a")
    os.symlink("a", place.root / "link")
    os.mkdir(place.root / "empty")
    manifest = place.pack(seconds=0)
    place.unpack()
    assert manifest["files"] == []
    assert [(record["path"], record["reason"]) for record in manifest["left_out"]] == [
        ("workspace/a", TIME_OVER),
        ("workspace/empty", TIME_OVER),
        ("workspace/link", TIME_OVER),
    ]


class Slow(io.BytesIO):
    """A source whose second read ends after the deadline."""

    deadline = 0.0

    def read(self, size: int | None = -1) -> bytes:
        while self.tell() and time.monotonic() < self.deadline:
            pass
        return super().read(size)


def test_the_deadline_cuts_the_file_that_is_being_written() -> None:
    out = io.BytesIO()
    noise = os.urandom(4 * CHUNK)
    slow = Slow(noise)
    slow.deadline = time.monotonic() + 0.2
    one = artifact(out, deadline=slow.deadline)
    assert one.add_file("cut", slow, len(noise), 0o644, 0)
    assert not one.add_file("late", io.BytesIO(b"late"), 4, 0o644, 0)
    manifest, content = finished(one, out)
    assert (only(manifest)["truncated"], only(manifest)["size"]) == (TIME_OVER, 2 * CHUNK)
    assert content.read("workspace/cut") == noise[: 2 * CHUNK]
    assert only(manifest, "left_out")["reason"] == TIME_OVER
    assert manifest["partial"]


def test_the_deadline_ends_the_counting_of_a_file_that_may_not_fit() -> None:
    out = io.BytesIO()
    slow = Slow(bytes(4 * MiB))
    slow.deadline = time.monotonic() + 0.2
    one = artifact(out, budget=MiB, deadline=slow.deadline)
    assert not one.add_file("slow", slow, 4 * MiB, 0o644, 0)
    assert only(finished(one, out)[0], "left_out")["reason"] == TIME_OVER


def test_junk_is_left_out_once_for_each_folder_and_does_not_make_the_zip_partial(place: Place) -> None:
    for junk in ("__pycache__", ".cache", "node_modules", ".ipynb_checkpoints", ".pytest_cache", ".npm"):
        place.write(f"sub/{junk}/a/b")
        place.write(f"sub/{junk}/c")
    place.write(".local/lib/python3.13/site-packages/big/module.py")
    place.write(".local/state")
    place.write("env/pyvenv.cfg")
    place.write("env/bin/python")
    place.write("other/.cache")  # a file of that name is not a cache
    place.write("sub/kept")
    manifest = place.pack()
    assert paths(manifest) == [".local/state", "other/.cache", "sub/kept"]
    left_out = {record["path"]: record["reason"] for record in manifest["left_out"]}
    assert left_out["workspace/sub/node_modules"] == "junk: node_modules"
    assert left_out["workspace/env"] == "junk: a virtual environment"
    assert left_out["workspace/.local/lib/python3.13/site-packages"] == "junk: site-packages"
    assert len(left_out) == 8
    assert not manifest["partial"] and not place.summary["partial"]
    assert place.summary["left_out"] == 0


def test_junk_that_a_declared_output_names_is_packed(place: Place) -> None:
    for name in (".cache/model", "env/pyvenv.cfg", "env/out.csv", "deep/node_modules/x", "__pycache__/y"):
        place.write(name)
    manifest = place.pack(".cache/*", "env/out.csv", "**/node_modules/**", "*")
    assert paths(manifest) == [".cache/model", "deep/node_modules/x", "env/out.csv", "env/pyvenv.cfg"]
    assert place.summary["outputs"]["**/node_modules/**"] == ["deep/node_modules/x"]
    assert place.summary["outputs_left_out"]["*"] == []


def test_the_summary_names_what_matches_each_declared_output(place: Place) -> None:
    for number in range(30):
        place.write(f"results/{number:02}.csv")
    place.write(b"caf\xe9.txt")
    place.write("app/[id]/page.tsx")
    (place.root / "empty").mkdir()
    place.pack("results/*.csv", "**/*.csv", "results", "empty", "*.txt", "app/[id]/page.tsx", "00.csv", "nothing")
    outputs = place.summary["outputs"]
    assert outputs["results/*.csv"] == outputs["**/*.csv"] == [f"results/{number:02}.csv" for number in range(20)]
    assert outputs["results"] == ["results"]
    assert outputs["empty"] == [], "an empty folder is no file"
    assert outputs["app/[id]/page.tsx"] == ["app/[id]/page.tsx"]
    assert outputs["*.txt"] == ["caf\\xe9.txt"]
    assert outputs["00.csv"] == outputs["nothing"] == []
    assert place.summary["hint"] == "Nothing matches '00.csv', but there is 'results/00.csv'."
    assert (place.summary["files"], place.summary["bytes"], place.summary["left_out"]) == (32, 32, 0)


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("*.csv", ["a.csv", ".csv", ".a.csv", "\n.csv"], ["a/b.csv", "a.csv2"]),
        ("**/*.csv", ["a.csv", "a/b.csv", "a/.b/c.csv"], ["a.csv/x"]),
        ("out/**", ["out/a", "out/a/b"], ["out", "outer/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/b/y/b"], ["a/xb", "b", "a/b/x"]),
        ("**/a/**/b/*", ["a/b/c", "x/a/y/b/c", "a/b/b/c"], ["a/b", "a/c/b"]),
        ("data-?.[jt]s*", ["data-1.json", "data-x.ts"], ["data-.json", "data-1.csv"]),
        ("./a//b/", ["a/b"], ["a", "a/b/c"]),
        ("**", ["a", "a/b", ".x"], []),
        ("[!a]*", ["b", "/b"[1:]], ["a", "ab"]),
        ("", [], ["a"]),
        ("report [final].pdf", ["report [final].pdf", "report f.pdf"], ["report [f].pdf", "report.pdf"]),
        ("app/[id]/page.tsx", ["app/[id]/page.tsx", "app/i/page.tsx"], ["app/[x]/page.tsx", "app/id/page.tsx"]),
        ("**/[...all]/*.ts", ["[...all]/a.ts", "app/[...all]/b.ts", "a/l/c.ts"], ["app/x/b.ts", "[...all]/x/b.ts"]),
    ],
)
def test_a_glob_matches_name_by_name(pattern: str, hits: list[str], misses: list[str]) -> None:
    assert [path for path in hits + misses if matches(pattern, path)] == hits


def test_a_glob_of_many_stars_takes_no_time() -> None:
    begun = time.monotonic()
    assert not matches("*a" * 40 + "b", "a" * 255)
    assert not matches("**/a/" * 40 + "b", "/".join("a" * 500))
    assert time.monotonic() - begun < 1


def test_a_workspace_is_salvaged_from_the_tar_stream_of_a_dead_container() -> None:
    tar = io.BytesIO()
    noise = os.urandom(3 * CHUNK)
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (("empty", b""), ("ü\n", b"text"), ("whole", noise), ("torn", noise)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    out = io.BytesIO()
    one = artifact(out)
    stream = io.BytesIO(tar.getvalue()[:-CHUNK])  # the connection broke
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            source = archive.extractfile(member)
            assert source
            if not one.add_file(member.name, cast(BinaryIO, source), member.size, member.mode, member.mtime):
                raise AssertionError(one.left_out)
            if member.name == "torn":
                break
    one.add_link("link", "/etc/passwd", 0)
    one.add_folder("folder", 0o755, 0)
    manifest, content_of = finished(one, out)
    assert content_of.read("workspace/empty") == b""
    assert content_of.read("workspace/ü%0A") == b"text"
    torn = next(file for file in manifest["files"] if file["path"] == "workspace/torn")
    assert torn["truncated"] and 0 < torn["size"] < len(noise)
    assert manifest["partial"]


#: Workspaces with folders that are junk, or only look like it, and outputs that name some of them.
WITH_JUNK = [
    (["env/pyvenv.cfg", "env/bin/python", "env/.gitignore", "env/lib/python3.13/site-packages/a.py", "kept"], []),
    (["a/env/pyvenv.cfg", "a/env/bin/x", "a/env/z", "a/envy", "a/z/pyvenv.cfg", "a/z/bin/python", "z"], []),
    (["pyvenv.cfg", "bin/python", "node_modules/a/b"], []),  # the workspace itself is never junk
    (["env/inner/pyvenv.cfg", "env/inner/x", "env/pyvenv.cfg/x", "env/zz"], []),
    (["env/__pycache__/pyvenv.cfg", "env/x"], []),
    (["env/pyvenv.cfg", "env/out.csv", ".cache/x", "site-packages/x"], ["env/out.csv"]),
    (["other/.cache", "sub/node_modules", "sub/.npm/x", "sub/x"], []),  # a file of that name is not junk
]


@pytest.mark.parametrize(("files", "outputs"), WITH_JUNK)
@pytest.mark.parametrize("order", ["--sort=name", "--sort=none"])
def test_salvage_leaves_out_what_the_packer_leaves_out(
    place: Place, files: list[str], outputs: list[str], order: str
) -> None:
    for name in files:
        place.write(name, name.encode())
    packed = place.pack(*outputs)
    tar = subprocess.run(["tar", order, "-C", place.root.parent, "-c", "workspace"], check=True, capture_output=True)
    with open(place.root.parent / "salvaged.zip", "w+b") as out:
        blocks = (tar.stdout[at : at + 1000] for at in range(0, len(tar.stdout), 1000))
        papers = {"partial": False, **MANIFEST}, DOCUMENTS
        told = write_zip(out, blocks, "", 64 * MiB, time.monotonic() + 60, outputs, lambda _: papers)
    place.zip = place.root.parent / "salvaged.zip"
    place.unpack()
    salvaged = place.manifest()
    assert [file["path"] for file in salvaged["files"] if "sha256" in file] == [
        file["path"] for file in packed["files"]
    ]
    assert salvaged["left_out"] == packed["left_out"]
    assert (told["files"], told["left_out"], told["partial"]) == (len(packed["files"]), 0, False)


def test_a_virtual_environment_takes_no_room_from_what_comes_after_it() -> None:
    tar = io.BytesIO()
    noise = os.urandom(6 * MiB)
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, content in (("env/bin/large", noise), ("env/pyvenv.cfg", b""), ("result", noise)):
            member = tarfile.TarInfo(f"workspace/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    out = io.BytesIO()
    papers = {"partial": False, **MANIFEST}, DOCUMENTS
    told = write_zip(out, iter([tar.getvalue()]), "", 8 * MiB, time.monotonic() + 60, [], lambda _: papers)
    with zipfile.ZipFile(out) as content:
        assert content.testzip() is None
        assert set(content.namelist()) == {"workspace/result", "report.md", "output.log", "manifest.json", "SHA256SUMS"}
    assert not told["partial"] and len(out.getvalue()) < 7 * MiB


def test_a_source_that_can_not_be_read_twice_is_left_out_where_it_may_not_fit() -> None:
    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

    out = io.BytesIO()
    one = artifact(out, budget=MiB)
    assert not one.add_file("large", Stream(bytes(2 * MiB)), 2 * MiB, 0o644, 0)
    assert one.add_file("small", Stream(bytes(MiB // 2)), MiB // 2, 0o644, 0)
    assert only(finished(one, out)[0], "left_out")["reason"] == "the ZIP's limit of 1.0 MiB is reached"


def test_no_path_leads_out_of_the_workspace_and_too_long_ones_are_left_out() -> None:
    out = io.BytesIO()
    one = artifact(out)
    for path in ("../../etc/cron.d/x", "/abs", "a/../b"):
        assert one.add_file(path, io.BytesIO(b"x"), 1, 0o644, 0)
    assert not one.add_file("y" * LONGEST_NAME, io.BytesIO(b"x"), 1, 0o644, 0)
    manifest, _ = finished(one, out)
    assert paths(manifest) == ["%2E%2E/%2E%2E/etc/cron.d/x", "a/%2E%2E/b", "abs"]
    assert only(manifest, "left_out")["reason"] == TOO_LONG


def test_the_manifest_keeps_what_the_orchestrator_gave_and_survives_text_that_is_no_text() -> None:
    out = io.BytesIO()
    one = artifact(out)
    one.finish({**MANIFEST, "partial": True, "plan": ["\udcff"]}, {**DOCUMENTS, "session.ipynb": "{}"})
    with zipfile.ZipFile(out) as content:
        manifest = json.loads(content.read("manifest.json"))
        sums = content.read("SHA256SUMS").decode().splitlines()
        assert content.read("output.log").decode() == DOCUMENTS["output.log"]
    assert manifest == {
        **MANIFEST,
        "partial": True,
        "plan": ["\udcff"],
        "files": [],
        "left_out": [],
        "secrets_found": [],
    }
    assert [line.split("  ")[1] for line in sums] == ["report.md", "output.log", "session.ipynb", "manifest.json"]


REQUEST = '{"root": "ROOT", "outputs": [], "budget": 1000000, "seconds": 60}'


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("", "stdin ended before the request was sent"),
        ("hello\n", "the request is not JSON"),
        ("[]\n", "the request must be a JSON object"),
        ('{"root": "ROOT"}\n', "the request must have root, outputs, budget and seconds"),
        (REQUEST + "\n", "stdin ended before the manifest was sent"),
        (REQUEST + '\n{"manifest": {', "stdin ended before the manifest was sent"),
        (REQUEST + '\n{"manifest": {}, "documents": {"a": 1}}\n', "the end must have manifest and documents"),
    ],
)
def test_a_broken_protocol_ends_the_child_with_a_sentence_and_without_a_zip(
    place: Place, lines: str, sentence: str
) -> None:
    place.write("a", b"text")
    place.own()
    child = subprocess.run(
        ["bash", "-c", 'exec "$0" -m agent.children.pack 3>/dev/null', PYTHON],  # 3 is where the summary goes by itself
        input=lines.replace("ROOT", str(place.root)).encode(),
        capture_output=True,
        cwd=place.code,
        env=UTF8,
        **AS_USER,
    )
    assert child.returncode == 2
    assert child.stderr.decode().startswith(f"pack: {sentence}")
    assert child.stderr.count(b"\n") == 1
    assert not zipfile.is_zipfile(io.BytesIO(child.stdout))
