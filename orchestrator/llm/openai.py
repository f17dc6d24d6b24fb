"""OpenAI and all servers with its protocol (``/chat/completions``), through the ``openai`` SDK."""

from __future__ import annotations

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
    import asyncio

    import httpx2
    import openai

#: Fields of a piece that contain reasoning. The first one present counts.
THOUGHTS = ("reasoning_content", "reasoning")

#: ``finish_reason`` values for the length limit, for a refusal, and for a broken answer.
CUT = ("length", "max_tokens", "model_length")
REFUSED = ("content_filter",)
BROKEN = ("error", "tool_calls", "function_call")


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
        if "pictures" not in request.without and any(message.pictures for message in request.messages):
            yield "pictures"

    async def _send(self, request: Request, writing: Writing) -> Reply:
        client = await self._client()
        import httpx2
        import openai

        from orchestrator.llm.http import TooLong

        ending = _Ending(self.name)
        try:
            create = client.chat.completions.with_streaming_response.create
            async with create(**self._arguments(request)) as response:
                async for message in responses.messages(response.iter_bytes(), "OpenAI's"):
                    ending.read(message, writing)
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
                for message in request.messages
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

    def __init__(self, name: str) -> None:
        self._name = name
        self._whole = False
        self.finish = ""
        self._model = ""
        self._refusal = ""
        self._any_choice = False
        self._any_text = False
        self._tokens: tuple[int | None, int | None] = (None, None)

    def read(self, message: dict[str, Any], writing: Writing) -> None:
        """Process the whole answer, or a piece of it. Raises Failure for an error."""
        choice = responses.part(message, "choices", 0)
        delta = responses.part(choice, "delta") or (None if self._any_text else responses.part(choice, "message"))
        said = responses.text(responses.part(delta, "content")) or responses.text(responses.part(choice, "text"))
        if (error := message.get("error")) and not said:
            raise _told(error)
        if message and "choices" not in message and "usage" not in message and not self._any_choice:
            raise Failure("an answer that is not of OpenAI's protocol", HTTPStatus.OK)
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
        self._refusal += responses.text(responses.part(delta, "refusal"))
        if (reason := choice.get("finish_reason")) is not None:
            self.finish = str(reason)
        writing.thought(next(filter(None, (responses.text(responses.part(delta, name)) for name in THOUGHTS)), ""))
        writing.answer(said)

    def reply(self) -> Reply:
        """Return how the answer ended. Raises Failure if it broke off."""
        if self._any_choice and not self.finish and not self._whole:
            # llama-cpp-python ends a stream properly, but without a finish reason, when another request arrives
            raise Failure("the answer broke off", HTTPStatus.BAD_GATEWAY)
        return Reply(self._model, self.finish.lower() in CUT, *self._tokens, self._wrong())

    def _wrong(self) -> ModelError | None:
        reason = self.finish.lower()
        if self._refusal:
            return ModelRefused(f"The model {self._name} does not answer this: {words(self._refusal, '')}")
        if reason in REFUSED:
            return ModelRefused(f"The model {self._name} stopped: its answer is blocked ({reason}).")
        if not self._any_choice:
            return ModelEmpty(f"The model {self._name} returned no answer.")
        if reason == "error" or (reason in BROKEN and not self._any_text):
            return ModelBroken(f"The model {self._name} stopped in the middle of its answer ({reason}).")
        return None


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
    """Convert an error status. The SDK unwraps ``error`` in the body."""
    body = error.body if isinstance(error.body, dict) else {}
    said = body.get("message") or body.get("detail") or (error.body if isinstance(error.body, str) else "")
    known = error.status_code in HTTPStatus._value2member_map_
    default = HTTPStatus(error.status_code).phrase if known else "no words"
    return Failure(words(said, default), error.status_code, error.response.headers, {"error": body})


def _told(error: Any) -> Failure:
    """Convert an error in a successful body. OpenRouter reports upstream errors in this way."""
    code = responses.part(error, "code")
    status = code if isinstance(code, int) and 400 <= code < 600 else HTTPStatus.BAD_GATEWAY
    said = responses.part(error, "message") or (error if isinstance(error, str) else "")
    return Failure(words(said, "no words"), status, None, {"error": error})
