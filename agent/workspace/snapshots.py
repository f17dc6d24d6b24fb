"""Saves a job's files beside its workspace and restores them; copies uploads before a step overwrites them.

A child process with the identity of the job's user copies. Its output is untrusted, as in
``agent.workspace.inspection``.
"""

from __future__ import annotations

import re
from posixpath import splitext
from typing import TYPE_CHECKING, Any

from agent.runtime.processes import HOME, WORKSPACE
from agent.workspace.inspection import CHILDS_SECONDS, Nonsense, answer, in_workspace, text_of

if TYPE_CHECKING:
    from agent.job import Job

#: The saved files, in a folder for each save. It is outside of the workspace, so it is not in the ZIP.
KEPT = f"{HOME}/.kept"

#: Paths that a child may return.
MOST_PATHS = 2_000


class Kept:
    """The last saved state of a job's files."""

    def __init__(self) -> None:
        self._number = 0  # of the last attempt to save
        self._folder = ""  # of the last state that was saved

    def save(self, job: Job, named: list[str]) -> bool:
        """Save the files that paths and globs name; if they match none, save all files but unchanged uploads.

        Returns False if there are no files, too many, or if it takes too long. An earlier state then stays saved.
        """
        self._number += 1
        folder = f"{KEPT}/{self._number}"
        saved = _answer(job, do="save", kept=folder, named=in_workspace(named), uploads=job.order.uploads) is True
        if saved:
            self._folder = folder
        return saved

    def restore(self, job: Job) -> list[str]:
        """Restore the saved files and return their paths. Files that were made later stay."""
        if not self._folder:
            return []
        told = _answer(job, do="restore", kept=self._folder)
        try:
            return [job.needles.text(text_of(path)) for path in told[:MOST_PATHS]] if isinstance(told, list) else []
        except Nonsense:
            return []


def set_aside(job: Job, paths: list[str]) -> list[tuple[str, str]]:
    """Copy uploads to free names beside them, such as ``data.original.csv``. Returns (path, path of the copy) pairs.

    Each upload is copied once in a job: after that, a step may have changed it.
    """
    uploads = set(job.order.uploads) - job.aside.keys()
    wanted = [path for path in in_workspace(paths) if path in uploads]
    told = _answer(job, do="set aside", paths=wanted) if wanted else None
    pairs = [pair for pair in map(_pair, told if isinstance(told, list) else []) if pair and pair[0] in wanted]
    job.aside.update(pairs)
    return pairs


def _pair(told: object) -> tuple[str, str] | None:
    """Return a child's pair if the copy's name has the form that ``set_aside`` gives."""
    if not isinstance(told, list) or len(told) != 2 or not all(isinstance(path, str) for path in told):
        return None
    path, copy = told
    stem, suffix = map(re.escape, splitext(path))
    return (path, copy) if re.fullmatch(rf"{stem}\.original(-\d+)?{suffix}", copy) else None


def _answer(job: Job, **request: Any) -> Any:
    try:
        return answer(job, "agent.children.copy_files", {"root": WORKSPACE, "seconds": CHILDS_SECONDS, **request})
    except Nonsense:
        return None
