"""Anthropic's Claude, through the ``anthropic`` SDK."""

from __future__ import annotations

import asyncio
import base64
import json
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

        ending = _Ending(self.name, writing)
        try:
            create = client.messages.with_streaming_response.create
            async with create(**self._arguments(request)) as response:
                async for message in responses.messages(response.iter_bytes(), "Anthropic's"):
                    ending.read(message)
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

    def __init__(self, name: str, writing: Writing) -> None:
        self._name, self._writing = name, writing
        self._whole = False
        self.finish = ""
        self._why = ""
        self._model = ""
        self._any_block = False
        self._calls: list[list[str]] = []
        self._sent: dict[str, int] = {}
        self._wrote: int | None = None

    def read(self, event: dict[str, Any]) -> None:
        """Process an event of a stream, or the whole answer. Raises Failure for an error."""
        kind = event.get("type")
        if kind == "error" or (not kind and event.get("error")):
            if self.finish:
                return  # the answer is complete
            raise responses.told(event.get("error"))
        if kind == "message":  # the whole answer
            self._whole = True
            self._about(event)
            content = event.get("content") or []
            for block in content if isinstance(content, list) else [{"text": content}]:
                self._block(block)
        elif kind == "message_start":
            self._about(responses.part(event, "message"))
        elif kind == "content_block_start":
            self._block(event.get("content_block"))
        elif kind == "content_block_delta":
            self._block(event.get("delta"))
        elif kind == "message_delta":
            delta = event.get("delta")
            self._about({**(delta if isinstance(delta, dict) else {}), "usage": event.get("usage")})
        elif not kind and event:
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

    def _block(self, block: Any) -> None:
        self._any_block = True
        if responses.part(block, "type") == "tool_use":
            given = responses.part(block, "input")
            self._calls.append([responses.text(responses.part(block, "name")), json.dumps(given) if given else ""])
        elif self._calls:
            self._calls[-1][1] += responses.text(responses.part(block, "partial_json"))
        self._writing.thought(responses.text(responses.part(block, "thinking")))
        self._writing.answer(responses.text(responses.part(block, "text")))

    def reply(self) -> Reply:
        """Return how the answer ended. Raises Failure if it broke off."""
        if not self.finish and not self._whole:
            raise Failure("the answer broke off", HTTPStatus.BAD_GATEWAY)
        sent = sum(self._sent.values()) if "input_tokens" in self._sent else None
        calls = tuple((name, given) for name, given in self._calls)
        return Reply(self._model, self.finish in CUT, sent, self._wrote, self._wrong(), calls)

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
    response = error.response
    return responses.failure(error.status_code, response.headers, responses.loaded(response.text))
