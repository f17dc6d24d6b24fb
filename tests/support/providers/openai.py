"""OpenAI's ``POST /v1/chat/completions``, and other servers that support a part of it.

Requests, answers and errors follow https://developers.openai.com/api/reference/resources/chat and
https://developers.openai.com/api/docs/guides/error-codes. The headers of a 429 follow
https://developers.openai.com/api/docs/guides/rate-limits.
"""

from __future__ import annotations

import base64
from typing import Any

from tests.support.providers.script import Asked, Refused, Server, Turn, event, pieces

REQUEST = {
    "model", "messages", "max_completion_tokens", "max_tokens", "temperature", "stream", "stream_options", "store",
}  # fmt: skip

FINISH = {"done": "stop", "cut": "length", "blocked": "content_filter", "refused": "stop", "malformed": "tool_calls"}


class OpenAIServer(Server):
    """OpenAI's server.

    ``limits`` are the fields that it accepts for the limit of an answer. ``lacks`` are the parts of a request that it
    rejects.
    """

    limits = frozenset({"max_completion_tokens", "max_tokens"})
    lacks: frozenset[str] = frozenset()
    default_model = "gpt-6-luna"

    @property
    def settings(self) -> dict[str, str]:
        model = self.models[0] if self.models else self.default_model
        return {"LLM_BASE_URL": f"http://{self.host}/v1", "LLM_API_KEY": self.key, "LLM_MODEL": model}

    def read(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Asked:
        if path != "/v1/chat/completions":
            raise Refused(404, f"Invalid URL (POST {path})")
        key = headers.get("authorization", "")
        if key != (f"Bearer {self.key}" if self.key else ""):
            masked = f"{key[7:10]}{'*' * 20}{key[-4:]}"  # OpenAI masks keys like this
            raise Refused(401, f"Incorrect API key provided: {masked}. You can find yours there.", "invalid_api_key")
        for name in body:
            if name not in REQUEST:
                raise Refused(400, f"Unrecognized request argument supplied: {name}")
        if self.models and body["model"] not in self.models:
            words = f"The model `{body['model']}` does not exist or you do not have access to it."
            raise Refused(404, words, "model_not_found")
        asked = Asked(headers, body, body["model"], key.removeprefix("Bearer "))
        for message in body["messages"]:
            if set(message) != {"role", "content"} or message["role"] not in ("system", "user", "assistant"):
                raise Refused(400, "Invalid value for 'messages'.")
            asked.messages.append((message["role"], self._text(asked, message["content"])))
        for name in self.lacks & {"temperature", "stream", "stream_options"}:
            if name in body:
                words = f"Unsupported value: '{name}' does not support {body[name]} with this model."
                raise Refused(400, words, "unsupported_value")
        asked.temperature, asked.stream = body.get("temperature"), body.get("stream", False)
        if "stream_options" in body and not asked.stream:
            raise Refused(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
        for name in ("max_completion_tokens", "max_tokens"):
            if name in body and name not in self.limits:
                other = next(iter(self.limits), "nothing")
                words = f"Unsupported parameter: '{name}' is not supported with this model. Use '{other}' instead."
                raise Refused(400, words, "unsupported_parameter")
            asked.limit = body.get(name, asked.limit)
        return asked

    def _text(self, asked: Asked, content: Any) -> str:
        if isinstance(content, str):
            return content
        if "pictures" in self.lacks:
            raise Refused(400, "Invalid content type. image_url is only supported by certain models.")
        texts = []
        for part in content:
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                head, _, data = part["image_url"]["url"].partition(";base64,")
                asked.pictures.append((head.removeprefix("data:"), base64.b64decode(data, validate=True)))
        return "\n".join(texts)

    def success(self, asked: Asked, turn: Turn) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": turn.said, "refusal": None, "annotations": []}
        if turn.thought:
            message["reasoning_content"] = turn.thought
        if turn.finish == "refused":
            message |= {"content": None, "refusal": turn.said}
        elif turn.finish in ("blocked", "prompt blocked", "malformed"):
            message["content"] = None
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": FINISH.get(turn.finish, "content_filter"),
        }
        answer: dict[str, Any] = {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked.model,
            "choices": [] if turn.fault == "nothing" else [choice], "service_tier": "default",
        }  # fmt: skip
        if turn.tokens:
            had, gave, thought = turn.tokens
            answer["usage"] = {
                "prompt_tokens": had, "completion_tokens": gave + thought, "total_tokens": had + gave + thought,
                "completion_tokens_details": {"reasoning_tokens": thought},
            }  # fmt: skip
        return answer

    def events(self, asked: Asked, turn: Turn, answer: dict[str, Any]) -> list[bytes]:
        if "choices" not in answer:
            return [event(answer)]
        head = {**answer, "object": "chat.completion.chunk"}
        used = head.pop("usage", None)
        deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
        for choice in answer["choices"]:
            message = choice["message"]
            for name in ("reasoning_content", "content", "refusal"):
                deltas += [({name: piece}, None) for piece in pieces(message.get(name) or "")]
            deltas.append(({}, choice["finish_reason"]))
        chunks = [
            {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas
        ]
        if not answer["choices"]:
            chunks = []
        if used and (not asked.stream or asked.body.get("stream_options", {}).get("include_usage")):
            chunks.append({**head, "choices": [], "usage": used})
        return [b": a comment\n\n", *map(event, chunks), event("[DONE]")]

    def failure(self, status: int, words: str, code: str, turn: Turn) -> tuple[dict[str, Any], dict[str, str]]:
        headers = {"x-request-id": "req_1"}
        if status == 429:
            headers |= {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
            headers["x-ratelimit-reset-requests"] = "1s"
            code = code or ("insufficient_quota" if "quota" in words else "rate_limit_exceeded")
        if isinstance(turn.retry_after, str):
            headers["Retry-After"] = turn.retry_after
        elif turn.retry_after is not None:
            headers["retry-after-ms"] = f"{turn.retry_after * 1000:.0f}"
        kind = "invalid_request_error" if status < 429 else "server_error"
        return {"error": {"message": words, "type": kind, "param": None, "code": code or None}}, headers
