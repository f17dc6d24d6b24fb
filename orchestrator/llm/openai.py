"""OpenAI, and every server that speaks its protocol (``/chat/completions``), by the ``openai`` SDK."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from orchestrator.errors import ModelBroken, ModelCut, ModelEmpty, ModelError, ModelRefused
from orchestrator.llm.base import Form, Model, Reply, Request, once
from orchestrator.llm.explaining import words
from orchestrator.llm.retrying import Failure
from orchestrator.llm.schemas import STRICT, can_be_strict, narrowed
from orchestrator.llm.setup import Setup

if TYPE_CHECKING:  # they take seconds to import: done in a thread, when the first question is asked
    import httpx2
    import openai

#: What the limit of an answer is called: by OpenAI now, and by older servers. None: the server takes neither.
LIMITS = ("max_completion_tokens", "max_tokens", None)


class _Message(BaseModel):
    """What we read of an answer; the rest of it may be as it likes (``reasoning_content`` and others)."""

    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message = _Message()
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: _Tokens | None = None
    error: dict[str, Any] | None = None


class OpenAI(Model):
    provider = "openai"
    form_words = re.compile(r"response_format|json|schema|grammar|structured|guided", re.IGNORECASE)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._http: httpx2.AsyncClient | None = None
        self._client = once(self._connect)
        self._limit = 0  # which of LIMITS this server takes, as far as we have seen

    def _connect(self) -> openai.AsyncOpenAI:
        import openai

        from orchestrator.llm import http

        self._http = http.client()
        client = openai.AsyncOpenAI(
            api_key=self.setup.key or "none",  # which the SDK insists on, and does not send
            base_url=self.setup.url,
            max_retries=0,
            timeout=self._http.timeout,
            http_client=self._http,
        )
        # the SDK takes them from the environment, and they are nothing of this server's
        client.organization = client.project = None
        return client

    async def close(self) -> None:
        if self._http:
            await self._http.aclose()

    async def _send(self, request: Request) -> Reply:
        while True:
            limit = LIMITS[self._limit]
            try:
                return await self._create(request, limit)
            except Failure as failure:
                about_limit = limit and failure.status in (400, 422) and limit in failure.words
                if request.max_tokens is None or not about_limit:
                    raise
            self._limit = max(self._limit, LIMITS.index(limit) + 1)

    async def _create(self, request: Request, limit: str | None) -> Reply:
        client = await self._client()
        import httpx2
        import openai

        from orchestrator.llm.http import TooLong

        try:
            raw = await client.chat.completions.with_raw_response.create(**self._arguments(request, limit))
            body = raw.content
        except openai.APIStatusError as error:
            failure = _failure(error)
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            failure = Failure(words(cause, type(cause).__name__))
        except TooLong as error:
            raise ModelBroken(f"{error} It was refused.") from None
        else:
            try:
                completion = _Completion.model_validate_json(body)
            except ValidationError:
                failure = Failure("an answer that is not of OpenAI's protocol", HTTPStatus.OK)
            else:
                if not completion.error:
                    return self._read(completion)
                failure = _told(completion.error)
        raise failure

    def _arguments(self, request: Request, limit: str | None) -> dict[str, Any]:
        """No temperature: reasoning models do not take one."""
        arguments: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": message.role, "content": message.text} for message in request.messages],
        }
        if not self.setup.key:
            from openai import Omit

            arguments["extra_headers"] = {"Authorization": Omit()}
        if self.setup.host.endswith("openai.com"):
            arguments["store"] = False  # others do not know the word
        if request.max_tokens is not None and limit:
            arguments[limit] = request.max_tokens
        if request.schema is not None and request.form == Form.SCHEMA:
            schema = narrowed(request.schema, STRICT)
            strict = can_be_strict(request.schema)
            wanted = {"name": "answer", "strict": strict, "schema": schema if strict else request.schema}
            arguments["response_format"] = {"type": "json_schema", "json_schema": wanted}
        elif request.schema is not None and request.form == Form.JSON:
            arguments["response_format"] = {"type": "json_object"}
        return arguments

    def _read(self, completion: _Completion) -> Reply:
        choice = completion.choices[0] if completion.choices else _Choice()
        used = completion.usage or _Tokens()
        return Reply(
            text=choice.message.content or "",
            model=completion.model or self.name,
            finish=choice.finish_reason or "",
            tokens_in=used.prompt_tokens,
            tokens_out=used.completion_tokens,
            error=self._wrong(choice, bool(completion.choices)),
        )

    def _wrong(self, choice: _Choice, any_choice: bool) -> ModelError | None:
        reason, text = choice.finish_reason, choice.message.content or ""
        if choice.message.refusal:
            said = words(choice.message.refusal, "")
            return ModelRefused(f"The model {self.name} does not answer this: {said}")
        if reason == "content_filter":
            return ModelRefused(f"The model {self.name} stopped: its answer is blocked ({reason}).")
        if reason == "length":
            return ModelCut(f"The answer of the model {self.name} was cut at its length limit ({reason}).")
        if not any_choice:
            return ModelEmpty(f"The model {self.name} gave no answer at all.")
        if reason in ("error", "tool_calls", "function_call"):
            return ModelBroken(f"The model {self.name} stopped in the middle of its answer ({reason}).")
        if not text.strip():
            return ModelEmpty(f"The model {self.name} gave an empty answer.")
        return None


def _failure(error: Any) -> Failure:
    """A status that is no success. The SDK unwraps ``error`` of the body where there is one."""
    body = error.body if isinstance(error.body, dict) else {}
    said = body.get("message") or body.get("detail") or (error.body if isinstance(error.body, str) else "")
    known = error.status_code in HTTPStatus._value2member_map_
    default = HTTPStatus(error.status_code).phrase if known else "no words"
    return Failure(words(said, default), error.status_code, error.response.headers, {"error": body})


def _told(error: dict[str, Any]) -> Failure:
    """An error in the body of a success: so OpenRouter tells what went wrong at the server behind it."""
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else HTTPStatus.BAD_GATEWAY
    return Failure(words(error.get("message"), "no words"), status, None, {"error": error})
