"""Google Gemini, through Google's ``google-genai`` SDK."""

from __future__ import annotations

import asyncio
import json
import re
import warnings
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ModelBroken, ModelEmpty, ModelError, ModelRefused
from orchestrator.llm import responses
from orchestrator.llm.base import Message, Provider, Reply, Request, left_out, merged, once
from orchestrator.llm.error_texts import words
from orchestrator.llm.retries import Failure
from orchestrator.llm.setup import Setup
from orchestrator.llm.streaming import Writing

if TYPE_CHECKING:  # the import takes seconds, so a thread does it at the first call
    import httpx2
    from google import genai

#: ``FinishReason`` values of a finished answer, of one at the length limit, and of a refusal.
DONE = ("STOP", "FINISH_REASON_UNSPECIFIED", "")
CUT = ("MAX_TOKENS", "CONTINUATION")
REFUSED = (
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION", "MODEL_ARMOR",
    "PUP_LIMITED_DISABLED",
)  # fmt: skip


#: Some gateways write the number of a ``FinishReason``.
NUMBERS = {"0": "", "1": "STOP", "2": "MAX_TOKENS", "3": "SAFETY", "4": "RECITATION"}

#: The message for an unreadable answer, and for a stream that only the SDK cannot read. The latter is asked for whole.
PROTOCOL = "an answer that is not of Gemini's protocol"
NO_STREAM = "the SDK cannot read the server's stream"


class Gemini(Provider):
    provider = "gemini"

    def __init__(self, setup: Setup, turns: asyncio.Semaphore | None = None) -> None:
        super().__init__(setup, turns)
        self._http: httpx2.AsyncClient | None = None
        self._client = once(self._connect)

    def _connect(self) -> genai.Client:
        from google import genai

        from orchestrator.llm import http

        # the SDK warns about every unknown enum value
        warnings.filterwarnings("ignore", r".* is not a valid \w+", UserWarning, r"google\.genai")
        self._http = http.client()
        options = {
            "base_url": self.setup.url,
            "api_version": "v1beta",
            "httpx_async_client": self._http,
            # for the SDK's other clients, which make no calls
            "client_args": {"verify": http.tls()},
            "async_client_args": {"verify": http.tls(), "ssl": http.tls()},
        }
        # the SDK retries unless retry_options are set
        return genai.Client(api_key=self.setup.key, vertexai=False, http_options=options)  # type: ignore[arg-type]

    async def close(self) -> None:
        if self._http:
            await self._http.aclose()

    def _optional(self, request: Request) -> Iterable[str]:
        if "stream" not in request.without:
            yield "stream"
        if request.temperature is not None and "temperature" not in request.without:
            yield "temperature"
        if "system" not in request.without and any(message.role == "system" for message in request.messages):
            yield "system"
        if "pictures" not in request.without and any(message.pictures for message in request.messages):
            yield "pictures"

    async def _send(self, request: Request, writing: Writing) -> Reply:
        client = await self._client()
        import httpx2
        from google.genai import errors

        from orchestrator.llm import http

        ending = _Ending(self.name, writing)
        try:
            async with http.closing() as opened:
                async for response in _responses(client, self.name, request, opened):
                    ending.read(response)
        except errors.APIError as error:
            failure = _failure(error)
        except httpx2.HTTPError as error:
            failure = Failure(words(error, type(error).__name__))
            if ending.finish:
                return ending.reply()  # only the end was lost
        except http.TooLong as error:
            raise ModelBroken(f"{error} It was rejected.") from None
        else:
            return ending.reply()
        raise failure


async def _responses(
    client: Any, name: str, request: Request, opened: list[httpx2.Response]
) -> AsyncIterator[dict[str, Any]]:
    """Yield the pieces of the answer, or the whole answer, as JSON. Raises Failure if it cannot be parsed."""
    from google.genai.errors import UnknownApiResponseError

    contents, config, begun = _contents(request), _config(request), False
    try:
        if "stream" in request.without:
            # parsed here, because the SDK rejects values that it does not know
            config["should_return_http_response"] = True
            whole = await client.aio.models.generate_content(model=name, contents=contents, config=config)
            for piece in _whole(whole.sdk_http_response.body or ""):
                yield piece
            return
        pieces = await client.aio.models.generate_content_stream(model=name, contents=contents, config=config)
        async for piece in pieces:
            begun = True
            yield piece.model_dump(mode="json", by_alias=True, exclude_none=True)
    except UnknownApiResponseError as error:  # not JSON
        if re.search(r"Raw response: (data|event|id|retry)?:", str(error)):
            raise Failure(NO_STREAM, HTTPStatus.NOT_IMPLEMENTED) from None
        begun = begun or re.search(r"Raw response: [{\[]", str(error)) is not None
        status = HTTPStatus.BAD_GATEWAY if begun else HTTPStatus.OK
        raise Failure(PROTOCOL, status) from None
    except (ValueError, AttributeError, TypeError) as error:
        if opened and opened[-1].status_code != HTTPStatus.OK:
            raise responses.failure(opened[-1].status_code, opened[-1].headers, opened[-1].text) from None
        if opened:  # the SDK does not accept a field of the answer
            status = HTTPStatus.BAD_GATEWAY if "stream" in request.without else HTTPStatus.NOT_IMPLEMENTED
            raise Failure(PROTOCOL if "stream" in request.without else NO_STREAM, status) from None
        # the SDK rejects invalid requests in this way
        raise Failure(words(error, type(error).__name__), HTTPStatus.BAD_REQUEST) from None


def _whole(body: str) -> list[dict[str, Any]]:
    """Return the objects of a body. Raises Failure."""
    value = responses.loaded(body)
    found = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
    if error := next((one["error"] for one in found if one.get("error") and "candidates" not in one), None):
        raise responses.told(error)
    if not found:
        broken = body.lstrip()[:1] in ("", "{", "[")
        raise Failure(PROTOCOL if body.strip() else "an empty answer", 502 if broken else 200)
    return found


class _Ending:
    """Collects what the pieces say beside the answer's text."""

    def __init__(self, name: str, writing: Writing) -> None:
        self._name, self._writing = name, writing
        self.begun = False
        self.finish = ""
        self._why = ""
        self._blocked = ""
        self._model = ""
        self._any_candidate = False
        self._calls: list[tuple[str, str]] = []
        self._tokens: tuple[int | None, int | None] = (None, None)

    def read(self, response: dict[str, Any]) -> None:
        """Process the whole answer, or a piece of it."""
        self.begun = True
        self._model = responses.text(response.get("modelVersion")) or self._model
        self._blocked = responses.text(responses.part(response, "promptFeedback", "blockReason")) or self._blocked
        told = response.get("usageMetadata")
        used = {name: responses.count(told[name]) for name in told} if isinstance(told, dict) else {}
        if used.get("promptTokenCount") is not None:
            sent = ("promptTokenCount", "toolUsePromptTokenCount")
            wrote = ("candidatesTokenCount", "thoughtsTokenCount")
            self._tokens = (sum(used.get(name) or 0 for name in sent), sum(used.get(name) or 0 for name in wrote))
        candidate = responses.part(response, "candidates", 0)
        if candidate is None:
            return
        self._any_candidate = True
        reason = str(responses.part(candidate, "finishReason") or "")
        self.finish = NUMBERS.get(reason, reason) or self.finish
        self._why = responses.text(responses.part(candidate, "finishMessage")) or self._why
        parts = responses.part(candidate, "content", "parts") or []
        for part in parts if isinstance(parts, list) else [parts]:
            if call := responses.part(part, "functionCall"):
                name, given = responses.part(call, "name"), responses.part(call, "args")
                self._calls.append((responses.text(name), json.dumps(given) if given else ""))
            write = self._writing.thought if responses.part(part, "thought") else self._writing.answer
            write(responses.text(responses.part(part, "text")))

    def reply(self) -> Reply:
        """Return how the answer ended. Raises Failure if it broke off."""
        if not self.begun:
            raise Failure("an empty answer", HTTPStatus.BAD_GATEWAY)
        if self._any_candidate and not self.finish:
            raise Failure("the answer broke off", HTTPStatus.BAD_GATEWAY)
        return Reply(self._model, self.finish in CUT, *self._tokens, self._wrong(), tuple(self._calls))

    def _wrong(self) -> ModelError | None:
        reason = self.finish
        if not self._any_candidate and self._blocked:
            return ModelRefused(
                f"The model {self._name} does not answer this: the prompt is blocked ({self._blocked})."
            )
        if not self._any_candidate:
            return ModelEmpty(f"The model {self._name} returned no answer.")
        if reason in REFUSED:
            return ModelRefused(f"The model {self._name} stopped: its answer is blocked ({reason}).")
        if reason not in (*DONE, *CUT):
            said = words(self._why, "without a word")
            return ModelBroken(f"The model {self._name} stopped in the middle of its answer ({reason}, {said}).")
        return None


def _contents(request: Request) -> list[Any]:
    roles = {"user": "user", "assistant": "model"}
    return [
        {"role": roles[message.role], "parts": _parts(message, "pictures" not in request.without)}
        for message in (merged(request.messages) if "system" in request.without else request.messages)
        if message.role != "system"
    ]


def _parts(message: Message, pictures: bool) -> list[dict[str, Any]]:
    if not pictures:
        return [{"text": left_out(message)}]
    parts: list[dict[str, Any]] = [{"text": message.text}]
    for picture in message.pictures:
        parts.append({"text": f"{picture.name}:"})
        parts.append({"inline_data": {"mime_type": picture.media_type, "data": picture.data}})
    return parts


def _config(request: Request) -> dict[str, Any]:
    """Build the config. ``store`` keeps requests out of Google's log."""
    config: dict[str, Any] = {
        "store": False,
        "automatic_continuation": False,  # our retry policy would not count the SDK's further calls
        "automatic_function_calling": {"disable": True},
        "max_output_tokens": request.max_tokens,
    }
    system = "\n\n".join(message.text for message in request.messages if message.role == "system")
    if system and "system" not in request.without:
        config["system_instruction"] = system
    if request.temperature is not None and "temperature" not in request.without:
        config["temperature"] = request.temperature
    return config


def _failure(error: Any) -> Failure:
    """Convert an error of the SDK. ``details`` is the body if it is JSON."""
    return responses.failure(error.code, getattr(error.response, "headers", None), error.details)
