"""The port to models, with one verb. Kinds only send requests; everything common is here."""

from __future__ import annotations

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar, Literal

from orchestrator.errors import ModelAway, ModelBroken, ModelCut, ModelEmpty, ModelError, Usage
from orchestrator.llm import tool_calls
from orchestrator.llm.error_texts import explained, redacted
from orchestrator.llm.retries import Failure, OnWait, persist
from orchestrator.llm.setup import Setup
from orchestrator.llm.streaming import OnPart, Part, Repeats, Writing

__all__ = ["Answer", "Message", "Model", "Part", "Picture", "Question"]

log = logging.getLogger(__name__)

#: Called with True when a call must wait for other calls, and with False when it starts.
OnQueue = Callable[[bool], None]

#: Statuses with which a server rejects part of a request.
REFUSES = (400, 404, 405, 415, 422, 501)

#: Words of a rejection in a failure of the server, and words that reject streaming in one.
UNSUPPORTED = re.compile(
    r"not? (yet )?(be )?(support|allow|permit|implement|recogni[sz]|availab|enabled|known|valid|accept)|n.t support"
    r"|unsupported|unknown|unrecogni[sz]ed|unexpected|invalid|extra |only |deprecated|must be|raise_exception|template",
    re.IGNORECASE,
)
NO_STREAM = re.compile(
    r"stream(ing|ed)?\W{0,3}( \w+){0,2} (not|un)|(no|not|un|n.t)\W?(support|allow|implement)\w*( \w+)?\W{0,3}stream"
    r"|stream\W{0,3}(=|true)|['\"`]stream['\"`]",
    re.IGNORECASE,
)

#: Optional parts of a request, each with the words by which a server rejects it. The first match counts. The call is
#: repeated without that part, and later calls omit it too.
OPTIONAL: dict[str, tuple[tuple[int, ...], re.Pattern[str]]] = {
    name: (statuses, re.compile(words, re.IGNORECASE))
    for name, statuses, words in (
        ("stream_options", REFUSES, r"stream_options|include_usage"),
        ("stream", REFUSES, r"\bstream(ing|ed|GenerateContent)?\b"),
        ("temperature", REFUSES, r"temperature"),
        ("max_tokens", REFUSES, r"max_tokens|max_new_tokens|in the completion"),
        ("max_completion_tokens", REFUSES, r"max_completion_tokens|in the completion"),
        ("cache_control", REFUSES, r"cache_control"),
        ("store", REFUSES, r"\bstore\b"),
        (
            "system",  # our instructions become a part of the first message
            (*REFUSES, 500),
            r"system.{0,20}(role|message|instruction|prompt)|roles?.{0,40}\bsystem\b|developer instruction"
            r"|roles must alternate|only (user|assistant).{0,20}roles",
        ),
        (
            "pictures",
            (*REFUSES, 500),
            r"image|vision|multi-?modal|content.?(type|part)|mmproj|valid string|must be a string",
        ),
    )
}

#: Words of a rejection that concerns only this request. The next one may be shorter.
TOO_LARGE = re.compile(r"too (large|long|many|high)|exceed|context|at most|maximum|less than", re.IGNORECASE)

#: Further tries after an answer that is empty or broken.
EMPTY_TRIES = 2

#: The temperature of such a try. At 0, the model would give the same answer.
WARM = 0.5

#: Tokens counted for a picture if the server does not report any.
PICTURE_TOKENS = 1_000


@dataclass(frozen=True)
class Picture:
    """A picture of a message. The model sees ``name`` as its caption."""

    media_type: Literal["image/png", "image/jpeg"]
    data: bytes = field(repr=False)
    name: str


@dataclass(frozen=True)
class Message:
    """A message of a conversation. ``system`` must be the first."""

    role: Literal["system", "user", "assistant"]
    text: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Question:
    """A request to the model.

    ``max_tokens`` limits the answer and the reasoning together. ``temperature`` controls randomness. None means
    LLM_MAX_TOKENS and LLM_TEMPERATURE.
    """

    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class Answer:
    """The model's answer. ``text`` excludes the ``reasoning``. ``model`` is the server's name for the model.

    ``finish`` is ``done``, ``cut`` at the length limit, or ``loop`` if the model repeated itself; then ``text``
    contains the repeated block once. ``usage`` includes all calls for this answer.
    """

    text: str
    reasoning: str
    model: str
    finish: Literal["done", "cut", "loop"]
    usage: Usage


@dataclass(frozen=True)
class Heard:
    """The result of the last call: its time and its error, which is empty after a success."""

    at: datetime
    wrong: str


@dataclass(frozen=True)
class Request:
    """One call. ``without`` has the names in OPTIONAL that the server rejects."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float | None
    without: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reply:
    """The end of one call. Token counts are None if the server did not report them."""

    model: str = ""
    cut: bool = False
    tokens_in: int | None = None
    tokens_out: int | None = None
    #: The error if there is no answer, such as a refusal.
    error: ModelError | None = None
    #: Calls of tools: each with the tool's name and its arguments. They may have the answer.
    calls: tuple[tuple[str, str], ...] = ()
    #: Whether the stream ended properly, but without saying so. Then the answer may be incomplete.
    unsure: bool = False


class Model(ABC):
    """Answers prompts.

    ``own`` is true if it runs on this machine or in a private network. Such models are usually small.
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
        """Answer a question within MODEL_SECONDS, including retries and waits. Raises ModelError with the usage.

        Callbacks: ``on_wait`` gets the seconds and the reason of each wait, ``on_part`` each piece of the answer,
        ``on_queue`` whether the call waits for other calls. Cancelling closes the connection at once.
        """


class Provider(Model):
    """A model at a provider's server."""

    #: The LLM_PROVIDER word.
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
        """Close the connections."""

    @abstractmethod
    async def _send(self, request: Request, writing: Writing) -> Reply:
        """Make one call. Raises Failure if there is no answer, and Repeats. Both leave the connection closed."""

    @abstractmethod
    def _optional(self, request: Request) -> Iterable[str]:
        """Return the names in OPTIONAL that a request uses."""

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
                f"The model {self.name} at {self.setup.host} did not answer within {self.setup.seconds:g} s. "
                "If it is slow, set a larger MODEL_SECONDS."
            )
        except Failure as failure:
            wrong = explained(failure, self.setup)
        except ModelError as error:
            wrong = type(error)(redacted(str(error), self.setup.secrets))
        # raised here so that it carries no exception of an SDK with the request and its headers
        wrong.usage, wrong.partial = asking.usage, asking.writing.text
        self.last = Heard(datetime.now(UTC), str(wrong))
        log.info("the model did not answer: %s", wrong)
        raise wrong

    async def _answer(self, question: Question, asking: _Asking, on_wait: OnWait | None, end: float) -> Answer:
        request = Request(
            question.messages,
            self.setup.max_tokens if question.max_tokens is None else question.max_tokens,
            self.setup.temperature if question.temperature is None else question.temperature,
        )
        reply = await persist(lambda: self._sent(request, asking), self.setup.pace, end, on_wait)
        if reply.error:
            raise reply.error
        finish: Literal["done", "cut", "loop"] = "loop" if asking.loops else "cut" if reply.cut else "done"
        return Answer(asking.text, asking.writing.reasoning, reply.model or self.name, finish, asking.usage)

    async def _sent(self, request: Request, asking: _Asking) -> Reply:
        """Call the server, without the parts that it rejects. An answer without text raises Failure a few times."""
        request = replace(request, without=self._without)
        if asking.empty and request.temperature == 0:
            request = replace(request, temperature=WARM)
        while True:
            try:
                reply = await self._send(request, asking.fresh())
            except Repeats:
                reply = Reply(cut=True)
            except BaseException as error:
                asking.broken_off(request)
                name = self._refused(request, error) if isinstance(error, Failure) else None
                if name is None:
                    raise
                said = redacted(str(error), self.setup.secrets)
                log.info("%s rejects %s; retrying without it: %s", self, name, said)
                request = replace(request, without=request.without | {name})
                if not TOO_LARGE.search(str(error)):
                    self._without |= {name}
                continue
            reply = asking.ended(reply, request)
            if not reply.error and not asking.text.strip():
                reply = replace(reply, error=self._nothing(reply, asking))
            again = isinstance(reply.error, (ModelEmpty, ModelBroken)) or reply.unsure
            if again and asking.empty < EMPTY_TRIES and not (reply.unsure and asking.empty):
                asking.empty += 1
                said = str(reply.error) if reply.error else "the answer broke off"
                raise Failure(said, HTTPStatus.BAD_GATEWAY)
            return replace(reply, cut=True) if reply.unsure else reply

    def _refused(self, request: Request, failure: Failure) -> str | None:
        """Return the part of the request that the server rejected, or None."""
        said = f"{failure.words} {failure.error.get('param') or ''}"
        for name in self._optional(request):
            statuses, words = OPTIONAL[name]
            fails = failure.status is not None and failure.status >= 500
            strict = NO_STREAM if name == "stream" else UNSUPPORTED
            if words.search(said) and (failure.status in statuses or (fails and strict.search(said))):
                return name
        return None

    def _nothing(self, reply: Reply, asking: _Asking) -> ModelError:
        if asking.loops:
            return ModelCut(f"The model {self.name} repeated itself while reasoning and gave no answer.")
        if reply.cut:
            return ModelCut(
                f"The model {self.name} reached its length limit before its answer began. "
                "If it reasons at length, set a larger LLM_MAX_TOKENS."
            )
        if asking.writing.reasoning.strip():
            return ModelEmpty(
                f"The model {self.name} gave an empty answer: everything that it wrote is reasoning. "
                "If the server takes answers for reasoning, turn its reasoning parser off."
            )
        return ModelEmpty(f"The model {self.name} gave an empty answer.")


class _Asking:
    """The progress of one question."""

    def __init__(self, on_part: OnPart | None) -> None:
        self._on_part = on_part
        self.usage = Usage()
        self.writing = Writing()
        self.empty = 0  # answers so far that were empty or broken
        self.text = ""  # the answer of the last call
        self.loops = False

    def fresh(self) -> Writing:
        """Begin a call and discard the partial answer of the call before."""
        if self.writing.shown and self._on_part:
            self._on_part(Part("", False, restart=True))
        self.writing = Writing(self._on_part)
        return self.writing

    def ended(self, reply: Reply, request: Request) -> Reply:
        """End a call. Without a text, look for the answer in calls of tools and in the server's reasoning."""
        writing = self.writing
        self.loops = writing.end(reply.cut)
        self.text = writing.text
        self.used(reply, request)
        if "```" not in self.text:
            inside, beside = tool_calls.in_text(self.text), tool_calls.as_answer([*reply.calls, *writing.calls])
            if inside or beside:
                self._tell(inside or f"{self.text}\n\n{beside}".strip())
                return replace(reply, error=None)
        if not self.text.strip() and not reply.error and not reply.cut and not self.loops:
            self._tell(writing.hidden_answer(again=self.empty > 0))
        return reply

    def _tell(self, text: str) -> None:
        """Take a text as the answer."""
        self.text = text or self.text
        if text and self._on_part:
            self._on_part(Part("", False, restart=True))
            self._on_part(Part(text, False))

    def used(self, reply: Reply, request: Request) -> None:
        """Count a call's usage. Without counts from the server, a piece or four characters is a token."""
        asked = sum(len(one.text) // 4 + 4 + PICTURE_TOKENS * len(one.pictures) for one in request.messages)
        wrote = max(self.writing.pieces, (len(self.writing.text) + len(self.writing.reasoning)) // 4 + 1)
        self.usage += Usage(
            1,
            asked if reply.tokens_in is None else reply.tokens_in,
            wrote if reply.tokens_out is None else reply.tokens_out,
            reply.tokens_in is None or reply.tokens_out is None,
        )

    def broken_off(self, request: Request) -> None:
        """Count a call that ended before its answer did."""
        if self.writing.text or self.writing.reasoning:
            self.used(Reply(), request)


def once(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return a coroutine function that makes an object in a thread once and returns it to every caller."""
    made: list[asyncio.Future[Any]] = []

    def get() -> asyncio.Future[Any]:
        if not made or (made[0].done() and made[0].exception()):
            made[:] = [asyncio.ensure_future(asyncio.to_thread(make))]
        return asyncio.shield(made[0])  # cancelling one caller must not cancel the others

    return get


def merged(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages for a server without a system role: our instructions begin the first message."""
    system = "\n\n".join(message.text for message in messages if message.role == "system")
    first, *rest = (message for message in messages if message.role != "system")
    return (replace(first, text=f"{system}\n\n{first.text}"), *rest)


def left_out(message: Message) -> str:
    """Return a message's text for a server that takes no pictures."""
    names = "".join(
        f"\n[picture {picture.name}: left out, this server takes no pictures]" for picture in message.pictures
    )
    return message.text + names
