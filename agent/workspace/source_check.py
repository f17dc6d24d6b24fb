"""Checks the sources of a plan before its first step runs. A child in the users' environment parses them."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.runtime.processes import Stopped, end
from protocol import messages

if TYPE_CHECKING:
    from agent.job import Job

COMMAND = ["/opt/venv/bin/python", "-I", str(Path(__file__).parents[1] / "children/check_sources.py")]

#: The languages that are checked. Files with another suffix may contain anything.
LANGUAGES = frozenset({"shell", "cell", ".py", ".sh", ".bash", ".js", ".mjs", ".cjs", ".json"})

#: Seconds until the child is killed, and maximum bytes of its answer.
CHECK_SECONDS, CHECK_BYTES = 10.0, 256 * 1024


class StepSource(NamedTuple):
    """The source of a step, in a language of the child: shell, cell, or the suffix of a file."""

    number: int
    language: str
    source: str


def problems(job: Job, sources: list[StepSource]) -> list[messages.SourceProblem]:
    """Return the steps whose source does not parse, in order, each with its first problem.

    A source that could not be checked counts as correct.
    """
    asked = []
    cells: str | None = None if job.kernel or job.kernel_lost else ""
    for number, language, source in sources:
        if source and language in LANGUAGES:
            before = cells if language == "cell" else None
            asked.append({"number": number, "language": language, "source": source, "before": before})
        if language == "cell" and cells is not None and source:
            cells += f"{source}\n"
    if not asked:
        return []
    try:
        child = job.processes.start_look(COMMAND, json.dumps(asked))
    except (Stopped, OSError):
        return []
    try:
        told = _read(child)
    finally:
        end(child)
    return _checked(told, [number for number, *_ in sources])


def _read(child: subprocess.Popen[bytes]) -> bytes:
    """Read a child's output until it ends or its time is over. Output beyond the limit is dropped."""
    assert child.stdout  # noqa: S101 - a pipe
    fd, deadline, told = child.stdout.fileno(), time.monotonic() + CHECK_SECONDS, b""
    while len(told) < CHECK_BYTES and select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(fd, CHECK_BYTES)
        if not data:
            break
        told += data
    return told[:CHECK_BYTES]


def _checked(told: bytes, numbers: list[int]) -> list[messages.SourceProblem]:
    """Return the valid part of an answer. The job could have changed the Python that gives it."""
    try:
        sent = json.loads(told)
    except (ValueError, RecursionError):
        return []
    found: dict[int, messages.SourceProblem] = {}
    for one in sent if isinstance(sent, list) else []:
        match one:
            case {"number": int(number), "line": int(line), "message": str(message), "text": str(text)}:
                if number in numbers and 0 <= line < 1 << 31:
                    said = (part.encode("utf-8", "replace").decode() for part in (message[:300], text[:200]))
                    found.setdefault(number, messages.SourceProblem(number, line, *said))
    return [found[number] for number in numbers if number in found]
