"""The port to models: one verb. Each kind says how a question is sent; all that is the same for all is here."""

from __future__ import annotations

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from orchestrator.errors import ModelAway, ModelCut, ModelEmpty, ModelError, Usage
from orchestrator.llm.error_texts import explained, redacted
from orchestrator.llm.retries import Failure, OnWait, persist
from orchestrator.llm.setup import Setup
from orchestrator.llm.streaming import OnPart, Part, Repeats, Writing

__all__ = ["Answer", "Message", "Model", "Part", "Picture", "Question"]

log = logging.getLogger(__name__)

#: Called with True when a question has to wait for its turn, and with False when its turn has come.
OnQueue = Callable[[bool], None]

#: Statuses with which a server refuses a part of a request.
REFUSES = (400, 404, 405, 415, 422, 501)

#: Parts of a request that a server may refuse, each with what its words name then. The question is asked again
#: without that part, and so are all that follow. The first that fits counts.
OPTIONAL: dict[str, tuple[tuple[int, ...], re.Pattern[str]]] = {
    name: (statuses, re.compile(words, re.IGNORECASE))
    for name, statuses, words in (
        ("stream_options", REFUSES, r"stream_options|include_usage"),
        ("stream", REFUSES, r"\bstream(ing|ed|GenerateContent)?\b"),
        ("temperature", REFUSES, r"temperature"),
        ("max_tokens", REFUSES, r"max_tokens|in the completion"),
        ("max_completion_tokens", REFUSES, r"max_completion_tokens|in the completion"),
        ("cache_control", REFUSES, r"cache_control"),
        ("store", REFUSES, r"\bstore\b"),
        (
            "pictures",
            (*REFUSES, 500),
            r"image|vision|multi-?modal|content.?(type|part)|mmproj|valid string|must be a string",
        ),
    )
}

#: Words of a refusal that is about this question alone: the next one may have more room.
TOO_LARGE = re.compile(r"too (large|long|many|high)|exceed|context|at most|maximum|less than", re.IGNORECASE)

#: Tokens that count for a picture where the server does not say.
PICTURE_TOKENS = 1_000


@dataclass(frozen=True)
class Picture:
    """A picture that goes with a message. ``name`` is told to the model as its caption."""

    media_type: Literal["image/png", "image/jpeg"]
    data: bytes = field(repr=False)
    name: str


@dataclass(frozen=True)
class Message:
    """One part of a conversation. ``system`` may only come first."""

    role: Literal["system", "user", "assistant"]
    text: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Question:
    """What is asked.

    ``max_tokens`` bounds what the model may write and think; ``temperature`` is how much chance there is in it. None
    means: as LLM_MAX_TOKENS and LLM_TEMPERATURE say.
    """

    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class Answer:
    """``text`` is without the model's ``reasoning``. ``model`` is as the server names it.

    ``finish``: the model came to its end; it was cut at the length limit; or it was stopped because it repeated
    itself, and ``text`` has that once. ``usage`` is that of all calls that led to it.
    """

    text: str
    reasoning: str
    model: str
    finish: Literal["done", "cut", "loop"]
    usage: Usage


@dataclass(frozen=True)
class Heard:
    """How the last question went: when, and what went wrong; an empty sentence: nothing did."""

    at: datetime
    wrong: str


@dataclass(frozen=True)
class Request:
    """One call. ``without``: the names in OPTIONAL that the server refuses."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float | None
    without: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reply:
    """How one call ended. None for tokens: the server did not say."""

    model: str = ""
    cut: bool = False
    tokens_in: int | None = None
    tokens_out: int | None = None
    #: What is wrong with it where it is no answer at all, such as a refusal.
    error: ModelError | None = None


class Model(ABC):
    """Answers prompts.

    ``own``: it answers on this machine or in a private network. Such a model is mostly a small one.
    """

    name: str
    own: bool

    @abstractmethod
    async def ask(
        self,
        question: Question,
        on_wait: OnWait | None = None,
        on_part: OnPart | None = None,
        on_queue: OnQueue | None = None,
    ) -> Answer:
        """Answer a question, in MODEL_SECONDS with all tries and waits; raises ModelError with what it has cost.

        ``on_wait`` hears the seconds of each wait, and why; ``on_part`` each piece of the answer as it arrives;
        ``on_queue`` whether the question waits for its turn. Cancelling closes the connection at once.
        """


class Provider(Model):
    """A model at the server of a provider."""

    #: The word for LLM_PROVIDER.
    provider: ClassVar[str]

    def __init__(self, setup: Setup, turns: asyncio.Semaphore | None = None) -> None:
        self.setup, self.name, self.own = setup, setup.name, setup.own
        self.last: Heard | None = None
        self._turns = turns or asyncio.Semaphore(setup.concurrency)
        self._without: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r} at {self.setup.host!r})"

    async def ask(
        self,
        question: Question,
        on_wait: OnWait | None = None,
        on_part: OnPart | None = None,
        on_queue: OnQueue | None = None,
    ) -> Answer:
        waits = self._turns.locked()
        if waits and on_queue:
            on_queue(True)
        async with self._turns:
            if waits and on_queue:
                on_queue(False)
            return await self._in_turn(question, on_wait, on_part)

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""

    @abstractmethod
    async def _send(self, request: Request, writing: Writing) -> Reply:
        """Make one call; raises Failure where there is no answer, and Repeats, both with the connection closed."""

    @abstractmethod
    def _optional(self, request: Request) -> Iterable[str]:
        """The names in OPTIONAL of what a request has."""

    # ── one question ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _in_turn(self, question: Question, on_wait: OnWait | None, on_part: OnPart | None) -> Answer:
        wrong: ModelError
        asking = _Asking(on_part)
        told = on_wait and (lambda seconds, why: on_wait(seconds, redacted(why, self.setup.secrets)))
        try:
            async with asyncio.timeout(self.setup.seconds) as limit:
                answer = await self._answer(question, asking, told, limit.when() or 0)
            self.last = Heard(datetime.now(UTC), "")
            return answer
        except TimeoutError:
            wrong = ModelAway(
                f"The model {self.name} at {self.setup.host} has not answered within {self.setup.seconds:g} s. "
                "If it is only slow, set a larger MODEL_SECONDS."
            )
        except Failure as failure:
            wrong = explained(failure, self.setup)
        except ModelError as error:
            wrong = type(error)(redacted(str(error), self.setup.secrets))
        # raised here, so that no exception of an SDK, with its request and its headers, hangs on it
        wrong.usage, wrong.partial = asking.usage, asking.writing.text
        self.last = Heard(datetime.now(UTC), str(wrong))
        log.info("no answer of the model: %s", wrong)
        raise wrong

    async def _answer(self, question: Question, asking: _Asking, on_wait: OnWait | None, end: float) -> Answer:
        request = Request(
            question.messages,
            self.setup.max_tokens if question.max_tokens is None else question.max_tokens,
            self.setup.temperature if question.temperature is None else question.temperature,
        )
        reply = await persist(lambda: self._sent(request, asking), self.setup.pace, end, on_wait)
        writing = asking.writing
        loops = writing.end(reply.cut)
        text, thoughts = writing.text, writing.reasoning
        asking.used(reply, request)
        if reply.error:
            raise reply.error
        if not text.strip():
            raise self._nothing(reply, loops)
        finish: Literal["done", "cut", "loop"] = "loop" if loops else "cut" if reply.cut else "done"
        return Answer(text, thoughts, reply.model or self.name, finish, asking.usage)

    async def _sent(self, request: Request, asking: _Asking) -> Reply:
        """One call that got an answer, with all that the server takes."""
        request = replace(request, without=self._without)
        while True:
            try:
                return await self._send(request, asking.fresh())
            except Repeats:
                return Reply(cut=True)
            except BaseException as error:
                asking.broken_off(request)
                name = self._refused(request, error) if isinstance(error, Failure) else None
                if name is None:
                    raise
                said = redacted(str(error), self.setup.secrets)
                log.info("%s does not take %s and is asked without it: %s", self, name, said)
                request = replace(request, without=request.without | {name})
                if not TOO_LARGE.search(str(error)):
                    self._without |= {name}

    def _refused(self, request: Request, failure: Failure) -> str | None:
        """The part of the request that the server does not take."""
        said = f"{failure.words} {failure.error.get('param') or ''}"
        for name in self._optional(request):
            statuses, words = OPTIONAL[name]
            if failure.status in statuses and words.search(said):
                return name
        return None

    def _nothing(self, reply: Reply, loops: bool) -> ModelError:
        if loops:
            return ModelCut(f"The model {self.name} repeats itself in its thoughts, and came to no answer.")
        if reply.cut:
            return ModelCut(
                f"The model {self.name} reached its length limit before its answer began. "
                "If it thinks for long, set a larger LLM_MAX_TOKENS."
            )
        return ModelEmpty(f"The model {self.name} gave an empty answer.")


class _Asking:
    """What a question has led to so far."""

    def __init__(self, on_part: OnPart | None) -> None:
        self._on_part = on_part
        self.usage = Usage()
        self.writing = Writing()

    def fresh(self) -> Writing:
        """Begin a call; what was shown of the one before counts no more."""
        if self.writing.shown and self._on_part:
            self._on_part(Part("", False, restart=True))
        self.writing = Writing(self._on_part)
        return self.writing

    def used(self, reply: Reply, request: Request) -> None:
        """Count a call; where the server did not say, a piece or four characters count as a token."""
        asked = sum(len(one.text) // 4 + 4 + PICTURE_TOKENS * len(one.pictures) for one in request.messages)
        wrote = max(self.writing.pieces, (len(self.writing.text) + len(self.writing.reasoning)) // 4 + 1)
        self.usage += Usage(
            1,
            asked if reply.tokens_in is None else reply.tokens_in,
            wrote if reply.tokens_out is None else reply.tokens_out,
            reply.tokens_in is None or reply.tokens_out is None,
        )

    def broken_off(self, request: Request) -> None:
        """Count a call that ended in the middle of its answer."""
        if self.writing.text or self.writing.reasoning:
            self.used(Reply(), request)


def once(make: Callable[[], Any]) -> Callable[[], Any]:
    """A function that makes a thing in a thread when it is first awaited, and gives the same one to all."""
    made: list[asyncio.Future[Any]] = []

    def get() -> asyncio.Future[Any]:
        if not made or (made[0].done() and made[0].exception()):
            made[:] = [asyncio.ensure_future(asyncio.to_thread(make))]
        return asyncio.shield(made[0])  # one who is cancelled does not take it from the others

    return get


def left_out(message: Message) -> str:
    """The text of a message whose pictures the server does not take."""
    names = "".join(
        f"\n[picture {picture.name}: left out, this server takes no pictures]" for picture in message.pictures
    )
    return message.text + names
