"""Separates a model's answer from its reasoning while the text streams.

A server that does not know a model's chat template leaves the reasoning marks in the text: ``<think>…</think>`` and its
relatives, Mistral's ``[THINK]``, Kimi's ``◁think▷``, the channels of gpt-oss, and more (see ``OPEN``). Some templates
open the reasoning in the prompt, so only its end mark appears. Marks in a code block, in inline code and in a string of
a JSON answer are ordinary text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = (
    r"(?:\w+:)?(?:(?:ant|ant-|longcat_)?think(?:ing)?|thoughts?|thought_process|reason(?:ing)?|reflection|analysis|"
    r"scratchpad|(?:inner_|internal_)?monologue|deliberation|rationale|chain_of_thought|cot)"
)
_WORD = r"(?:THINK(?:ING)?|REASONING|THOUGHTS?)"

#: Opening and closing marks of reasoning. Any closing mark ends it, because models mix them up.
OPEN = re.compile(
    rf"<{_NAME}(?:\s[^<>\n]{{0,150}})?>|&lt;{_NAME}&gt;|\[{_WORD}\]|◁think▷|<unused94>(?:thought\n)?"
    r"|<\|(?:think(?:ing)?|(?:begin_of|start)_(?:thought|think(?:ing)?)|(?:thought|think(?:ing)?)_start|inner_prefix)\|>"
    r"|<\|channel>thought\n?|<details type=\"reasoning\"[^<>\n]{0,150}>",
    re.IGNORECASE,
)
CLOSE = re.compile(
    rf"</{_NAME}\s*>|&lt;/{_NAME}&gt;|\[/{_WORD}\]|◁/think▷|<unused95>|<channel\|>"
    r"|<\|(?:/think(?:ing)?|end_(?:of_)?(?:thought|think(?:ing)?)|(?:thought|think(?:ing)?)_end|inner_suffix)\|>",
    re.IGNORECASE,
)
CLOSE_DETAILS = re.compile(rf"</details>|{CLOSE.pattern}", re.IGNORECASE)

#: A mark that opens the answer. The text before it is reasoning.
ANSWER = re.compile(
    r"<(?:final_)?(?:answer|response|solution)>|<\|(?:begin_of_(?:solution|box)|start_response)\|>", re.IGNORECASE
)

#: Marks that are left out: the end of the answer, of the text, and the beginning of the model's turn.
DROPPED = re.compile(
    r"</(?:final_)?(?:answer|response|solution)>|<\|(?:end_of_(?:solution|box)|end_response)\|>|</s>", re.IGNORECASE
)
TURN = re.compile(r"<\|im_start\|>assistant\s|<\|assistant\|>|<\|start\|>assistant(?=<\|message\|>)|<\|message\|>")

#: End of the model's turn. Text after it is the model's guess at the next turn.
OVER = re.compile(
    r"<\|(?:im_end|im_start|eot_id|eom_id|end_of_text|endoftext|end_of_turn|end_of_turn_token|start_header_id|user|end"
    r"|return|call)\|>|</?(?:end|start)_of_turn>|<｜(?:end▁of▁sentence|User)｜>",
    re.IGNORECASE,
)

#: Start and end of a gpt-oss message, see https://cookbook.openai.com/articles/openai-harmony.
CHANNEL = re.compile(
    r"(?:(?:<\|start\|>assistant)?<\|channel\|>|(?=(?:analysis|commentary|final)<\|message\|>))"
    r"(\w+)([^\n]{0,100}?)<\|message\|>"
)
CHANNEL_ENDS = re.compile(r"<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)")
FINAL = re.compile(r"(?=(?:<\|start\|>assistant)?<\|channel\|>final\b[^\n]{0,100}?<\|message\|>)")

#: The same channels after a server has removed the special tokens, and the two sentences of Granite 3.2.
WORDS = (
    (re.compile(r"analysis(?=[A-Z])"), re.compile(r"assistantfinal")),
    (re.compile(r"Here(?:'s| is) my thought process:"), re.compile(r"Here(?:'s| is) my response:")),
)
WORDS_BEGIN = (
    "analysis ", "Here is my thought process:", "Here's my thought process:", "analysis<|message|>",
    "commentary<|message|>", "final<|message|>",
)  # fmt: skip
WORDS_END = 20  # characters of the end of such words

#: All marks that matter within an answer.
MARK = re.compile(
    "|".join(
        f"(?P<{name}>{mark.pattern})"
        for name, mark in (
            ("close", CLOSE), ("open", OPEN), ("answer", ANSWER), ("drop", DROPPED), ("final", FINAL), ("over", OVER),
        )
    ),
    re.IGNORECASE,
)  # fmt: skip

#: Maximum characters of a mark, and of the words that may begin one.
LONGEST = 200

#: The end of a text that may be the beginning of a mark. A backslash may escape the next quote.
PARTIAL = re.compile(
    r"(?:(?:<\|(?:start|channel|constrain|im_start)\|>[^<\n]{0,99}){1,3}|<\|channel>\w{0,7})?(?:<[^<>\n]{0,199})?\Z"
    r"|(?:&[lt;/\w&]{0,30}|\[/?\w{0,10}|◁[^▷\n]{0,8}|\\)\Z"
)

BLANK = re.compile(r"\s*")

#: A line that opens or closes a fenced code block (CommonMark 0.31, 4.5).
FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`\n]*)\s*")

#: Characters of a line that are enough to recognise a fence.
HEAD = 200

#: The beginning of work for the system: a fenced block, or JSON.
PLAN = re.compile(r"^[ \t]*(?:`{3}|~{3}|\{)", re.MULTILINE)

#: Words by which a model talks to itself.
DELIBERATES = re.compile(
    r"\b(?:hm+|wait|alternatively|the user|we need|i need to|i should|maybe|perhaps|actually|okay|draft)\b",
    re.IGNORECASE,
)


def deliberates(text: str) -> bool:
    """Tell whether the prose of a text is a model's talk to itself."""
    prose = "".join(text.split("```")[::2])
    return DELIBERATES.search(prose) is not None


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
        self._parts: list[str] = []  # the answer's parts before reasoning in its middle
        self._opened: tuple[int, str] | None = None  # reasoning opened in the middle of a line, which may be none
        self._text, self._at = "", 0  # text not processed yet, because it may begin a mark
        self._mode = "start"
        self._close = CLOSE  # closing mark of the current reasoning
        self._channels = False
        self._worded = False  # whether words instead of marks end the current reasoning
        self._recipient = ""  # the tool that the current gpt-oss message calls
        self.calls: list[tuple[str, str]] = []  # calls of tools in gpt-oss messages: the tool and its arguments
        self._begin_segment()

    @property
    def answer(self) -> str:
        return "".join(self._parts) + "".join(self._answer)

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
        if self._opened and self._mode == "thought":  # never closed, so it was a word of the answer
            at, mark = self._opened
            self._reasoning, rest = self._reasoning[:at], "".join(self._reasoning[at:])
            self._answer.append(mark + rest)
            pieces.append(Piece(self.answer, False, restart=True))
        last = "".join(self._answer)
        plans = [at for at, part in enumerate([*self._parts, last]) if PLAN.search(part)]
        if len(plans) > 1:  # the last plan counts
            drafts, self._parts = self._parts[: plans[-1]], self._parts[plans[-1] :]
            self._reasoning += drafts
            pieces += [Piece("", False, restart=True), Piece("".join(drafts), True), Piece(self.answer, False)]
        if self._before.strip() and not self.answer.strip() and not deliberates(self._before):
            # nothing follows the mark, so it did not end reasoning
            before, _, after = self.reasoning.rpartition(self._before)
            self._parts, self._answer, self._reasoning = [], [self._before], [before, after]
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
            self._begin_thought(found.end(), CLOSE_DETAILS if "details" in found[0] else CLOSE)
        elif found := CHANNEL.match(self._text, self._at):
            self._begin_channel(pieces, found)
        elif not self._channels and (found := ANSWER.match(self._text, self._at) or TURN.match(self._text, self._at)):
            self._at = found.end()
        elif worded := next((close for begin, close in WORDS if begin.match(self._text, self._at)), None):
            self._begin_thought(self._at, worded)
            self._worded = True
        elif final or not _may_begin(self._text[self._at : self._at + LONGEST]):
            self._mode = "answer"
            self._begin_segment()
        else:
            return False
        return True

    def _begin_thought(self, at: int, close: re.Pattern[str]) -> None:
        self._mode, self._at, self._close = "thought", at, close
        self._recipient, self._worded = "", False

    def _begin_channel(self, pieces: list[Piece], found: re.Match[str]) -> None:
        if found[1] == "final":
            if not self._channels and self.answer:
                self._supersede(pieces, self._at)
            self._mode, self._at = "answer", found.end()
            self._begin_segment()
        else:
            self._begin_thought(found.end(), CHANNEL_ENDS)
            self._recipient = (re.search(r"to=([\w.]+)", found[2]) or [""])[0].removeprefix("to=")
            if self._recipient:
                self.calls.append((self._recipient, ""))
        self._channels = True

    def _thought(self, pieces: list[Piece], final: bool) -> bool:
        found = self._close.search(self._text, self._at)
        held = max(_held(self._text), WORDS_END if self._worded else 0)
        end = found.start() if found else len(self._text) - (0 if final else held)
        if self._recipient:
            name, before = self.calls.pop()
            self.calls.append((name, before + self._text[self._at : max(end, self._at)]))
        self._emit(pieces, end, True)
        if found:
            self._mode, self._at, self._opened = "start", found.end(), None
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
                return self._at_mark(pieces, line, mark)
            self._count(line, newline)
            self._end_line()
            line = newline + 1
        if mark := self._mark(line, len(self._text)):
            return self._at_mark(pieces, line, mark)
        end = max(line, len(self._text) - (0 if final else _held(self._text)))
        self._count(line, end)
        self._emit(pieces, end, False)
        return False

    def _mark(self, begin: int, end: int) -> re.Match[str] | None:
        """Find a mark in this part of a line, outside of code blocks, inline code and strings of JSON."""
        ticks, quotes, at = self._ticks, self._quotes, begin
        for found in MARK.finditer(self._text, begin, end):
            ticks += self._text.count("`", at, found.start())
            quotes += self._quotes_in(at, found.start())
            at = found.start()
            if self._fence:
                head = (self._head + self._text[begin:at])[:HEAD]
                closing = FENCE.fullmatch(head)
                if found["over"] and closing and closing[1].startswith(self._fence) and not closing[2].strip():
                    return found
            elif ticks % 2 == 0 and quotes % 2 == 0 and (not found["answer"] or self._begins(begin, at)):
                return found
        return None

    def _begins(self, begin: int, at: int) -> bool:
        """Tell whether nothing stands before this place in its line."""
        return not (self._head + self._text[begin:at]).strip()

    def _at_mark(self, pieces: list[Piece], line: int, mark: re.Match[str]) -> bool:
        if mark["close"] or mark["answer"] or mark["final"] is not None:
            self._supersede(pieces, mark.start())
            self._mode, self._at = "start", mark.end()
            return True
        begins = self._begins(line, mark.start())
        self._count(line, mark.start())
        self._emit(pieces, mark.start(), False)
        if mark["drop"]:
            self._at = mark.end()
        elif mark["open"]:
            self._parts.append("".join(self._answer))
            self._answer = []
            self._opened = None if begins else (len(self._reasoning), mark[0])
            self._begin_thought(mark.end(), CLOSE_DETAILS if "details" in mark[0] else CLOSE)
        else:  # the turn is over
            self._begin_thought(mark.end(), FINAL)
        return True

    # The state of the current part of the answer: its open code block, and what its line has had so far.

    def _begin_segment(self) -> None:
        self._fence = ""  # fence of the open code block
        self._json = self._text[self._at : self._at + 1] in ("{", "[")
        self._quotes = 0  # quotes so far, in an answer in JSON
        self._begin_line()

    def _begin_line(self) -> None:
        self._head, self._ticks = "", 0  # the start of the current line, and its backticks so far

    def _end_line(self) -> None:
        found = FENCE.fullmatch(self._head) if len(self._head) < HEAD else None
        if found and not self._fence:
            self._fence = found[1]
        elif found and found[1].startswith(self._fence) and not found[2].strip():
            self._fence = ""
        self._begin_line()

    def _count(self, begin: int, end: int) -> None:
        self._head += self._text[begin : min(end, begin + HEAD - len(self._head))]
        self._ticks += self._text.count("`", begin, end)
        self._quotes += self._quotes_in(begin, end)

    def _quotes_in(self, begin: int, end: int) -> int:
        return self._text.count('"', begin, end) - self._text.count('\\"', begin, end) if self._json else 0

    def _supersede(self, pieces: list[Piece], end: int) -> None:
        """Turn the answer so far into reasoning."""
        pieces.append(Piece("", False, restart=True))
        self._before = self.answer + self._text[self._at : end]
        self._parts, self._answer = [], []
        self._reasoning.append(self._before)
        pieces.append(Piece(self._before, True))

    def _emit(self, pieces: list[Piece], end: int, reasoning: bool) -> None:
        if text := self._text[self._at : end]:
            (self._reasoning if reasoning else self._answer).append(text)
            pieces.append(Piece(text, reasoning))
        self._at = max(end, self._at)


def _may_begin(text: str) -> bool:
    """Return whether more text may turn it into the start of reasoning."""
    return PARTIAL.match(text) is not None or any(words.startswith(text) for words in WORDS_BEGIN)


def _held(text: str) -> int:
    """Return the number of final characters that may begin a mark."""
    found = PARTIAL.search(text, max(0, len(text) - LONGEST))
    return len(text) - found.start() if found else 0
