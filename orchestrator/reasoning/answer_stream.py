"""Stream an answer to viewers while the model writes it, a few times a second and up to a limit."""

from __future__ import annotations

import time

from orchestrator.llm.base import Part
from protocol.redaction import Needles, Stream

#: Seconds between two events, and maximum characters of one event.
PAUSE, EVENT = 0.3, 20_000

LEFT_OUT = "\n[… more of the model's text is left out here: the job has shown all that it may …]\n"


class Writing:
    """An answer in progress. Secrets are hidden before any text leaves."""

    def __init__(self, needles: Needles, left: int) -> None:
        self._needles, self._left = needles, left
        self._streams = {kind: Stream(needles) for kind in (False, True)}
        self._waiting: list[tuple[bool, str]] = []
        self._told = 0.0
        self.text = ""  # all text so far
        self.tokens = 0  # pieces received, which are about as many tokens

    @property
    def left(self) -> int:
        """The number of characters that the job may still show."""
        return self._left

    def hear(self, part: Part) -> None:
        """Take a piece. If the call restarts, say so before the new text."""
        if part.restart:
            self._streams = {kind: Stream(self._needles) for kind in (False, True)}
            self._add(False, "\n[… the answer broke off and is asked for again …]\n")
            return
        self.tokens += 1
        self._add(part.reasoning, self._streams[part.reasoning].feed(part.text.encode()).decode("utf-8", "replace"))

    def end(self) -> None:
        """Mark the end of the answer."""
        for reasoning, stream in self._streams.items():
            self._add(reasoning, stream.close().decode("utf-8", "replace"))

    def _add(self, reasoning: bool, text: str) -> None:
        if not text or self._left <= 0:
            return
        shown = text if len(text) <= self._left else text[: self._left] + LEFT_OUT
        self._left -= len(text)
        if not reasoning:
            self.text += shown
        self._waiting.append((reasoning, shown))

    def due(self, now: float | None = None) -> list[tuple[bool, str]]:
        """Return the text to send now, as (reasoning, text) in order. Empty before the next send time."""
        now = time.monotonic() if now is None else now
        if not self._waiting or now - self._told < PAUSE:
            return []
        self._told = now
        return self.rest()

    def rest(self) -> list[tuple[bool, str]]:
        """Return all text that was not sent."""
        parts, self._waiting = self._waiting, []
        found = list[tuple[bool, str]]()
        for reasoning, text in parts:
            if found and found[-1][0] == reasoning and len(found[-1][1]) < EVENT:
                found[-1] = (reasoning, found[-1][1] + text)
            else:
                found.append((reasoning, text))
        return found
