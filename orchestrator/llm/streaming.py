"""Receives one call's output as it streams: the answer, the reasoning, and repetition."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.llm import repetition
from orchestrator.llm.thoughts import PLAN, Sieve, deliberates

#: Halves of a character in UTF-16. Some servers cut a character between two pieces.
_FIRST, _SURROGATE = re.compile("[\ud800-\udbff]\\Z"), re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Part:
    """A piece of a streaming answer.

    ``reasoning`` marks the model's separate reasoning. ``restart`` discards everything before; the text begins again
    here.
    """

    text: str
    reasoning: bool
    restart: bool = False


OnPart = Callable[[Part], None]


class Repeats(Exception):
    """The model repeats itself. Reading stops."""


class Writing:
    """Takes the pieces of one call. ``text`` and ``reasoning`` are exact after ``end``."""

    def __init__(self, on_part: OnPart | None = None) -> None:
        self._on_part = on_part
        self._sieve = Sieve()
        self._thoughts: list[str] = []  # separated by the server
        self._tail = ""  # the end of the latest text, answer or reasoning
        self._in_thoughts = False
        self._unseen = 0
        self.pieces = 0  # usually one token each
        self.shown = False  # whether a callback got a piece
        self._loop = 0
        self._half = {False: "", True: ""}  # the first half of a character, of the answer and of the reasoning

    @property
    def text(self) -> str:
        answer = self._sieve.answer
        return repetition.once(answer, self._loop) if self._loop and not self._in_thoughts else answer

    @property
    def reasoning(self) -> str:
        return "".join(self._thoughts) + self._sieve.reasoning

    def answer(self, text: str) -> None:
        """Take a piece of the answer. Raises Repeats."""
        if text := self._whole(text, False):
            for piece in self._sieve.take(text):
                self._emit(Part(piece.text, piece.reasoning, piece.restart))
            self._look(text, False)

    def thought(self, text: str) -> None:
        """Take a piece of the server's separate reasoning. Raises Repeats."""
        if text := self._whole(text, True):
            self._thoughts.append(text)
            self._emit(Part(text, True))
            self._look(text, True)

    def end(self, cut: bool) -> bool:
        """End the call. Returns whether the text was ``cut`` while it repeated itself."""
        for piece in self._sieve.end():
            self._emit(Part(piece.text, piece.reasoning, piece.restart))
        if cut and not self._loop:
            self._loop = repetition.period(self._tail)
        return self._loop > 0

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Calls of tools that the text contains: the tool and its arguments."""
        return self._sieve.calls

    def hidden_answer(self, again: bool) -> str:
        """Return the answer that a server took for reasoning, or an empty text.

        It stands behind an end mark. Or the model has given a plan without deliberating, and does so ``again``.
        """
        whole, sieve = "".join(self._thoughts), Sieve()
        sieve.take(whole)
        sieve.end()
        if sieve.answer.strip() and sieve.reasoning.strip():
            return sieve.answer
        return whole if again and PLAN.search(whole) and not deliberates(whole) else ""

    def _whole(self, text: str, reasoning: bool) -> str:
        """Join characters whose halves come in two pieces. A half alone becomes U+FFFD, as no encoding knows it."""
        text, self._half[reasoning] = self._half[reasoning] + text, ""
        if not text or text.isascii() or not _SURROGATE.search(text):
            return text
        if found := _FIRST.search(text):
            self._half[reasoning], text = found[0], text[:-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _emit(self, part: Part) -> None:
        if self._on_part:
            self.shown = True
            self._on_part(part)

    def _look(self, text: str, in_thoughts: bool) -> None:
        if in_thoughts != self._in_thoughts:
            self._tail, self._in_thoughts = "", in_thoughts
        self._tail = (self._tail + text)[-repetition.LOOKED_AT :]
        self._unseen += len(text)
        self.pieces += 1
        if self._unseen >= repetition.STRIDE and not self._loop:
            self._unseen = 0
            if found := repetition.period(self._tail):
                self._loop = found
                raise Repeats
