"""Separates a model's answer from its reasoning while the text streams.

A server that does not know a model's chat template leaves the reasoning marks in the text: ``<think>…</think>`` and
similar, Mistral's ``[THINK]…[/THINK]``, and the channels of gpt-oss. Some templates open the reasoning in the prompt,
so only its end mark appears.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Opening marks of reasoning with their closing marks, in lower case.
PAIRS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<reasoning>": "</reasoning>",
    "[think]": "[/think]",
}

OPEN = re.compile("|".join(map(re.escape, PAIRS)), re.IGNORECASE)
CLOSE = re.compile("|".join(map(re.escape, PAIRS.values())), re.IGNORECASE)

#: Start and end of a gpt-oss message, see https://cookbook.openai.com/articles/openai-harmony.
CHANNEL = re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>(\w+)[^\n]{0,100}?<\|message\|>")
CHANNEL_ENDS = re.compile(r"<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)")

#: Maximum characters of the start of such a message.
CHANNEL_CHARACTERS = 200

#: Marks of which a piece may end with a part.
MARKS = (*PAIRS.values(), "<|start|>", "<|channel|>", "<|end|>", "<|return|>", "<|call|>")
LONGEST = max(map(len, MARKS)) - 1

BLANK = re.compile(r"\s*")

#: A line that opens or closes a fenced code block (CommonMark 0.31, 4.5).
FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`\n]*)\s*")

#: Characters of a line that are enough to recognise a fence.
HEAD = 200


@dataclass(frozen=True)
class Piece:
    """A piece of the text. ``restart`` says that the answer so far was reasoning."""

    text: str
    reasoning: bool
    restart: bool = False


class Sieve:
    """Takes a text piece by piece. ``answer`` and ``reasoning`` are exact after ``end``."""

    def __init__(self) -> None:
        self._answer: list[str] = []
        self._reasoning: list[str] = []
        self._before = ""  # text assumed to be the answer, up to the last end mark
        self._text, self._at = "", 0  # text not processed yet, because it may begin a mark
        self._mode = "start"
        self._close = CLOSE  # closing mark of the current reasoning
        self._channels = False
        self._begin_line()
        self._fence = ""  # fence of the open code block

    @property
    def answer(self) -> str:
        return "".join(self._answer)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    def take(self, text: str) -> list[Piece]:
        """Take a piece. Returns the text that is now certain, including text held back before."""
        self._text, self._at = self._text[self._at :] + text, 0
        return self._steps(final=False)

    def end(self) -> list[Piece]:
        """Take the text as complete."""
        pieces = self._steps(final=True)
        if self._before.strip() and not self.answer.strip():  # nothing follows the mark, so it did not end reasoning
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

    # Each step consumes text and returns whether another step can continue.

    def _start(self, pieces: list[Piece], final: bool) -> bool:
        """Handle the start of the text, or the end of reasoning. Returns whether reasoning follows."""
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
        """Find the end mark of reasoning in this part of a line, outside of code blocks and inline code."""
        if self._fence:
            return None
        for found in CLOSE.finditer(self._text, begin, end):
            if (self._ticks + self._text.count("`", begin, found.start())) % 2 == 0:
                return found
        return None

    def _begin_line(self) -> None:
        self._head, self._ticks = "", 0  # the start of the current line, and its backticks so far

    def _end_line(self) -> None:
        found = FENCE.fullmatch(self._head) if len(self._head) < HEAD else None
        if found and not self._fence:
            self._fence = found[1]
        elif found and found[1].startswith(self._fence) and not found[2].strip():
            self._fence = ""
        self._begin_line()

    def _supersede(self, pieces: list[Piece], mark: re.Match[str]) -> None:
        """Turn the answer so far into reasoning."""
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
    """Return whether more text may turn it into the start of reasoning."""
    low = text.lower()
    if low.startswith(("<|channel|>", "<|start|>assistant")):
        return len(low) < CHANNEL_CHARACTERS
    return any(mark.startswith(low) for mark in (*PAIRS, "<|channel|>", "<|start|>assistant"))


def _held(text: str) -> int:
    """Return the number of final characters that may begin a mark."""
    end = text[-LONGEST:].lower()
    for at, character in enumerate(end):
        if character in "<[" and any(mark.startswith(end[at:]) for mark in MARKS):
            return len(end) - at
    return 0
