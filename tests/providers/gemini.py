"""Gemini's REST: ``POST /v1beta/models/{model}:generateContent``.

Requests and answers as https://ai.google.dev/api/generate-content has them (GenerateContentRequest, GenerationConfig,
GenerateContentResponse, FinishReason, BlockReason, UsageMetadata); errors as
https://ai.google.dev/gemini-api/docs/troubleshooting and google.rpc.Status (https://google.aip.dev/193) have them:
a wrong key is a 400 with API_KEY_INVALID, no key a 403.
"""

from __future__ import annotations

import re
from typing import Any

from providers.script import Asked, Refused, Server, Turn

STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip

#: Fields that we may send; all others are an error here, as they would be there if they were misspelt.
REQUEST = {"contents", "systemInstruction", "generationConfig", "store"}
CONFIG = {"responseMimeType", "responseJsonSchema", "maxOutputTokens"}

#: The words of ``responseJsonSchema``.
SCHEMA = {
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems",
    "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required",
}  # fmt: skip

FINISH = {"done": "STOP", "cut": "MAX_TOKENS", "blocked": "SAFETY", "malformed": "MALFORMED_FUNCTION_CALL"}


class GeminiServer(Server):
    """``knows``: forms of structured output; less than all where a schema is beyond it."""

    knows = frozenset({"schema", "json"})
    default_model = "gemini-3.8-flash"

    @property
    def settings(self) -> dict[str, str]:
        return {"GEMINI_BASE_URL": f"http://{self.host}", "GEMINI_API_KEY": self.key}

    def read(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Asked:
        found = re.fullmatch(r"/v1beta/models/([^/:]+):generateContent", path)
        if not found:
            raise Refused(404, "Requested entity was not found.")
        if not headers.get("x-goog-api-key"):
            raise Refused(403, "Method doesn't allow unregistered callers. Please use API Key.")
        if headers["x-goog-api-key"] != self.key:
            raise Refused(400, "API key not valid. Please pass a valid API key.", "API_KEY_INVALID")
        if self.models and found[1] not in self.models:
            raise Refused(404, f"models/{found[1]} is not found for API version v1beta.")
        _only(body, REQUEST, "")
        config = body.get("generationConfig", {})
        _only(config, CONFIG, "generation_config")
        asked = Asked(headers, body, found[1], headers["x-goog-api-key"], limit=config.get("maxOutputTokens"))
        if "systemInstruction" in body:
            asked.messages.append(("system", _text(body["systemInstruction"])))
        if not body.get("contents"):
            raise Refused(400, "* GenerateContentRequest.contents: contents is not specified")
        for content in body["contents"]:
            if content.get("role") not in ("user", "model"):
                raise Refused(400, "Please use a valid role: user, model.")
            asked.messages.append(({"user": "user", "model": "assistant"}[content["role"]], _text(content)))
        if config.get("responseMimeType") == "application/json":
            asked.form = "json"
        if "responseJsonSchema" in config:
            if asked.form != "json":
                raise Refused(400, "Function calling config is set without a response mime type: application/json")
            asked.form, asked.schema = "schema", config["responseJsonSchema"]
            _check(asked.schema)
        if asked.form != "text" and asked.form not in self.knows:
            words = "The specified schema produces a constraint that has too many states for serving."
            raise Refused(400, words if asked.form == "schema" else "JSON mode is not enabled for this model")
        return asked

    def success(self, asked: Asked, turn: Turn) -> dict[str, Any]:
        answer: dict[str, Any] = {"modelVersion": asked.model, "responseId": "r1", "candidates": []}
        if turn.tokens:
            had, gave, thought = turn.tokens
            total = had + gave + thought
            counts = {"promptTokenCount": had, "candidatesTokenCount": gave, "thoughtsTokenCount": thought}
            answer["usageMetadata"] = {**counts, "totalTokenCount": total, "serviceTier": "standard"}
        if turn.finish == "prompt blocked":
            return {**answer, "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
        if turn.fault == "nothing":
            return answer
        parts: list[dict[str, Any]] = [{"text": turn.thought, "thought": True}] if turn.thought else []
        if turn.finish in ("done", "cut"):
            parts.append({"text": turn.said, "thoughtSignature": "c2lnbmF0dXJl"})
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if not parts:
            del candidate["content"]
        candidate["finishReason"] = FINISH.get(turn.finish, "SAFETY")
        if turn.finish == "malformed":
            candidate["finishMessage"] = "Malformed function call: print(1)"
        return {**answer, "candidates": [candidate]}

    def failure(self, status: int, words: str, code: str, turn: Turn) -> tuple[dict[str, Any], dict[str, str]]:
        details: list[dict[str, Any]] = []
        headers: dict[str, str] = {}
        if code:
            details.append(
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code, "domain": "googleapis.com"}
            )
        if isinstance(turn.retry_after, str):
            headers["Retry-After"] = turn.retry_after
        elif turn.retry_after is not None:
            kind = "type.googleapis.com/google.rpc.QuotaFailure"
            details.append({"@type": kind, "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]})
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            details.append({"@type": kind, "retryDelay": f"{turn.retry_after:g}s"})
        error = {"code": status, "message": words, "status": STATUS.get(status, "UNKNOWN"), "details": details}
        return {"error": error}, headers


def _only(body: dict[str, Any], known: set[str], where: str) -> None:
    for name in body:
        if name not in known:
            at = f" at '{where}'" if where else ""
            raise Refused(400, f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.')


def _text(content: dict[str, Any]) -> str:
    parts = content.get("parts")
    if not parts or any(set(part) != {"text"} or not isinstance(part["text"], str) for part in parts):
        raise Refused(400, "* GenerateContentRequest.contents.parts: must be texts")
    return "".join(part["text"] for part in parts)


def _check(schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    for word, value in schema.items():
        if word not in SCHEMA:
            raise Refused(400, f"Unknown name \"{word}\" at 'generation_config.response_json_schema'")
        if word == "enum" and any(isinstance(one, bool) or not isinstance(one, (str, int, float)) for one in value):
            raise Refused(400, "response_json_schema: enum is for strings and numbers")
        if word == "$ref" and any(not name.startswith("$") for name in schema):
            raise Refused(400, "response_json_schema: nothing may be beside $ref")
        if word in ("items", "additionalProperties"):
            _check(value)
        for part in value if word in ("anyOf", "oneOf", "prefixItems") else ():
            _check(part)
        for part in value.values() if word in ("properties", "$defs") else ():
            _check(part)
