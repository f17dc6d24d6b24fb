"""The content of the desktop's terminal: coloured output of the steps, and the current step as the title."""

from __future__ import annotations

import threading
from collections.abc import Callable

from protocol import messages

#: Bytes stored for later viewers or a slow terminal.
KEPT = 256 * 1024

BOLD, GREEN, RED, GREY, PLAIN = "\x1b[1;34m", "\x1b[1;32m", "\x1b[1;31m", "\x1b[90m", "\x1b[0m"
LEFT_OUT = f"\n{BOLD}[… more was printed than fits here; GET /jobs/{{id}}/events has it …]{PLAIN}\n".encode()


class Transcript:
    """The end of all output. Any thread adds to it; readers continue from a position."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = bytearray()
        self._begin = 0  # position of the first stored byte
        self._title = b""
        self.on_change: Callable[[], None] = lambda: None

    def begin(self, step: messages.PlannedStep) -> None:
        """Show a heading when a step or the check begins."""
        name = step.title if step.number == messages.CHECK else f'Step {step.number} "{step.title}"'
        plain = "".join(character if character.isprintable() else " " for character in name)
        with self._lock:
            self._title = f"\x1b]0;{plain}\x07".encode()
        self._add(self._title + f"{PLAIN}{BOLD}▶ {plain}{PLAIN}\n".encode())

    def on_event(self, event: messages.AgentEvent) -> None:
        """Show an event."""
        if isinstance(event, messages.Output):
            self._add(event.text.encode("utf-8", "replace"))
        elif isinstance(event, messages.Result) and (shown := event.file or event.data.get("text/plain", "")):
            self._add(f"{BOLD}{shown}{PLAIN}\n".encode("utf-8", "replace"))
        elif isinstance(event, messages.StepEnded):
            sentence = event.detail.partition("\n")[0] or event.status
            colour, mark = (GREEN, "✓") if event.status == "completed" else (RED, "✗")
            self._add(f"{PLAIN}{colour}{mark} {sentence}{PLAIN}\n".encode("utf-8", "replace"))

    def think(self, text: str) -> None:
        """Show text that the model wrote."""
        plain = "".join(one for one in text if one.isprintable() or one in "\n\t")
        self._add(f"{GREY}{plain}{PLAIN}".encode("utf-8", "replace"))

    def read(self, position: int, most: int) -> tuple[bytes, int]:
        """Return the text after a position and the next position. A note replaces lost text."""
        with self._lock:
            before = b""
            if position < self._begin or position == 0:
                before = self._title + (LEFT_OUT if position < self._begin else b"")
                position = self._begin
            part = bytes(self._text[position - self._begin :][:most])
            return before + part, position + len(part)

    def _add(self, data: bytes) -> None:
        with self._lock:
            self._text += data
            cut = max(0, len(self._text) - KEPT)
            del self._text[:cut]
            self._begin += cut
        self.on_change()
