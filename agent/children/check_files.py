"""Checks the files that a job should produce: a child process with the identity of the job's user.

    python -I -m agent.children.check_files

stdin, JSON:   {"root": folder, "named": [path or glob], "seconds": number,
                "columns": {path of a table: [name that its header must have]}}
stdout, JSON:  [{"path": text, "ok": bool, "detail": sentence, "about": word}], as in ``messages.Fact``

A glob passes if one of its files passes. Each file is checked in a process of its own.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from contextlib import suppress

from agent.children.content_checks import wrong_with
from agent.children.isolation import USERS_PACKAGES, offer_first
from agent.children.pack import candidates_of, matches, target_of
from agent.children.walk import OPEN_FLAGS, TOO_MANY, Found, walk
from protocol.artifact import readable
from protocol.file_names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Entries of the workspace that are listed; files of a glob that are checked; bad ones of these that are reported.
MOST_FILES, TRIED, TOLD = 20_000, 20, 5

#: Bytes of a table that are read for its header.
HEADER = 8_192

#: Limits of the answer: facts, characters of one sentence after its path, and characters of all facts.
FACTS, REST, ANSWER = 400, 8_000, 400_000


class Place:
    """An index of the workspace's entries."""

    def __init__(self, root: str, named: list[str], deadline: float, columns: dict[str, list[str]]) -> None:
        self.root, self.deadline, self.columns = root, deadline, columns
        self.reasons: dict[str, str] = {}  # path → why it is neither file, folder nor link
        found = walk(root, named, lambda path, reason, *_, **__: self.reasons.setdefault(path, reason), MOST_FILES)
        self.files = {item.path: item for item in found if item.kind == "file"}
        self.empty = {item.path for item in found if item.kind == "folder"}
        links = [item.path for item in found if item.kind == "link"]
        self.candidates, self.nowhere = candidates_of(root, self.files, links)
        self.whole = TOO_MANY not in self.reasons.values()

    def facts(self, pattern: str) -> list[dict[str, Any]]:
        """Check the files that one path or glob names."""
        found = sorted(path for path in self.candidates if matches(pattern, path))
        if not found:
            return self._none(pattern)
        if pattern in found:
            return [self._fact(pattern)]
        found = [path for path in found if self._file(path)] or found
        bad = []
        for path in found[:TRIED]:
            fact = self._fact(path)
            if fact["ok"]:
                return [_fact(pattern, "ok", f"matches {_files(len(found))}. {fact['detail']}")]
            bad.append(fact)
        return bad[:TOLD]

    def _file(self, path: str) -> Found | None:
        """Return the file at a path or at the target of a link."""
        return self.files.get(path) or self.files.get(target_of(self.root, path))

    def _fact(self, path: str) -> dict[str, Any]:
        item = self._file(path)
        if item is None:
            inside = sum(file.startswith(f"{target_of(self.root, path)}/") for file in self.files)
            return _fact(path, "ok", f"is a folder with {_files(inside)}.")
        left = self.deadline - time.monotonic()
        size = readable(item.size)
        if left <= 0:
            return _fact(path, "ok", f"is there ({size}). It was not checked: the time was up.")
        wrong = wrong_with(f"{self.root}/{item.path}", item.path.rpartition("/")[2], left)
        wrong = wrong or self._without_columns(path, item)
        return _fact(path, *(wrong or ("ok", f"is there ({size}).")))

    def _without_columns(self, path: str, item: Found) -> tuple[str, str] | None:
        """Tell which columns a table lacks."""
        wanted = self.columns.get(path)
        if not wanted:
            return None
        with open(f"{self.root}/{item.path}", "rb", opener=lambda name, _: os.open(name, OPEN_FLAGS)) as file:
            first = file.read(HEADER).decode("utf-8-sig", "replace").split("\n")[0]
        has = next(csv.reader([first], delimiter=max(",;\t|", key=first.count)), [])
        if {_plain(name) for name in wanted} <= {_plain(name) for name in has}:
            return None
        return "invalid", f"has the columns {', '.join(has)}, but the request says {', '.join(wanted)}."

    def _none(self, pattern: str) -> list[dict[str, Any]]:
        """Tell why nothing matches."""
        for path in sorted(self.nowhere):
            if matches(pattern, path):
                target = shown(os.readlink(f"{self.root}/{path}"))
                return [_fact(path, "missing", f"is a link to {target}, which is not in the workspace.")]
        for path, reason in sorted(self.reasons.items()):
            if matches(pattern, path):
                return [_fact(path, "invalid", f"cannot be used: {reason}.")]
        for path in sorted(self.empty):
            if matches(pattern, path):
                return [_fact(path, "empty", "is an empty folder.")]
        if not self.whole:
            return []  # it may be among the entries that were not listed
        near = self._near(pattern)
        return [_fact(pattern, "missing", f"is not there, but {shown(near)} is." if near else "is not there.")]

    def _near(self, pattern: str) -> str | None:
        """Find a file of the same name in another folder, or of the same name in other letter case."""
        name = pattern.rpartition("/")[2]
        ways = (
            (pattern.casefold(), str.casefold),
            (f"**/{name}", str),
            (f"**/{name.casefold()}", str.casefold),
        )
        paths = sorted(self.files)
        return next((path for way, form in ways for path in paths if name and matches(way, form(path))), None)


def _fact(path: str, about: str, rest: str) -> dict[str, Any]:
    return {"path": shown(path), "ok": about == "ok", "detail": f"{shown(path)} {shown(rest[:REST])}", "about": about}


def _plain(column: str) -> str:
    return " ".join(column.replace("_", " ").split()).casefold()


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def main() -> int:
    offer_first()
    sys.path.append(USERS_PACKAGES)
    request = json.load(sys.stdin)
    with suppress(Exception):  # the job may have broken its own packages
        import PIL.Image  # noqa: F401 - once, before the forks
    deadline = time.monotonic() + request["seconds"]
    place, left = Place(request["root"], request["named"], deadline, request["columns"]), ANSWER
    told: list[str] = []
    for fact in (fact for pattern in request["named"] for fact in place.facts(pattern)):
        told.append(json.dumps(fact))
        left -= len(told[-1]) + 2
        if left < 0 or len(told) > FACTS:
            told.pop()
            break
    print(f"[{', '.join(told)}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
