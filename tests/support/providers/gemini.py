"""Gemini's REST: ``POST /v1beta/models/{model}:generateContent`` and ``:streamGenerateContent``.

Requests and answers follow https://ai.google.dev/api/generate-content (GenerateContentRequest, GenerationConfig,
GenerateContentResponse, FinishReason, BlockReason, UsageMetadata). Errors follow
https://ai.google.dev/gemini-api/docs/troubleshooting and google.rpc.Status (https://google.aip.dev/193). A wrong key
gets a 400 with API_KEY_INVALID, and a missing key gets a 403.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from pydantic.alias_generators import to_camel

from tests.support.providers.script import Asked, Refused, Server, Turn, event, pieces

STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip

#: Fields that the orchestrator may send. Any other field is an error, as a misspelt field is at the provider.
REQUEST = {"contents", "systemInstruction", "generationConfig", "store"}
CONFIG = {"maxOutputTokens", "temperature"}

FINISH = {"done": "STOP", "cut": "MAX_TOKENS", "blocked": "SAFETY", "malformed": "MALFORMED_FUNCTION_CALL"}


class GeminiServer(Server):
    """Gemini's server. ``lacks`` are the parts of a request that it rejects."""

    lacks: frozenset[str] = frozenset()
    default_model = "gemini-3.8-flash"

    @property
    def settings(self) -> dict[str, str]:
        return {"GEMINI_BASE_URL": f"http://{self.host}", "GEMINI_API_KEY": self.key}

    def read(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Asked:
        found = re.fullmatch(r"/v1beta/models/([^/:]+):(generateContent|streamGenerateContent\?alt=sse)", path)
        if not found or ("stream" in self.lacks and found[2] != "generateContent"):
            raise Refused(404, f"Requested entity was not found: {path}.")
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
        asked.stream = found[2] != "generateContent"
        asked.temperature = config.get("temperature")
        if asked.temperature is not None and "temperature" in self.lacks:
            raise Refused(400, "temperature is not supported by this model.")
        if "systemInstruction" in body:
            asked.messages.append(("system", self._text(asked, body["systemInstruction"])))
        if not body.get("contents"):
            raise Refused(400, "* GenerateContentRequest.contents: contents is not specified")
        for content in body["contents"]:
            if content.get("role") not in ("user", "model"):
                raise Refused(400, "Please use a valid role: user, model.")
            asked.messages.append(({"user": "user", "model": "assistant"}[content["role"]], self._text(asked, content)))
        return asked

    def _text(self, asked: Asked, content: dict[str, Any]) -> str:
        texts = []
        for part in content.get("parts") or []:
            if set(part) == {"text"} and isinstance(part["text"], str):
                texts.append(part["text"])
            elif set(part) == {"inlineData"} and "pictures" not in self.lacks:
                data = {
                    to_camel(name): value for name, value in part["inlineData"].items()
                }  # proto3's JSON accepts both spellings
                asked.pictures.append((data["mimeType"], base64.urlsafe_b64decode(data["data"])))
            else:
                raise Refused(400, "Image input modality is not enabled for this model.")
        if not texts:
            raise Refused(400, "* GenerateContentRequest.contents.parts: must be texts")
        return "\n".join(texts)

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

    def events(self, asked: Asked, turn: Turn, answer: dict[str, Any]) -> list[bytes]:
        if not answer.get("candidates"):
            return [event(answer)]
        [candidate] = answer["candidates"]
        head = {"modelVersion": asked.model, "responseId": "r1"}
        events = []
        for part in candidate.get("content", {}).get("parts", []):
            for piece in pieces(part["text"]):
                content = {"parts": [{**part, "text": piece}], "role": "model"}
                events.append(event({**head, "candidates": [{"content": content, "index": 0}]}))
        last = {**candidate, "content": {"parts": [{"text": ""}], "role": "model"}}
        return [*events, event({**answer, "candidates": [last]})]

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
