"""Follow an answer while the model writes it: what may be shown, a few times a second, and how much."""

from __future__ import annotations

import time

from orchestrator.llm.base import Part
from protocol.redaction import Needles, Stream

#: Seconds between two events, and characters of one.
PAUSE, EVENT = 0.3, 20_000

LEFT_OUT = "\n[… more of the model's text is left out here: the job has shown all that it may …]\n"


class Writing:
    """One answer as it comes. Secrets are hidden before anything of it is seen."""

    def __init__(self, needles: Needles, left: int) -> None:
        self._needles, self._left = needles, left
        self._streams = {kind: Stream(needles) for kind in (False, True)}
        self._waiting: list[tuple[bool, str]] = []
        self._told = 0.0
        self.text = ""  # all that was written so far
        self.tokens = 0  # pieces that have come, which are about as many tokens

    @property
    def left(self) -> int:
        """Characters that the job may still show."""
        return self._left

    def hear(self, part: Part) -> None:
        """Take a piece. If the call is made again, that is said, and its text follows."""
        if part.restart:
            self._streams = {kind: Stream(self._needles) for kind in (False, True)}
            self._add(False, "\n[… the answer broke off and is asked for again …]\n")
            return
        self.tokens += 1
        self._add(part.reasoning, self._streams[part.reasoning].feed(part.text.encode()).decode("utf-8", "replace"))

    def end(self) -> None:
        """Nothing more comes."""
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
        """Return what is to be told now, as (reasoning, text) in order; nothing while it is too early."""
        now = time.monotonic() if now is None else now
        if not self._waiting or now - self._told < PAUSE:
            return []
        self._told = now
        return self.rest()

    def rest(self) -> list[tuple[bool, str]]:
        """All that waits to be told."""
        parts, self._waiting = self._waiting, []
        found = list[tuple[bool, str]]()
        for reasoning, text in parts:
            if found and found[-1][0] == reasoning and len(found[-1][1]) < EVENT:
                found[-1] = (reasoning, found[-1][1] + text)
            else:
                found.append((reasoning, text))
        return found
