"""Names of any kind, made by machine: into the ZIP from a workspace, and from an engine's copy of one.

Whatever a name is, the ZIP opens with zipfile and with plain `unzip`, unpacks within its folder, has an entry once, and
its sums check. What is red stays red: all is derived from this file alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from agent.children.pack import pack
from orchestrator.files.salvage import write_zip
from protocol.artifact import Artifact, shown

OURS = {"report.md", "manifest.json", "SHA256SUMS"}
UTF8 = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

by_machine = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

#: Pieces of names that some program somewhere takes for something else than a name.
PIECES = st.sampled_from(
    [b"%", b"%0A", b"%2", b"~", b"~2", b"%~", b"\n", b"\r", b"\\", b"..\\", b"..", b".", b";1", b";", b":", b"*", b"?",
     b"-rf", b" ", b"'", b'"', b"`", b"$", b"\x7f", b"\xc2\x85", b"\xe2\x80\xae", b"\xff", b"\xed\xa0\x80",
     b"e\xcc\x81", b"\xc3\xa9", b"a", b"A", b"CON", b"aux.txt", b"workspace", b"SHA256SUMS", b"manifest.json",
     b"x" * 120, b"\n" * 90]
)  # fmt: skip
NAME = st.one_of(st.binary(min_size=1, max_size=255), st.lists(PIECES, min_size=1, max_size=6).map(b"".join))
FILE_NAME = NAME.map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_")[:255]).filter(
    lambda name: name not in (b".", b"..")
)
PATH = st.lists(FILE_NAME, min_size=1, max_size=3).map(b"/".join)
TARGET = st.one_of(st.binary(min_size=1, max_size=300), st.sampled_from([b"/etc/passwd", b"../..", b".", b"a" * 4000]))
TARGET = TARGET.map(lambda target: target.replace(b"\0", b"_"))


def proved(content: bytes) -> dict[str, Any]:
    """The manifest of a ZIP, when all that must hold of any ZIP of ours holds."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
    assert len(set(names)) == len(names), Counter(names).most_common(1)
    entries = {file["path"] + "/" * (file["kind"] == "folder"): file for file in manifest["files"]}
    assert len(entries) == len(manifest["files"])
    assert set(names) == set(entries) | OURS
    files = {name for name in names if not name.endswith("/")}
    for name in names:
        parts = name.removesuffix("/").split("/")
        assert name in OURS or parts[0] == "workspace"
        for part in parts:
            assert part not in ("", ".", "..") and "\\" not in part and len(part.encode()) <= 255
            assert all(character.isprintable() or ord(character) > 0x9F for character in part), part
        assert not {"/".join(parts[:end]) for end in range(1, len(parts))} & files, f"{name} is inside a file"
    unpacked(content, entries)
    return manifest


def unpacked(content: bytes, entries: dict[str, Any]) -> None:
    """What plain tools make of it: everything where the manifest says, nothing anywhere else."""
    with tempfile.TemporaryDirectory(prefix="ca-names-") as folder:
        Path(folder, "job.zip").write_bytes(content)
        out = Path(folder, "out")
        run = {"env": UTF8, "stdin": subprocess.DEVNULL, "capture_output": True}
        done: Any = subprocess.run(["unzip", "-q", "job.zip", "-d", "out"], cwd=folder, **run)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout + done.stderr
        check: Any = subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=out, **run)  # type: ignore[call-overload]
        assert check.returncode == 0, check.stdout + check.stderr
        assert os.listdir(folder) == ["job.zip", "out"] or sorted(os.listdir(folder)) == ["job.zip", "out"]
        found = {f"{root}/{name}" for root, folders, names in os.walk(out) for name in names + empty(root, folders)}
        assert found == {f"{out}/{name.removesuffix('/')}" for name in set(entries) | OURS}


def empty(root: str, folders: list[str]) -> list[str]:
    """Folders with nothing in them, and links to folders."""
    return [name for name in folders if os.path.islink(f"{root}/{name}") or not os.listdir(f"{root}/{name}")]


# ── a workspace ──────────────────────────────────────────────────────────────────────────────────────────────────────

ENTRY = st.one_of(
    st.tuples(PATH, st.just("file")), st.tuples(PATH, st.just("folder")), st.tuples(PATH, st.just("link"), TARGET)
)


@pytest.mark.slow
@by_machine
@given(entries=st.lists(ENTRY, min_size=1, max_size=8))
@example(entries=[(b"a\n", "file"), (b"a%0A", "file"), (b"a%0A~2", "file")])
@example(entries=[(b"\n" * 200, "file"), (b"\n" * 201, "file"), (b"\n" * 200 + b"/x", "file")])
def test_a_workspace_with_any_names_becomes_a_zip_that_every_tool_takes(entries: list[tuple[Any, ...]]) -> None:
    root = tempfile.mkdtemp(prefix="ca-names-").encode()
    made: dict[str, str] = {}
    try:
        for path, kind, *target in entries:
            with contextlib.suppress(OSError):  # its folder is a file already, or too long a path
                make(root + b"/" + path, kind, *target)
        for folder, folders, names in os.walk(root):
            for name in [*names, *(name for name in folders if is_leaf(folder + b"/" + name))]:
                path = folder + b"/" + name
                made[os.fsdecode(path.removeprefix(root + b"/"))] = os.fsdecode(path)
        out, tail = io.BytesIO(), {"manifest": {}, "documents": {"report.md": "# Report\n"}}
        request = {"root": os.fsdecode(root), "outputs": [], "budget": 2**26, "seconds": 60}
        pack(request, out, io.BytesIO(), io.BytesIO(json.dumps(tail).encode() + b"\n"))
        manifest = proved(out.getvalue())
        names = Counter(file.get("original_name", file["path"]) for file in manifest["files"])
        assert names == Counter(shown(f"workspace/{path}") for path in made)
        assert not manifest["left_out"] and not manifest["partial"]
        contents = Counter(file["sha256"] for file in manifest["files"] if file["kind"] == "file")
        assert contents == Counter(sum_of(path) for path in made.values() if not is_leaf(path) and os.path.isfile(path))
    finally:
        shutil.rmtree(root)


def make(path: bytes, kind: str, target: bytes = b"") -> None:
    os.makedirs(path if kind == "folder" else os.path.dirname(path), exist_ok=True)
    if kind == "link":
        os.symlink(target, path)
    elif kind == "file":
        with open(path, "xb") as file:
            file.write(b"content of " + path[-300:])


def is_leaf(path: Any) -> bool:
    """Whether what a walk has as a folder is an end of its own: a link, or a folder with nothing in it."""
    return os.path.islink(path) or (os.path.isdir(path) and not os.listdir(path))


def sum_of(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


# ── an engine's copy ─────────────────────────────────────────────────────────────────────────────────────────────────

FEW = st.lists(st.sampled_from([b"a", b"b", b"c", b"", b".", b"..", b"a\n", b"a%0A", b"CON"]), min_size=1, max_size=4)
MEMBER_NAME = st.one_of(
    FEW.map(lambda parts: b"/".join([b"workspace", *parts])),
    FEW.map(lambda parts: b"/".join([b"workspace", *parts])),
    PATH.map(lambda path: b"workspace/" + path),
    st.lists(NAME, min_size=1, max_size=4).map(b"/".join),
    st.sampled_from(
        [b"workspace", b"workspace/..", b"workspace/../../etc/x", b"/etc/passwd", b"workspaces/x", b"", b".", b"..",
         b"workspace/" + b"d/" * 3000 + b"f", b"workspace/" + b"x" * 5000, b"workspace/node_modules/x"]
    ),
)  # fmt: skip
PLAIN_TYPES = st.sampled_from([b"0", b"0", b"0", b"2", b"2", b"5", b"1", b"3", b"6"])
ALL_TYPES = st.sampled_from([b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"\0", b"S", b"L", b"K", b"x", b"g", b"?"])
PAX = st.dictionaries(
    st.sampled_from(["path", "linkpath", "size", "mtime", "uid", "GNU.sparse.major", "GNU.sparse.name", "hdrcharset"]),
    st.one_of(
        st.sampled_from(["-1", "nan", "inf", "9" * 30, "1", "BINARY", "workspace/a", "../x"]), st.text(max_size=20)
    ),
    max_size=2,
)


@st.composite
def member(draw: st.DrawFn, types: st.SearchStrategy[bytes], sane: bool) -> bytes:
    """A member as no sane program would name it, or would write it at all, in one of the formats."""
    info = tarfile.TarInfo(os.fsdecode(draw(MEMBER_NAME)))
    info.type, info.linkname = draw(types), os.fsdecode(draw(st.one_of(TARGET, MEMBER_NAME)))
    info.mode, info.mtime = draw(st.integers(0, 0o7777)), draw(st.integers(0, 2**40))
    content = draw(st.binary(max_size=600)) if info.type in tarfile.REGULAR_TYPES else b""
    info.size = len(content)
    if not sane:
        info.mode, info.mtime = draw(st.integers(-1, 2**20)), draw(st.integers(-(2**40), 2**40))
        info.size = draw(st.sampled_from([len(content)] * 3 + [0, -1, 10**6, 2**40]))
        info.pax_headers = draw(PAX)
    kind = draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    with contextlib.suppress(ValueError):  # that format has no words for it
        return info.tobuf(kind, "utf-8", "surrogateescape") + content + b"\0" * (-len(content) % 512)
    return b""


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A stream of members that is none of ours any more, now and then cut."""
    content = bytearray(b"".join(draw(st.lists(member(ALL_TYPES, False), max_size=6))) + b"\0" * 1024)
    for place in draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] ^= 0xFF
    return bytes(content[: draw(st.sampled_from([len(content), len(content) // 2, 511]))])


@pytest.mark.slow
@by_machine
@given(members=st.lists(member(PLAIN_TYPES, True), min_size=2, max_size=10), block=st.sampled_from([1, 511, 10_000]))
def test_a_copy_with_any_names_becomes_a_zip_that_every_tool_takes(members: list[bytes], block: int) -> None:
    stream = b"".join(members) + b"\0" * 1024
    manifest = salvaged(stream[at : at + block] for at in range(0, len(stream), block))
    assert not [found for found in manifest["left_out"] if "broke off" in found["reason"]]


@pytest.mark.slow
@by_machine
@given(stream=damaged(), block=st.sampled_from([1, 511, 10_000]))
def test_a_copy_that_is_damaged_becomes_a_zip_of_what_came_before(stream: bytes, block: int) -> None:
    salvaged(stream[at : at + block] for at in range(0, len(stream), block))


def salvaged(blocks: Iterator[bytes]) -> dict[str, Any]:
    out = io.BytesIO()

    def papers(artifact: Artifact) -> tuple[dict[str, Any], dict[str, str]]:
        return {"partial": artifact.partial}, {"report.md": "# Report\n"}

    told = write_zip(out, blocks, "", 2**26, time.monotonic() + 2, [], papers)
    manifest = proved(out.getvalue())
    assert told["files"] == sum("sha256" in file for file in manifest["files"])
    return manifest
