"""The session for the live notebook: a cell per step, with its output and results.

The content is the record's, but the record's own notebook is made elsewhere. Here every step is a runnable cell, so
shell and file steps are IPython magics.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from protocol import messages

#: Maximum bytes of output and results in the live notebook, and characters of one step's output.
KEPT, KEPT_STEP = 4 * 2**20, 256 * 1024

LEFT_OUT = "[… what came before is left out here; the job's own record has it …]\n"


class NotebookFeed:
    """The content of the live notebook from the first step on, one JSON object per line.

    ``agent.children.lab_server`` reads it.

    ``cell_of`` returns a cell that does the same as a step.

    Any thread adds content; readers continue from a position. If there is too much, the oldest content is dropped. The
    cell then says so, for present and later viewers.
    """

    def __init__(self, cell_of: Callable[[messages.PlannedStep], str]) -> None:
        self._cell_of = cell_of
        self._lock = threading.Lock()
        self._lines: list[bytes] = []  # dropped lines are empty
        self._outputs: dict[int, list[int]] = {}  # the positions of each step's outputs; the last one cut is last
        self._size = 0  # of all outputs
        self._printed: dict[int, int] = {}  # stored characters of each step
        self.on_change: Callable[[], None] = lambda: None

    def begin(self, step: messages.PlannedStep) -> None:
        """Add a cell when a step or the check begins."""
        name = "The check" if step.number == messages.CHECK else f"Step {step.number}: {step.title}"
        title = {"cell": f"{_cell(step.number)}-title", "kind": "markdown", "source": f"## {name}", "tags": ["job"]}
        with self._lock:
            self._add_line(title)
            self._add_line({"cell": _cell(step.number), "kind": "code", "source": self._cell_of(step), "tags": ["job"]})
        self.on_change()

    def on_event(self, event: messages.AgentEvent) -> None:
        """Add an event's output or result."""
        with self._lock:
            self._take(event)
        self.on_change()

    def _take(self, event: messages.AgentEvent) -> None:
        if isinstance(event, messages.Output):
            self._output(event.step, {"output_type": "stream", "name": "stdout", "text": event.text})
            self._printed[event.step] = self._printed.get(event.step, 0) + len(event.text)
            if self._printed[event.step] > KEPT_STEP:
                self._cut(event.step)
        elif isinstance(event, messages.Result) and event.error:
            name, message = event.error
            error = {"ename": name, "evalue": message, "traceback": [f"{name}: {message}"]}
            self._output(event.step, {"output_type": "error", **error})
        elif isinstance(event, messages.Result):
            data = {kind: _value(kind, part) for kind, part in event.data.items() if kind not in messages.PICTURES}
            picture = {"file": event.file} if event.file and not event.file.endswith(".html") else {}
            self._output(event.step, {"output_type": "display_data", "data": data, "metadata": {}}, **picture)

    def read(self, position: int) -> tuple[bytes, int]:
        """Return the line at a position and the next position. The line is empty if there is none yet."""
        with self._lock:
            while position < len(self._lines):
                position += 1
                if line := self._lines[position - 1]:
                    return line, position
            return b"", position

    def _output(self, step: int, output: dict[str, Any], **more: str) -> None:
        self._add_line({"cell": _cell(step), "output": output, **more}, step)
        while self._size > KEPT:
            self._cut(next(iter(self._outputs)))

    def _cut(self, step: int) -> None:
        """Drop a step's output and results so far."""
        for position in self._outputs.pop(step):
            self._size -= len(self._lines[position])
            self._lines[position] = b""
        self._printed[step] = 0
        left_out = {"output_type": "stream", "name": "stdout", "text": LEFT_OUT}
        self._add_line({"cell": _cell(step), "instead": left_out}, step)

    def _add_line(self, content: dict[str, Any], output_of: int | None = None) -> None:
        line = json.dumps(content).encode() + b"\n"
        if output_of is not None:
            self._outputs.setdefault(output_of, []).append(len(self._lines))
            self._size += len(line)
        self._lines.append(line)


def _value(kind: messages.ResultKind, part: str) -> Any:
    """Return a part of a result as a notebook has it. JSON is a value there."""
    if not kind.endswith("json"):
        return part
    try:
        return json.loads(part)
    except (ValueError, RecursionError):
        return None


def _cell(number: int) -> str:
    return f"step-{number}"
