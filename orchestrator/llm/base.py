"""The port to models: one verb. Each kind says how a question is sent; all that is the same for all is here."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, ClassVar, Literal

from orchestrator.errors import ModelAway, ModelBroken, ModelError, Usage
from orchestrator.llm.explaining import explained, redacted
from orchestrator.llm.fitting import fit
from orchestrator.llm.retrying import Failure, OnWait, persist
from orchestrator.llm.setup import Setup

log = logging.getLogger(__name__)

#: Characters of a broken answer that are sent back with what is wrong with it.
SENT_BACK = 20_000


@dataclass(frozen=True)
class Message:
    """One part of a conversation. ``system`` may only come first."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Question:
    """What is asked. With ``schema`` (JSON Schema 2020-12) the answer is JSON that fits it.

    ``max_tokens`` bounds what the model may write and think, in tokens; None: as much as the server lets it.
    """

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class Answer:
    """``value`` is the JSON where a schema was given, else None. ``model`` and ``finish`` are as the server names them.

    ``usage`` is that of all calls that led to it.
    """

    text: str
    value: Any
    model: str
    finish: str
    usage: Usage


@dataclass(frozen=True)
class Heard:
    """How the last question went: when, and what went wrong; an empty sentence: nothing did."""

    at: datetime
    wrong: str


class Form(IntEnum):
    """How the server is told of the schema, best first."""

    SCHEMA = 0  # by its own means: the answer is held to the schema while it is written
    JSON = 1  # some JSON by its own means, which one in the prompt
    TEXT = 2  # in the prompt alone


@dataclass(frozen=True)
class Request:
    """One call."""

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None
    form: Form
    max_tokens: int | None


@dataclass(frozen=True)
class Reply:
    """What one call gave. None for tokens: the server did not say."""

    text: str
    model: str
    finish: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    #: What is wrong with it where it is no answer at all: a refusal, a cut, nothing.
    error: ModelError | None = None


class Model(ABC):
    """Who answers prompts."""

    #: The word for LLM_PROVIDER.
    provider: ClassVar[str]

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.last: Heard | None = None
        self._forms: dict[str, Form] = {}  # by schema: the best form that this server can do, as far as we have seen

    @property
    def name(self) -> str:
        return self.setup.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r} at {self.setup.host!r})"

    async def ask(
        self, question: Question, on_wait: OnWait | None = None, go_on: Callable[[Usage], bool] | None = None
    ) -> Answer:
        """Answer a question, in MODEL_SECONDS with all tries and waits; raises ModelError with what it has cost.

        ``on_wait`` hears the seconds of each wait, and why. ``go_on`` hears what has been used where an answer does not
        fit, and says whether it may go back in one more call. Cancelling closes the connection at once.
        """
        spent: list[Usage] = []
        wrong: ModelError
        told = on_wait and (lambda seconds, why: on_wait(seconds, redacted(why, self.setup.secrets)))
        try:
            async with asyncio.timeout(self.setup.seconds) as limit:
                answer = await self._ask(question, told, go_on, spent, limit.when() or 0)
            self.last = Heard(datetime.now(UTC), "")
            return answer
        except TimeoutError:
            wrong = ModelAway(
                f"The model {self.name} at {self.setup.host} has not answered within {self.setup.seconds:g} s. "
                "Where it is only slow, set a larger MODEL_SECONDS."
            )
        except Failure as failure:
            wrong = explained(failure, self.setup)
        except ModelError as error:
            wrong = type(error)(redacted(str(error), self.setup.secrets))
        # raised here, so that no exception of an SDK, with its request and its headers, hangs on it
        wrong.usage = sum(spent, Usage())
        self.last = Heard(datetime.now(UTC), str(wrong))
        log.info("no answer of the model: %s", wrong)
        raise wrong

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""

    @abstractmethod
    async def _send(self, request: Request) -> Reply:
        """Make one call; raises Failure where there is no answer."""

    def _knows_not(self, failure: Failure) -> bool:
        """Whether a failure says that the server does not know the form, or not this schema in it."""
        return failure.status in (400, 422) and bool(self.form_words.search(failure.words))

    #: What a server's words have in them where it does not take the form.
    form_words: ClassVar[re.Pattern[str]]

    # ── one question ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _ask(
        self,
        question: Question,
        on_wait: OnWait | None,
        go_on: Callable[[Usage], bool] | None,
        spent: list[Usage],
        end: float,
    ) -> Answer:
        schema, messages = question.schema, question.messages
        key = json.dumps(schema, sort_keys=True)
        form = self._forms.get(key, Form.SCHEMA)
        for again in (False, True):
            reply, form = await self._reply(question, messages, form, on_wait, end)
            spent.append(_usage(reply, messages))
            if reply.error:
                raise reply.error
            usage = sum(spent, Usage())
            if schema is None:
                return Answer(reply.text, None, reply.model, reply.finish, usage)
            # some megabytes would hold up everybody else
            found = await asyncio.to_thread(fit, reply.text, schema)
            self._forms[key] = form
            if not found.wrong:
                return Answer(reply.text, found.value, reply.model, reply.finish, usage)
            if not again:
                if go_on and not go_on(usage):
                    raise ModelBroken(f"The answer of the model {self.name} is not what was asked for: {found.wrong}.")
                if not found.is_json and form < Form.TEXT:
                    form = Form(form + 1)  # it let us name a form, and did not keep to it
                messages = (
                    *question.messages,
                    Message("assistant", _shortened(reply.text)),
                    _repair(found.wrong, schema),
                )
        raise ModelBroken(
            f"The answer of the model {self.name} is not what was asked for, and still is not after it was told so: "
            f"{found.wrong}. A more capable model (LLM_MODEL, GEMINI_MODEL) may do better."
        )

    async def _reply(
        self, question: Question, messages: tuple[Message, ...], form: Form, on_wait: OnWait | None, end: float
    ) -> tuple[Reply, Form]:
        """One call that got an answer, in the best form that the server can do."""
        while True:
            worded = messages
            if question.schema is not None and form > Form.SCHEMA:
                worded = _worded(messages, question.schema)
            request = Request(worded, question.schema, form, question.max_tokens)
            try:
                return await persist(lambda: self._send(request), self.setup.pace, end, on_wait), form  # noqa: B023
            except Failure as failure:
                if question.schema is None or form == Form.TEXT or not self._knows_not(failure):
                    raise
                form = Form(form + 1)


def once(make: Callable[[], Any]) -> Callable[[], Any]:
    """A function that makes a thing in a thread when it is first awaited, and gives the same one to all."""
    made: list[asyncio.Future[Any]] = []

    def get() -> asyncio.Future[Any]:
        if not made or (made[0].done() and made[0].exception()):
            made[:] = [asyncio.ensure_future(asyncio.to_thread(make))]
        return asyncio.shield(made[0])  # one who is cancelled does not take it from the others

    return get


def _worded(messages: tuple[Message, ...], schema: dict[str, Any]) -> tuple[Message, ...]:
    """The messages with the schema in the first of them."""
    wish = (
        "Answer with one JSON value that fits the JSON Schema below, and with nothing else: no text before or after "
        f"it, no Markdown.\n\n{json.dumps(schema, ensure_ascii=False)}"
    )
    first, *rest = messages
    if first.role == "system":
        return (Message("system", f"{first.text}\n\n{wish}"), *rest)
    return (Message("system", wish), *messages)


def _repair(wrong: str, schema: dict[str, Any]) -> Message:
    return Message(
        "user",
        f"That cannot be used: {wrong}. Answer again, with nothing but one JSON value that fits this JSON Schema:\n\n"
        f"{json.dumps(schema, ensure_ascii=False)}",
    )


def _shortened(text: str) -> str:
    return text if len(text) <= SENT_BACK else f"{text[:SENT_BACK]}\n[… {len(text) - SENT_BACK} characters left out]"


def _usage(reply: Reply, messages: tuple[Message, ...]) -> Usage:
    """What a call has used; where the server did not say, four characters count as a token."""
    known = reply.tokens_in is not None and reply.tokens_out is not None
    asked = sum(len(message.text) // 4 + 4 for message in messages)
    return Usage(
        1,
        asked if reply.tokens_in is None else reply.tokens_in,
        len(reply.text) // 4 + 1 if reply.tokens_out is None else reply.tokens_out,
        not known,
    )
