"""What a step prints: decoded, bounded with an explicit marker, and cut into at most some ten events a second."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable

from protocol import messages
from protocol.redaction import Needles, Stream

#: Seconds between two events of one step.
INTERVAL = 0.1


#: Bytes of the end that ``last_lines`` looks at.
RECENT = 4096


#: A line that is drawn again at once, as a progress bar is: what comes before its last drawing is never seen.
REDRAWN = re.compile(r"\r[^\r\n]*(?=\r[^\r\n])")


def redrawn(text: str) -> str:
    """A text with each line as it was drawn last; what was drawn before this text begins is not known here."""
    return REDRAWN.sub("", text)


class Budget:
    """Bytes of output that the job may still keep, shared by its steps."""

    def __init__(self, size: int = messages.OUTPUT_JOB) -> None:
        self.left = size


class StepOutput:
    """Takes bytes as they come, gives text.

    Kept are the first ``messages.OUTPUT_HEAD`` bytes (less, where the job's budget ends first) and the last
    ``messages.OUTPUT_TAIL``. Where anything falls out between the two, a marker says how much. Bytes that are not UTF-8
    become U+FFFD: a binary stream does no harm. Where a secret's value stood, there is its mark, before anything is
    counted or cut.
    """

    def __init__(self, send: Callable[[str], None], budget: Budget, needles: Needles) -> None:
        self._send, self._budget, self._stream = send, budget, Stream(needles)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text: list[str] = []
        self._sent_at = 0.0
        self._head = messages.OUTPUT_HEAD
        self._tail = bytearray()
        self._cut = 0
        self._recent = bytearray()
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take what the step printed."""
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

    def last_lines(self, count: int) -> str:
        """The end of what was printed, for a sentence about the step."""
        text = bytes(self._recent).decode("utf-8", "replace").strip()
        return "\n".join(text.splitlines()[-count:])

    @property
    def due(self) -> float | None:
        """The moment (``time.monotonic``) at which text waits to be sent; None where none waits."""
        return self._sent_at + INTERVAL if self._text else None

    def tick(self) -> None:
        """Send what waits, if its moment has come."""
        due = self.due
        if due is not None and time.monotonic() >= due:
            self.flush()

    def close(self) -> None:
        """Send the rest; called once, after the last ``feed``."""
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
        """Send what waits."""
        text = redrawn("".join(self._text))
        self._text.clear()
        if text:
            self._send(text)
            self._sent_at = time.monotonic()
