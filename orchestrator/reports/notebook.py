"""``session.ipynb``: the job's steps as a notebook that a person can read and run again.

The orchestrator makes it from the record, like the other documents. So it exists for every ending, and at any moment
before. The format is nbformat 4.5 (nbformat.readthedocs.io, "The notebook file format").
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.db.models import Job, Step, at_the_end
from orchestrator.db.store import Printed
from orchestrator.planning.kinds import kind_of
from protocol import messages

#: Maximum characters of a source or an output in a markdown cell. A longer text loses its middle.
SHOWN = 20_000

#: The first cell, for running the notebook again. It finds the files beside the notebook, and lets code that works in
#: a script work in a cell.
SETUP = """\
# For those who run this again: the steps ran in the workspace, which is beside this notebook in the job's ZIP, and each
# like a script: without arguments, with nobody who answers input(), with a loop of its own for asyncio, and with exit
# code 0 as an end that is no error.
import asyncio
import builtins
import getpass
import os
import sys
import warnings


def like_scripts(shell):
    own, paused = asyncio.new_event_loop(), []

    def no_answer(*arguments, **options):
        raise EOFError("there is nobody to answer")

    def begin(cell):
        nonlocal own
        builtins.input = getpass.getpass = no_answer
        awaits = shell.should_run_async(cell.raw_cell, transformed_cell=shell.transform_cell(cell.raw_cell))
        if not awaits and (loop := asyncio._get_running_loop()):  # the notebook's, which stands still meanwhile
            paused.append((loop, asyncio.current_task()))
            asyncio._leave_task(*paused[0])
            asyncio._set_running_loop(None)
            own = asyncio.new_event_loop() if own.is_closed() else own
            asyncio.set_event_loop(own)

    def end(result):
        if paused:
            asyncio.set_event_loop(paused[0][0])
            asyncio._set_running_loop(paused[0][0])
            asyncio._enter_task(*paused.pop())
        if is_success(result.error_in_exec):
            result.error_in_exec = None

    def is_success(error):
        return isinstance(error, SystemExit) and not error.code

    def show_unless_success(kind, error, lines, show=shell._showtraceback):
        if not is_success(error):
            show(kind, error, lines)

    shell._showtraceback = show_unless_success
    shell.events.register("pre_run_cell", begin)
    shell.events.register("post_run_cell", end)
    warnings.filterwarnings("ignore", "To exit: use")


like_scripts(get_ipython())
sys.argv, __file__, exit, quit = ["session.ipynb"], "session.ipynb", sys.exit, sys.exit
if os.path.isdir("workspace"):
    os.chdir("workspace")"""


class Shown:
    """The output and results of a job's steps, and the viewers' cells, by step. They are collected event by event."""

    def __init__(self, events: Iterable[Printed] = ()) -> None:
        self.of_steps: defaultdict[int, _Outputs] = defaultdict(_Outputs)
        self.of_viewers: defaultdict[int, list[Printed]] = defaultdict(list)
        self.pages: list[str] = []  # files with results that need a browser
        self.widgets: Any = None  # the last state of the job's widgets
        for event in events:
            self.add(event)

    def add(self, event: Printed) -> None:
        """Add the next event."""
        if event.kind == "viewer_cell":
            self.of_viewers[event.data["step"]].append(event)
            return
        if event.data.get("file", "").endswith(".html"):
            self.pages.append(event.data["file"])
        if state := _data(event.data.get("data", {})).get(messages.WIDGETS):
            self.widgets = state
        self.of_steps[event.data["step"]].add(event)


def notebook(job: Job, steps: Sequence[Step], shown: Shown) -> str:
    """Return the notebook of a job in its current state, as JSON."""
    ran = [step for step in steps if step.number != messages.CHECK]
    status = (job.outcome or {}).get("status", job.status)
    cells = [_markdown("job", _heading(job))]
    if any(_is_cell(step) for step in ran):
        cells.append(_code("setup", SETUP, 0, [], []))
    for step in [*ran, *(step for step in steps if step.number == messages.CHECK)]:
        outputs = shown.of_steps[step.number].all()
        ended = at_the_end(step.status, status) if job.outcome else step.status
        if _is_cell(step):
            cells.append(_markdown(f"step-{step.number}-title", _title(step, ended)))
            cells.append(_step(step, sum(cell["cell_type"] == "code" for cell in cells), outputs))
        else:
            cells.append(_markdown(f"step-{step.number}", _story(step, ended, outputs)))
        for event in shown.of_viewers[step.number]:
            cells.append(_viewers(event, sum(cell["cell_type"] == "code" for cell in cells)))
    about = {"job_id": job.id, "status": status, "version": messages.VERSION}
    metadata: dict[str, Any] = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
        "containerized-agent": about,
    }
    if shown.widgets:
        metadata["widgets"] = {messages.WIDGETS: shown.widgets}
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def drawn(text: str) -> str:
    """Return a text as a terminal finally shows it: text after a carriage return overwrites its line."""
    text = text.replace("\r\n", "\n")
    if "\r" not in text:
        return text
    lines = []
    for line in text.split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown)
    return "\n".join(lines)


def in_words(result: dict[str, Any]) -> str:
    """Return the text that stands for a result in a plain-text document. ``result`` is the data of its event."""
    lines = [f"[{result['file']}]"] if result.get("file") else []
    kinds = {kind: part for kind, part in result.get("data", {}).items() if kind != messages.WIDGETS}
    if "text/plain" in kinds:
        lines.append(kinds["text/plain"])
    elif kinds and not lines:
        lines.append(f"[{', '.join(kinds)}]")
    return "\n".join(lines)


def _is_cell(step: Step) -> bool:
    """Tell whether a step is a code cell. Separate scripts and steps that did not run are text cells."""
    return kind_of(step).is_cell(step) and step.started_at is not None


class _Outputs:
    """A step's output and results as the outputs of a cell, collected event by event."""

    def __init__(self) -> None:
        self._outputs: list[dict[str, Any]] = []
        self._displays: dict[str, dict[str, Any]] = {}
        self._printed: list[str] = []

    def add(self, event: Printed) -> None:
        if event.kind == "output":
            self._printed.append(event.data["text"])
            return
        self._end_text()
        if error := event.data.get("error"):
            self._outputs.append(_error(*error))
            return
        data = _data(event.data.get("data", {}))
        data.pop(messages.WIDGETS, None)
        display = event.data.get("display", "")
        if display in self._displays:
            self._displays[display]["data"] = data
        elif data:
            self._outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
            if display:
                self._displays[display] = self._outputs[-1]
        if (file := event.data.get("file", "")).endswith(".html"):
            link = {"text/plain": f"[{file}]", "text/html": f'<a href="workspace/{file}">{file}</a>'}
            self._outputs.append({"output_type": "display_data", "data": link, "metadata": {}})

    def all(self) -> list[dict[str, Any]]:
        self._end_text()
        return self._outputs

    def _end_text(self) -> None:
        if text := "".join(self._printed):
            self._outputs.append({"output_type": "stream", "name": "stdout", "text": drawn(text)})
        self._printed.clear()


def _step(step: Step, count: int, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    # a failed cell fails again when the notebook runs, and the tag lets the later cells run anyway
    tags = ["raises-exception"] if step.status != "completed" else []
    return _code(f"step-{step.number}", step.source, count, outputs, tags)


def _viewers(event: Printed, count: int) -> dict[str, Any]:
    """Return a cell that a viewer of the job ran. A tag marks it as the viewer's."""
    found = event.data
    outputs: list[dict[str, Any]] = []
    if found["printed"]:
        outputs.append({"output_type": "stream", "name": "stdout", "text": drawn(found["printed"])})
    for data in found["results"]:
        outputs.append({"output_type": "display_data", "data": _data(data), "metadata": {}})
    if found["error"]:
        outputs.append(_error(*found["error"]))
    return _code(f"viewer-{event.number}", found["source"], count, outputs, ["viewer", "raises-exception"])


def _error(name: str, message: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": [f"{name}: {message}"]}


def _data(kinds: dict[str, str]) -> dict[str, Any]:
    """Return the parts of a result for a notebook, where JSON is a value and not a text. Invalid JSON is left out."""
    found: dict[str, Any] = dict(kinds)
    for kind in kinds:
        if kind.endswith("json"):
            try:
                found[kind] = _json(kinds[kind])
            except (ValueError, RecursionError):
                del found[kind]
    return found


def _json(text: str) -> Any:
    """Return the value of a JSON text, with null for NaN and infinities, which are no JSON.

    Raises ValueError and RecursionError for a value that a notebook cannot contain.
    """
    value = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    whole = value
    for _ in range(20):  # more than the notebook nests it
        whole = [whole]
    json.dumps(whole, ensure_ascii=False, indent=1).encode()  # it may nest too deep, or have half a surrogate pair
    return value


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _heading(job: Job) -> str:
    ending = job.outcome or {}
    lines = [f"# Job {job.id}", ""]
    if job.prompt:
        lines += [_fenced(job.prompt, ""), ""]
    ended = ending.get("status", job.status)
    if ending.get("reason"):
        ended += f" ({ending['reason']})"
    return "\n".join([*lines, f"Status: **{ended}**. Planned by: {job.planned_by}."])


def _title(step: Step, status: str) -> str:
    name = "Check" if step.number == messages.CHECK else f"Step {step.number}"
    code = f" with exit code {step.exit_code}" if step.exit_code is not None else ""
    return f"## {name}: {_plain(step.title)}\n\n*{step.kind}, {status}{code}*"


def _plain(title: str) -> str:
    """Escape the Markdown in a title."""
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", title)


def _story(step: Step, status: str, outputs: Sequence[dict[str, Any]]) -> str:
    """Return the text cell of a step that is not a code cell."""
    parts = [_title(step, status)]
    kind = kind_of(step)
    if heading := kind.heading(step):
        parts.append(heading)
    parts.append(_fenced(step.source, kind.LANGUAGE))
    printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    if printed.strip():
        parts += ["It printed:", _fenced(printed, "")]
    return "\n\n".join(parts)


def _fenced(text: str, language: str) -> str:
    """Return a text as a fenced block. The text cannot end it."""
    if len(text) > SHOWN:
        half = SHOWN // 2
        text = f"{text[:half]}\n[… {len(text) - SHOWN:,} characters are left out here …]\n{text[-half:]}"
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}"


def _markdown(name: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def _code(name: str, source: str, count: int, outputs: list[dict[str, Any]], tags: list[str]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {"tags": tags} if tags else {},
        "execution_count": count or None,
        "outputs": outputs,
        "source": source,
    }
