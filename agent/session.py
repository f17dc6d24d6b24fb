"""The session as the live notebook shows it: a cell a step, with what the step prints and shows.

What is told here is what the record has; the record's own notebook is made elsewhere. In this one every step is a cell
that can be run, so shell and file steps stand in it as IPython's own words for them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from agent import wire

#: Bytes that are kept for a viewer who comes later, and of the output of one step.
KEPT, KEPT_STEP = 4 * 2**20, 256 * 1024

LEFT_OUT = "\n[… the rest is left out here; the job's own record has it …]\n"


class Session:
    """All that the live notebook has to be told, from the first step on, one JSON object a line: see ``agent.lab``.

    Any thread adds; who tells reads on from a position.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._size = 0
        self._printed: dict[int, int] = {}  # bytes of each step's output
        self.on_change: Callable[[], None] = lambda: None

    def begin(self, step: wire.PlannedStep) -> None:
        """A step begins, or the check."""
        name = "The check" if step.number == wire.CHECK else f"Step {step.number}: {step.title}"
        self._tell({"cell": f"{_cell(step.number)}-title", "kind": "markdown", "source": f"## {name}", "tags": ["job"]})
        self._tell({"cell": _cell(step.number), "kind": "code", "source": source_of(step), "tags": ["job"]})

    def tell(self, event: wire.AgentEvent) -> None:
        """Something happened that is told of the job."""
        if isinstance(event, wire.Output):
            printed = self._printed.get(event.step, 0)
            self._printed[event.step] = printed + len(event.text)
            if printed < KEPT_STEP:
                text = event.text if printed + len(event.text) <= KEPT_STEP else event.text[:KEPT_STEP] + LEFT_OUT
                self._output(event.step, {"output_type": "stream", "name": "stdout", "text": text})
        elif isinstance(event, wire.Result) and event.error:
            name, message = event.error
            error = {"ename": name, "evalue": message, "traceback": [f"{name}: {message}"]}
            self._output(event.step, {"output_type": "error", **error})
        elif isinstance(event, wire.Result):
            data = {kind: part for kind, part in event.data.items() if kind not in wire.PICTURES}
            picture = {"file": event.file} if event.file else {}
            self._output(event.step, {"output_type": "display_data", "data": data, "metadata": {}}, **picture)

    def read(self, position: int) -> bytes:
        """The line at a position; nothing where none is there yet."""
        with self._lock:
            return self._lines[position] if position < len(self._lines) else b""

    def _output(self, step: int, output: dict[str, Any], **more: str) -> None:
        if self._size < KEPT:
            self._tell({"cell": _cell(step), "output": output, **more})

    def _tell(self, content: dict[str, Any]) -> None:
        line = json.dumps(content).encode() + b"\n"
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
        self.on_change()


def _cell(number: int) -> str:
    return f"step-{number}"


def source_of(step: wire.PlannedStep) -> str:
    """A step as a cell that does the same."""
    if step.kind == "shell":
        return f"%%bash\n{step.source}"
    if step.kind == "file":
        return f"%%writefile {step.path}\n{step.source}"
    return f"!{step.source}" if step.path else step.source
