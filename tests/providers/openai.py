"""OpenAI's ``POST /v1/chat/completions``, and the servers that speak it with fewer words.

Requests, answers and errors as https://developers.openai.com/api/reference/resources/chat and
https://developers.openai.com/api/docs/guides/error-codes have them; the rules of ``strict`` are those of
https://developers.openai.com/api/docs/guides/structured-outputs, the headers of a 429 those of
https://developers.openai.com/api/docs/guides/rate-limits.
"""

from __future__ import annotations

import re
from typing import Any

from providers.script import Asked, Refused, Server, Turn

REQUEST = {"model", "messages", "response_format", "max_completion_tokens", "max_tokens"}

#: Words that a schema may have under ``strict``.
STRICT = {
    "$defs", "$ref", "type", "format", "title", "description", "enum", "const", "items", "minItems", "maxItems",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern", "anyOf", "properties",
    "additionalProperties", "required",
}  # fmt: skip

FINISH = {"done": "stop", "cut": "length", "blocked": "content_filter", "refused": "stop", "malformed": "tool_calls"}


class OpenAIServer(Server):
    """``knows``: the response formats that it takes; ``ignores``: it takes all of them and does nothing about it.

    ``limits``: what it calls the limit of an answer.
    """

    knows = frozenset({"json_schema", "json_object"})
    limits = frozenset({"max_completion_tokens"})
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
            masked = f"{key[7:10]}{'*' * 20}{key[-4:]}"  # as OpenAI does it
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
            asked.messages.append((message["role"], message["content"]))
        for name in ("max_completion_tokens", "max_tokens"):
            if name in body and name not in self.limits:
                other = next(iter(self.limits), "nothing")
                words = f"Unsupported parameter: '{name}' is not supported with this model. Use '{other}' instead."
                raise Refused(400, words, "unsupported_parameter")
            asked.limit = body.get(name, asked.limit)
        self._format(asked, body.get("response_format", {"type": "text"}))
        return asked

    def _format(self, asked: Asked, wanted: dict[str, Any]) -> None:
        kind = wanted["type"]
        if kind != "text" and kind not in self.knows:
            known = " or ".join(f"'{name}'" for name in sorted({*self.knows, "text"}))
            raise Refused(400, f"'response_format.type' must be {known}")
        if kind == "json_object":
            asked.form = "json"
            if "json" not in asked.prompt.lower():
                words = "'messages' must contain the word 'json' in some form, to use 'response_format' of type"
                raise Refused(400, f"{words} 'json_object'.")
        if kind == "json_schema":
            described = wanted["json_schema"]
            asked.form, asked.schema = "schema", described["schema"]
            if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", described["name"]):
                raise Refused(400, "Invalid 'response_format.json_schema.name'")
            if described.get("strict"):
                if asked.schema and asked.schema.get("type") != "object":
                    raise Refused(
                        400, "Invalid schema for response_format 'answer': schema must be a JSON Schema of type object"
                    )
                _check(asked.schema)

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


def _check(schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    wrong = "Invalid schema for response_format 'answer': "
    for word, value in schema.items():
        if word not in STRICT:
            raise Refused(400, f"{wrong}'{word}' is not permitted.")
        if word == "items":
            _check(value)
        for part in value if word == "anyOf" else ():
            _check(part)
        for part in value.values() if word in ("properties", "$defs") else ():
            _check(part)
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise Refused(400, f"{wrong}'additionalProperties' is required to be supplied and to be false.")
        if set(schema.get("required", ())) != set(schema.get("properties", ())):
            raise Refused(400, f"{wrong}'required' is required to be supplied and to have every key in properties.")
