"""A step's output: decoded, bounded with an explicit marker, and sent in about ten events a second at most."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable

from protocol import messages
from protocol.redaction import Needles, Stream

#: Seconds between two events of one step.
INTERVAL = 0.1


#: Bytes at the end that ``last_lines`` examines.
RECENT = 4096


#: A redrawn line, such as a progress bar. Only its last version is visible.
REDRAWN = re.compile(r"\r[^\r\n]*(?=\r[^\r\n])")


def redrawn(text: str) -> str:
    """Return a text with only the last version of each redrawn line. Text before it is unknown here."""
    return REDRAWN.sub("", text)


class Budget:
    """Bytes of output that the job may still store, shared by its steps."""

    def __init__(self, size: int = messages.OUTPUT_JOB) -> None:
        self.left = size


class StepOutput:
    """Takes bytes and returns text.

    Stored are the first ``messages.OUTPUT_HEAD`` bytes (fewer if the job's budget ends first) and the last
    ``messages.OUTPUT_TAIL``. A marker states the bytes dropped in between. Invalid UTF-8 becomes U+FFFD, so binary
    output does no harm. Secrets are replaced by marks before counting and cutting.
    """

    def __init__(self, send: Callable[[str], None], budget: Budget, needles: Needles) -> None:
        self._send, self._budget, self._stream, self._needles = send, budget, Stream(needles), needles
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text: list[str] = []
        self._sent_at = 0.0
        self._head = messages.OUTPUT_HEAD
        self._tail = bytearray()
        self._cut = 0
        self._recent = bytearray()
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take output of the step."""
        self.size += len(data)
        self._take(self._stream.feed(data))

    def _take(self, data: bytes) -> None:
        self._recent += data[-RECENT:]
        del self._recent[:-RECENT]
        room = max(0, min(self._head, self._budget.left))
        kept, rest = data[:room], data[room:]
        self._head -= len(kept)
        self._budget.left -= len(kept)
        if kept:
            self._text.append(self._decoder.decode(kept))
        if rest:
            if not self._cut:
                self._text.append(self._decoder.decode(b"", True))
                self._text.append("\n[… there is more output than is kept: its end follows when the step ends …]\n")
            self._cut += len(rest)
            self._tail += rest
            if len(self._tail) > 2 * messages.OUTPUT_TAIL:
                del self._tail[: -messages.OUTPUT_TAIL]

    def note(self, text: str) -> None:
        """Add a line that the step has not printed."""
        self._text.append(self._needles.text(f"[… {text} …]\n"))

    def last_lines(self, count: int) -> str:
        """Return the end of the output, for a sentence about the step."""
        text = bytes(self._recent).decode("utf-8", "replace").strip()
        return "\n".join(text.splitlines()[-count:])

    @property
    def due(self) -> float | None:
        """Return the time (``time.monotonic``) at which to send the waiting text, or None if none waits."""
        return self._sent_at + INTERVAL if self._text else None

    def tick(self) -> None:
        """Send the waiting text if its time has come."""
        due = self.due
        if due is not None and time.monotonic() >= due:
            self.flush()

    def close(self) -> None:
        """Send the rest. Call it once, after the last ``feed``."""
        self._take(self._stream.close())
        if self._cut:
            tail = bytes(self._tail[-messages.OUTPUT_TAIL :])
            left_out = self._cut - len(tail)
            if left_out:
                self._text.append(f"[… {left_out:,} bytes of output are left out here …]\n")
            self._text.append(tail.decode("utf-8", "replace"))
        else:
            self._text.append(self._decoder.decode(b"", True))
        self.flush()

    def flush(self) -> None:
        """Send the waiting text now."""
        text = redrawn("".join(self._text))
        self._text.clear()
        if text:
            self._send(text)
            self._sent_at = time.monotonic()
