"""Anthropic's Claude, through the ``anthropic`` SDK."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ModelBroken, ModelEmpty, ModelError, ModelRefused
from orchestrator.llm import responses
from orchestrator.llm.base import Message, Provider, Reply, Request, left_out, once
from orchestrator.llm.error_texts import words
from orchestrator.llm.retries import Failure
from orchestrator.llm.setup import Setup
from orchestrator.llm.streaming import Writing

if TYPE_CHECKING:  # the import takes seconds, so a thread does it at the first call
    import anthropic
    import httpx2

#: ``stop_reason`` values of a finished answer, and of one at the length limit.
DONE = ("end_turn", "stop_sequence", "")
CUT = ("max_tokens", "model_context_window_exceeded")

#: Status of each error type, because errors in a stream have none. See https://platform.claude.com/docs/en/api/errors.
STATUS = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504,
    "overloaded_error": 529,
}  # fmt: skip

#: The provider caches the text before such a mark for five minutes. A request may have four marks.
CACHED = {"type": "ephemeral"}

#: The parts of the count of input tokens.
SENT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class Anthropic(Provider):
    provider = "anthropic"

    def __init__(self, setup: Setup, turns: asyncio.Semaphore | None = None) -> None:
        super().__init__(setup, turns)
        self._http: httpx2.AsyncClient | None = None
        self._client = once(self._connect)

    def _connect(self) -> anthropic.AsyncAnthropic:
        import anthropic

        from orchestrator.llm import http

        self._http = http.client()
        return anthropic.AsyncAnthropic(
            api_key=self.setup.key,
            base_url=self.setup.url,
            max_retries=0,
            timeout=self._http.timeout,
            http_client=self._http,
        )

    async def close(self) -> None:
        if self._http:
            await self._http.aclose()

    def _optional(self, request: Request) -> Iterable[str]:
        yield from (name for name in ("stream", "cache_control") if name not in request.without)
        if "pictures" not in request.without and any(message.pictures for message in request.messages):
            yield "pictures"

    async def _send(self, request: Request, writing: Writing) -> Reply:
        client = await self._client()
        import anthropic
        import httpx2

        from orchestrator.llm.http import TooLong

        ending = _Ending(self.name)
        try:
            create = client.messages.with_streaming_response.create
            async with create(**self._arguments(request)) as response:
                async for message in responses.messages(response.iter_bytes(), "Anthropic's"):
                    ending.read(message, writing)
        except anthropic.APIStatusError as error:
            failure = _failure(error)
        except (anthropic.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, TooLong):
                raise ModelBroken(f"{cause} It was rejected.") from None
            failure = Failure(words(cause, type(cause).__name__))
            if ending.finish:
                return ending.reply()  # only the end was lost
        except TooLong as error:
            raise ModelBroken(f"{error} It was rejected.") from None
        else:
            return ending.reply()
        raise failure

    def _arguments(self, request: Request) -> dict[str, Any]:
        """Build the arguments. The API has no temperature since its version 2026-10-21."""
        cached = "cache_control" not in request.without
        system = "\n\n".join(message.text for message in request.messages if message.role == "system")
        messages = [
            {"role": message.role, "content": _content(message, "pictures" not in request.without)}
            for message in request.messages
            if message.role != "system"
        ]
        arguments: dict[str, Any] = {
            "model": self.name,
            "messages": messages,
            "max_tokens": request.max_tokens,
            "stream": "stream" not in request.without,
        }
        if system:
            arguments["system"] = [{"type": "text", "text": system}]
        if cached:
            for block in [*arguments.get("system", []), messages[-1]["content"][-1]]:
                block["cache_control"] = CACHED
        return arguments


class _Ending:
    """Collects what the events say beside the answer's text."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.finish = ""
        self._why = ""
        self._model = ""
        self._any_block = False
        self._sent: dict[str, int] = {}
        self._wrote: int | None = None

    def read(self, event: dict[str, Any], writing: Writing) -> None:
        """Process an event of a stream, or the whole answer. Raises Failure for an error."""
        kind = event.get("type")
        if kind == "error":
            raise _told(event.get("error"))
        if kind == "message":  # the whole answer
            self._about(event)
            for block in event.get("content") or []:
                self._block(block, writing)
        elif kind == "message_start":
            self._about(responses.part(event, "message"))
        elif kind == "content_block_start":
            self._block(event.get("content_block"), writing)
        elif kind == "content_block_delta":
            self._block(event.get("delta"), writing)
        elif kind == "message_delta":
            self._about({**(event.get("delta") or {}), "usage": event.get("usage")})
        elif not kind:
            raise Failure("an answer that is not of Anthropic's protocol", HTTPStatus.OK)

    def _about(self, message: Any) -> None:
        self._model = responses.text(responses.part(message, "model")) or self._model
        self.finish = str(responses.part(message, "stop_reason") or "") or self.finish
        self._why = responses.text(responses.part(message, "stop_details", "explanation")) or self._why
        used = responses.part(message, "usage")
        for name in SENT:
            if (number := responses.count(responses.part(used, name))) is not None:
                self._sent[name] = number
        if (wrote := responses.count(responses.part(used, "output_tokens"))) is not None:
            self._wrote = wrote

    def _block(self, block: Any, writing: Writing) -> None:
        self._any_block = True
        writing.thought(responses.text(responses.part(block, "thinking")))
        writing.answer(responses.text(responses.part(block, "text")))

    def reply(self) -> Reply:
        """Return how the answer ended. Raises Failure if it broke off."""
        if not self.finish:
            raise Failure("the answer broke off", HTTPStatus.BAD_GATEWAY)
        sent = sum(self._sent.values()) if "input_tokens" in self._sent else None
        return Reply(self._model, self.finish in CUT, sent, self._wrote, self._wrong())

    def _wrong(self) -> ModelError | None:
        reason = self.finish
        if reason == "refusal":
            said = words(self._why, "a refusal")
            return ModelRefused(f"The model {self._name} does not answer this: its answer is blocked ({said}).")
        if reason not in (*DONE, *CUT):
            return ModelBroken(f"The model {self._name} stopped in the middle of its answer ({reason}).")
        if not self._any_block and reason not in CUT:
            return ModelEmpty(f"The model {self._name} returned no answer.")
        return None


def _content(message: Message, pictures: bool) -> list[dict[str, Any]]:
    if not pictures:
        return [{"type": "text", "text": left_out(message)}]
    blocks: list[dict[str, Any]] = []
    for picture in message.pictures:
        data = base64.b64encode(picture.data).decode()
        blocks.append({"type": "text", "text": f"{picture.name}:"})
        source = {"type": "base64", "media_type": picture.media_type, "data": data}
        blocks.append({"type": "image", "source": source})
    return [*blocks, {"type": "text", "text": message.text}]


def _failure(error: Any) -> Failure:
    """Convert an error status."""
    said = responses.part(error.body, "error", "message") or (error.body if isinstance(error.body, str) else "")
    known = error.status_code in HTTPStatus._value2member_map_
    default = HTTPStatus(error.status_code).phrase if known else "no words"
    return Failure(words(said, default), error.status_code, error.response.headers, error.body)


def _told(error: Any) -> Failure:
    """Convert an error in the middle of a stream."""
    status = STATUS.get(str(responses.part(error, "type")), HTTPStatus.BAD_GATEWAY)
    return Failure(words(responses.part(error, "message"), "no words"), status, None, {"error": error})
