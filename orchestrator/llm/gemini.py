"""Google Gemini, by Google's ``google-genai`` SDK."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError
from pydantic.alias_generators import to_camel

from orchestrator.errors import ModelBroken, ModelCut, ModelEmpty, ModelError, ModelRefused
from orchestrator.llm.base import Form, Model, Reply, Request, once
from orchestrator.llm.explaining import words
from orchestrator.llm.retrying import Failure
from orchestrator.llm.schemas import GEMINI, narrowed
from orchestrator.llm.setup import Setup

if TYPE_CHECKING:  # they take seconds to import: done in a thread, when the first question is asked
    import httpx2
    from google import genai

#: Why the model stopped (``FinishReason`` of the API's reference): as it should, too early, or not willing to go on.
DONE = ("STOP", "FINISH_REASON_UNSPECIFIED", "")
CUT = ("MAX_TOKENS", "CONTINUATION")
REFUSED = (
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION", "MODEL_ARMOR",
    "PUP_LIMITED_DISABLED",
)  # fmt: skip


class _Wire(BaseModel):
    """What we read of an answer; the rest of it may be as it likes."""

    model_config = {"alias_generator": to_camel}


class _Part(_Wire):
    text: str = ""
    thought: bool = False


class _Content(_Wire):
    parts: list[_Part] = []


class _Candidate(_Wire):
    content: _Content = _Content()
    finish_reason: str = ""
    finish_message: str = ""


class _Feedback(_Wire):
    block_reason: str = ""


class _Tokens(_Wire):
    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0


class _Response(_Wire):
    candidates: list[_Candidate] = []
    prompt_feedback: _Feedback = _Feedback()
    usage_metadata: _Tokens = Field(_Tokens())
    model_version: str = ""


class Gemini(Model):
    provider = "gemini"
    form_words = re.compile(r"schema|mime.?type|JSON mode|constraint", re.IGNORECASE)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._http: httpx2.AsyncClient | None = None
        self._client = once(self._connect)

    def _connect(self) -> genai.Client:
        from google import genai

        from orchestrator.llm import http

        self._http = http.client()
        options = {
            "base_url": self.setup.url,
            "api_version": "v1beta",
            "httpx_async_client": self._http,
            # for the clients that the SDK makes besides, and that nothing is asked with
            "client_args": {"verify": http.tls()},
            "async_client_args": {"verify": http.tls(), "ssl": http.tls()},
        }
        # without retry_options the SDK tries once
        return genai.Client(api_key=self.setup.key, vertexai=False, http_options=options)  # type: ignore[arg-type]

    async def close(self) -> None:
        if self._http:
            await self._http.aclose()

    async def _send(self, request: Request) -> Reply:
        client = await self._client()
        import httpx2
        from google.genai import errors

        from orchestrator.llm.http import TooLong

        try:
            response = await client.aio.models.generate_content(
                model=self.name, contents=_contents(request), config=_config(request)
            )
            body = response.sdk_http_response.body
        except errors.APIError as error:
            failure = _failure(error)
        except httpx2.HTTPError as error:
            failure = Failure(words(error, type(error).__name__))
        except ValueError as error:  # so the SDK refuses what cannot be a request
            failure = Failure(words(error, type(error).__name__), HTTPStatus.BAD_REQUEST)
        except TooLong as error:
            raise ModelBroken(f"{error} It was refused.") from None
        else:
            try:
                return self._read(_Response.model_validate_json(body or ""))
            except ValidationError:
                failure = Failure("an answer that is not of Gemini's protocol", HTTPStatus.OK)
        raise failure

    def _read(self, response: _Response) -> Reply:
        candidate = response.candidates[0] if response.candidates else _Candidate()
        text = "".join(part.text for part in candidate.content.parts if not part.thought)
        used = response.usage_metadata
        return Reply(
            text=text,
            model=response.model_version or self.name,
            finish=candidate.finish_reason,
            tokens_in=None
            if used.prompt_token_count is None
            else used.prompt_token_count + used.tool_use_prompt_token_count,
            tokens_out=None
            if used.prompt_token_count is None
            else used.candidates_token_count + used.thoughts_token_count,
            error=self._wrong(response, candidate, text),
        )

    def _wrong(self, response: _Response, candidate: _Candidate, text: str) -> ModelError | None:
        reason, blocked = candidate.finish_reason, response.prompt_feedback.block_reason
        if not response.candidates and blocked:
            return ModelRefused(f"The model {self.name} does not answer this: the prompt is blocked ({blocked}).")
        if not response.candidates:
            return ModelEmpty(f"The model {self.name} gave no answer at all.")
        if reason in REFUSED:
            return ModelRefused(f"The model {self.name} stopped: its answer is blocked ({reason}).")
        if reason in CUT:
            return ModelCut(f"The answer of the model {self.name} was cut at its length limit ({reason}).")
        if reason not in DONE:
            said = words(candidate.finish_message, "without a word")
            return ModelBroken(f"The model {self.name} stopped in the middle of its answer ({reason}, {said}).")
        if not text.strip():
            return ModelEmpty(f"The model {self.name} gave an empty answer.")
        return None


def _contents(request: Request) -> list[Any]:
    roles = {"user": "user", "assistant": "model"}
    return [
        {"role": roles[message.role], "parts": [{"text": message.text}]}
        for message in request.messages
        if message.role != "system"
    ]


def _config(request: Request) -> Any:
    """No temperature: newer models do not take one. ``store``: Google keeps nothing for its log of requests."""
    config: dict[str, Any] = {
        "store": False,
        "automatic_continuation": False,  # further calls that the one policy would not know of
        "should_return_http_response": True,  # read by us: a word that the SDK does not know yet is no error
        "automatic_function_calling": {"disable": True},
    }
    system = "\n\n".join(message.text for message in request.messages if message.role == "system")
    if system:
        config["system_instruction"] = system
    if request.max_tokens is not None:
        config["max_output_tokens"] = request.max_tokens
    if request.schema is not None and request.form < Form.TEXT:
        config["response_mime_type"] = "application/json"
    if request.schema is not None and request.form == Form.SCHEMA:
        config["response_json_schema"] = narrowed(request.schema, GEMINI)
    return config


def _failure(error: Any) -> Failure:
    """An error of the SDK: ``details`` is the body, where that was JSON."""
    headers = getattr(error.response, "headers", None)
    body = error.details
    said = words(error.message, HTTPStatus(error.code).phrase if error.code in HTTPStatus._value2member_map_ else "")
    reasons = re.findall(r"API_KEY_INVALID", str(body))
    return Failure(" ".join([said, *reasons[:1]]), error.code, headers, body)
