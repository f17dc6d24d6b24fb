"""Separates a model's answer from its thoughts, while the text arrives in pieces.

Servers that do not know a model's chat template leave the marks of its thoughts in the text: ``<think>…</think>`` and
its kin, Mistral's ``[THINK]…[/THINK]``, and the channels of gpt-oss. Some templates open the thought in the prompt, so
only its end appears.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Marks that open a thought, each with the mark that ends it; in lower case.
PAIRS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<reasoning>": "</reasoning>",
    "[think]": "[/think]",
}

OPEN = re.compile("|".join(map(re.escape, PAIRS)), re.IGNORECASE)
CLOSE = re.compile("|".join(map(re.escape, PAIRS.values())), re.IGNORECASE)

#: How a message of gpt-oss begins and ends, see https://cookbook.openai.com/articles/openai-harmony.
CHANNEL = re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>(\w+)[^\n]{0,100}?<\|message\|>")
CHANNEL_ENDS = re.compile(r"<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)")

#: Characters that the beginning of such a message may have.
CHANNEL_CHARACTERS = 200

#: What a piece of text may end with a part of.
MARKS = (*PAIRS.values(), "<|start|>", "<|channel|>", "<|end|>", "<|return|>", "<|call|>")
LONGEST = max(map(len, MARKS)) - 1

BLANK = re.compile(r"\s*")

#: A line that opens or closes a fenced code block, see CommonMark 0.31, 4.5.
FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`\n]*)\s*")

#: Characters of a line that say whether it is such a line.
HEAD = 200


@dataclass(frozen=True)
class Piece:
    """A piece of the text. ``restart``: what was taken for the answer so far is part of the thoughts."""

    text: str
    reasoning: bool
    restart: bool = False


class Sieve:
    """Takes a text piece by piece; ``answer`` and ``reasoning`` are exact after ``end``."""

    def __init__(self) -> None:
        self._answer: list[str] = []
        self._reasoning: list[str] = []
        self._before = ""  # what was taken for the answer until the last end of a thought
        self._text, self._at = "", 0  # from here on nothing is taken yet: it may be the beginning of a mark
        self._mode = "start"
        self._close = CLOSE  # what ends the present thought
        self._channels = False
        self._begin_line()
        self._fence = ""  # the fence of the code block that is open

    @property
    def answer(self) -> str:
        return "".join(self._answer)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    def take(self, text: str) -> list[Piece]:
        """Take a piece; returns what is known of it, and of what was held back."""
        self._text, self._at = self._text[self._at :] + text, 0
        return self._steps(final=False)

    def end(self) -> list[Piece]:
        """Take the text as complete."""
        pieces = self._steps(final=True)
        if self._before.strip() and not self.answer.strip():  # nothing follows the mark, so it ended no thought
            before, _, after = self.reasoning.rpartition(self._before)
            self._answer, self._reasoning = [self._before], [before, after]
            pieces.append(Piece(self._before, False, restart=True))
        return pieces

    def _steps(self, final: bool) -> list[Piece]:
        pieces: list[Piece] = []
        steps = {"start": self._start, "thought": self._thought, "answer": self._in_answer}
        while steps[self._mode](pieces, final):
            pass
        return pieces

    # Each step takes some of the text; it returns whether another one can take more.

    def _start(self, pieces: list[Piece], final: bool) -> bool:
        """At the beginning, or after a thought: whether a thought follows."""
        self._at = BLANK.match(self._text, self._at).end()  # type: ignore[union-attr]
        if self._at == len(self._text):
            return False
        if found := OPEN.match(self._text, self._at):
            self._close = re.compile(re.escape(PAIRS[found[0].lower()]), re.IGNORECASE)
            self._mode, self._at = "thought", found.end()
        elif found := CHANNEL.match(self._text, self._at):
            self._channels, self._close = True, CHANNEL_ENDS
            self._mode, self._at = "answer" if found[1] == "final" else "thought", found.end()
        elif final or not _may_begin(self._text[self._at : self._at + CHANNEL_CHARACTERS]):
            self._mode, self._fence = "answer", ""
            self._begin_line()
        else:
            return False
        return True

    def _thought(self, pieces: list[Piece], final: bool) -> bool:
        found = self._close.search(self._text, self._at)
        end = found.start() if found else len(self._text) - (0 if final else _held(self._text))
        self._emit(pieces, end, True)
        if found:
            self._mode, self._at = "start", found.end()
        return found is not None

    def _in_answer(self, pieces: list[Piece], final: bool) -> bool:
        if self._channels:
            found = CHANNEL_ENDS.search(self._text, self._at)
            self._emit(pieces, found.start() if found else len(self._text) - (0 if final else _held(self._text)), False)
            if found:
                self._mode, self._at = "start", found.end()
            return found is not None
        line = self._at
        while (newline := self._text.find("\n", line)) >= 0:
            if mark := self._mark(line, newline):
                self._supersede(pieces, mark)
                return True
            self._head += self._text[line : min(newline, line + HEAD)]
            self._end_line()
            line = newline + 1
        if mark := self._mark(line, len(self._text)):
            self._supersede(pieces, mark)
            return True
        end = max(line, len(self._text) - (0 if final else _held(self._text)))
        self._head += self._text[line : min(end, line + HEAD - len(self._head))]
        self._ticks += self._text.count("`", line, end)
        self._emit(pieces, end, False)
        return False

    def _mark(self, begin: int, end: int) -> re.Match[str] | None:
        """The end of a thought in this part of a line; none in a code block or in inline code."""
        if self._fence:
            return None
        for found in CLOSE.finditer(self._text, begin, end):
            if (self._ticks + self._text.count("`", begin, found.start())) % 2 == 0:
                return found
        return None

    def _begin_line(self) -> None:
        self._head, self._ticks = "", 0  # the beginning of the present line, and its backticks so far

    def _end_line(self) -> None:
        found = FENCE.fullmatch(self._head) if len(self._head) < HEAD else None
        if found and not self._fence:
            self._fence = found[1]
        elif found and found[1].startswith(self._fence) and not found[2].strip():
            self._fence = ""
        self._begin_line()

    def _supersede(self, pieces: list[Piece], mark: re.Match[str]) -> None:
        """What was taken for the answer was a thought."""
        pieces.append(Piece("", False, restart=True))
        self._before = self.answer + self._text[self._at : mark.start()]
        self._answer = []
        self._reasoning.append(self._before)
        pieces.append(Piece(self._before, True))
        self._mode, self._at = "start", mark.end()

    def _emit(self, pieces: list[Piece], end: int, reasoning: bool) -> None:
        if text := self._text[self._at : end]:
            (self._reasoning if reasoning else self._answer).append(text)
            pieces.append(Piece(text, reasoning))
        self._at = end


def _may_begin(text: str) -> bool:
    """Whether more of the text may make it the beginning of a thought."""
    low = text.lower()
    if low.startswith(("<|channel|>", "<|start|>assistant")):
        return len(low) < CHANNEL_CHARACTERS
    return any(mark.startswith(low) for mark in (*PAIRS, "<|channel|>", "<|start|>assistant"))


def _held(text: str) -> int:
    """Characters at the end of a text that may be the beginning of a mark."""
    end = text[-LONGEST:].lower()
    for at, character in enumerate(end):
        if character in "<[" and any(mark.startswith(end[at:]) for mark in MARKS):
            return len(end) - at
    return 0
