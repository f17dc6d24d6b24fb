"""OpenAI and all servers with its protocol (``/chat/completions``), through the ``openai`` SDK."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
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
    import asyncio

    import httpx2
    import openai

#: Fields of a piece that contain reasoning. The first one present counts.
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "reasoning_details", "thought")

#: ``finish_reason`` values for the length limit, for a refusal, for a failure of the server, and for calls of tools.
CUT = (
    "length", "max_tokens", "model_length", "max_output_tokens", "max_length", "token_limit",
    "model_context_window_exceeded",
)  # fmt: skip
REFUSED = ("content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii", "refusal", "sensitive")
FAILED = (
    "error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource", "timeout", "unload",
)  # fmt: skip
CALLS = ("tool_calls", "function_call", "tool_use")

#: Words that some servers write into fields that have no value.
NONE = ("", "none", "null", "ok", "success", "no error", "false", "0")


class OpenAI(Provider):
    provider = "openai"

    def __init__(self, setup: Setup, turns: asyncio.Semaphore | None = None) -> None:
        super().__init__(setup, turns)
        self._http: httpx2.AsyncClient | None = None
        self._client = once(self._connect)
        self._hosted = setup.host.endswith("openai.com")

    def _connect(self) -> openai.AsyncOpenAI:
        import openai

        from orchestrator.llm import http

        self._http = http.client()
        client = openai.AsyncOpenAI(
            api_key=self.setup.key or "none",  # the SDK requires it, but does not send it
            base_url=self.setup.url,
            max_retries=0,
            timeout=self._http.timeout,
            http_client=self._http,
        )
        # the SDK takes them from the environment, but they are not meant for this server
        client.organization = client.project = None
        return client

    async def close(self) -> None:
        if self._http:
            await self._http.aclose()

    def _optional(self, request: Request) -> Iterable[str]:
        arguments = self._arguments(request)
        names = ("stream_options", "stream", "temperature", "max_tokens", "max_completion_tokens", "store")
        yield from (name for name in names if name in arguments)
        if "system" not in request.without and any(message.role == "system" for message in request.messages):
            yield "system"
        if "pictures" not in request.without and any(message.pictures for message in request.messages):
            yield "pictures"

    async def _send(self, request: Request, writing: Writing) -> Reply:
        client = await self._client()
        import httpx2
        import openai

        from orchestrator.llm.http import TooLong

        ending = _Ending(self.name, writing)
        try:
            create = client.chat.completions.with_streaming_response.create
            async with create(**self._arguments(request)) as response:
                async for message in responses.messages(response.iter_bytes(), "OpenAI's"):
                    ending.read(message)
        except openai.APIStatusError as error:
            failure = _failure(error)
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
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
        pictures = "pictures" not in request.without
        # all servers except OpenAI's know the older name
        limits = ("max_tokens", "max_completion_tokens")
        limit = next((one for one in limits[:: -1 if self._hosted else 1] if one not in request.without), "")
        arguments: dict[str, Any] = {
            "model": self.name,
            "messages": [
                {"role": message.role, "content": _content(message) if pictures else left_out(message)}
                for message in (merged(request.messages) if "system" in request.without else request.messages)
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": request.temperature,
            limit: request.max_tokens,
            "store": False if self._hosted else None,  # other servers do not know this field
        }
        if "stream" in request.without:
            del arguments["stream_options"]
        sent = {name: value for name, value in arguments.items() if value is not None and name not in request.without}
        sent.pop("", None)
        if not self.setup.key:
            from openai import Omit

            sent["extra_headers"] = {"Authorization": Omit()}
        return sent


class _Ending:
    """Collects what the messages say beside the answer's text."""

    def __init__(self, name: str, writing: Writing) -> None:
        self._name, self._writing = name, writing
        self._whole = False
        self._over = False  # whether the stream said that it ends
        self.finish = ""
        self._model = ""
        self._refusal = ""
        self._any_choice = False
        self._any_text = False
        self._other = False  # whether a message was of another protocol
        self._calls: dict[int, list[str]] = {}
        self._tokens: tuple[int | None, int | None] = (None, None)

    def read(self, message: dict[str, Any]) -> None:
        """Process the whole answer, or a piece of it. Raises Failure for an error."""
        choice = responses.part(message, "choices", 0)
        delta = responses.part(choice, "delta") or (None if self._any_text else responses.part(choice, "message"))
        content = responses.part(delta, "content")
        said = responses.text(content) or responses.text(responses.part(choice, "text"))
        error = _error(message, choice)
        if error is not None and not said and not self.finish:
            raise responses.told(error)
        self._over = self._over or not message
        self._other = self._other or bool(message and not message.keys() & {"choices", "usage", "error"})
        self._model = self._model or responses.text(message.get("model"))
        used = message.get("usage")
        tokens = tuple(responses.count(responses.part(used, name)) for name in ("prompt_tokens", "completion_tokens"))
        if tokens[0] is not None or tokens[1] is not None:
            self._tokens = (tokens[0], tokens[1])
        if not isinstance(choice, dict):
            return
        self._any_choice = True
        self._whole = "delta" not in choice
        self._any_text = self._any_text or bool(said.strip())
        self._refusal += responses.text(responses.part(delta, "refusal")) or _refusal(content)
        reason = choice.get("finish_reason")
        if reason is not None and str(reason).lower() not in ("", "none", "null"):
            self.finish = str(reason)
        self._call(delta)
        thoughts = (responses.all_text(responses.part(delta, name)) for name in THOUGHTS)
        self._writing.thought(responses.thought(content) or next(filter(None, thoughts), ""))
        self._writing.answer(said)

    def _call(self, delta: Any) -> None:
        """Collect calls of tools, which may come in pieces."""
        calls = responses.part(delta, "tool_calls")
        one = responses.part(delta, "function_call")
        for at, call in enumerate(calls if isinstance(calls, list) else [{"function": one}] if one else []):
            number = responses.part(call, "index")
            made = self._calls.setdefault(number if isinstance(number, int) else at, ["", ""])
            made[0] = made[0] or responses.text(responses.part(call, "function", "name"))
            given = responses.part(call, "function", "arguments")
            made[1] += given if isinstance(given, str) else json.dumps(given) if given else ""

    def reply(self) -> Reply:
        """Return how the answer ended. Raises Failure if it broke off."""
        reason = self.finish.lower()
        if self._other and not self._any_choice:
            raise Failure("an answer that is not of OpenAI's protocol", HTTPStatus.OK)
        if reason in FAILED:
            raise Failure(f"the server broke off the answer ({self.finish})", HTTPStatus.BAD_GATEWAY)
        unsure = self._any_choice and not reason and not self._whole
        if unsure and not self._over:
            raise Failure("the answer broke off", HTTPStatus.BAD_GATEWAY)
        # llama-cpp-python ends a stream properly, but without a finish reason, when another request arrives
        calls = tuple((name, given) for name, given in self._calls.values())
        return Reply(self._model, reason in CUT, *self._tokens, self._wrong(), calls, unsure)

    def _wrong(self) -> ModelError | None:
        reason = self.finish.lower()
        if self._refusal:
            return ModelRefused(f"The model {self._name} does not answer this: {words(self._refusal, '')}")
        if reason in REFUSED:
            return ModelRefused(f"The model {self._name} stopped: its answer is blocked ({reason}).")
        if not self._any_choice:
            return ModelEmpty(f"The model {self._name} returned no answer.")
        if reason in CALLS and not self._any_text:
            return ModelBroken(f"The model {self._name} stopped in the middle of its answer ({reason}).")
        return None


def _error(message: dict[str, Any], choice: Any) -> Any:
    """Return the error that a message of a success reports, or None."""
    error = message.get("error") or responses.part(choice, "error")
    if isinstance(error, str) and error.strip().lower() in NONE:
        error = None
    if error or not message or "choices" in message or "usage" in message:
        return error or None
    return message if any(message.get(name) for name in ("message", "detail", "msg", "error_msg")) else None


def _refusal(content: Any) -> str:
    """Return the refusal in a list of parts."""
    parts = content if isinstance(content, list) else []
    return "".join(responses.text(responses.part(part, "refusal")) for part in parts)


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.pictures:
        return message.text  # some servers do not accept a list of parts
    parts: list[dict[str, Any]] = [{"type": "text", "text": message.text}]
    for picture in message.pictures:
        data = base64.b64encode(picture.data).decode()
        parts.append({"type": "text", "text": f"{picture.name}:"})
        parts.append({"type": "image_url", "image_url": {"url": f"data:{picture.media_type};base64,{data}"}})
    return parts


def _failure(error: Any) -> Failure:
    """Convert an error status."""
    response = error.response
    return responses.failure(error.status_code, response.headers, responses.loaded(response.text))
