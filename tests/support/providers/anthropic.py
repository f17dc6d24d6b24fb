"""Anthropic's ``POST /v1/messages``.

The server follows these pages:

- requests and answers: https://platform.claude.com/docs/en/api/messages
- events of a stream: https://platform.claude.com/docs/en/build-with-claude/streaming
- errors: https://platform.claude.com/docs/en/api/errors
- marks of prompt caching: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from __future__ import annotations

import base64
from typing import Any

from tests.support.providers.script import Asked, Refused, Server, Turn, event, pieces

KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error",
    529: "overloaded_error",
}  # fmt: skip

#: Fields that the orchestrator may send. Any other field is an error, as a misspelt field is at the provider.
REQUEST = {"model", "messages", "system", "max_tokens", "stream"}

FINISH = {"done": "end_turn", "cut": "max_tokens", "malformed": "tool_use"}

#: Maximum marks of prompt caching in a request.
MARKS = 4


class AnthropicServer(Server):
    """Anthropic's server. ``lacks`` are the parts of a request that it rejects."""

    lacks: frozenset[str] = frozenset()
    default_model = "claude-sonnet-5-5"

    @property
    def settings(self) -> dict[str, str]:
        return {"ANTHROPIC_BASE_URL": f"http://{self.host}", "ANTHROPIC_API_KEY": self.key}

    def read(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Asked:
        if path != "/v1/messages":
            raise Refused(404, "Not Found")
        if headers.get("anthropic-version") != "2026-10-21":
            raise Refused(400, "anthropic-version: header is required")
        if headers.get("authorization") != f"Bearer {self.key}":
            raise Refused(401, "invalid bearer token")
        for name in body:
            if name not in REQUEST:
                raise Refused(400, f"{name}: Extra inputs are not permitted")
        if "max_tokens" not in body:
            raise Refused(400, "max_tokens: Field required")
        if self.models and body["model"] not in self.models:
            raise Refused(404, f"model: {body['model']}")
        asked = Asked(headers, body, body["model"], self.key, limit=body["max_tokens"])
        asked.stream = body.get("stream", False)
        if asked.stream and "stream" in self.lacks:
            raise Refused(400, "stream: this gateway cannot stream")
        marks: list[Any] = []
        if "system" in body:
            asked.messages.append(("system", self._text(asked, body["system"], marks)))
        for message in body["messages"]:
            if message["role"] not in ("user", "assistant"):
                raise Refused(400, "messages: Unexpected role")
            asked.messages.append((message["role"], self._text(asked, message["content"], marks)))
        if len(marks) > MARKS:
            raise Refused(400, f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
        return asked

    def _text(self, asked: Asked, content: list[dict[str, Any]], marks: list[Any]) -> str:
        texts = []
        for block in content:
            if "cache_control" in block:
                if "cache_control" in self.lacks:
                    raise Refused(400, "cache_control: Extra inputs are not permitted")
                marks.append(block["cache_control"])
            if block["type"] == "text":
                texts.append(block["text"])
            elif block["type"] == "image" and "pictures" not in self.lacks:
                data = base64.b64decode(block["source"]["data"], validate=True)
                asked.pictures.append((block["source"]["media_type"], data))
            else:
                raise Refused(400, "messages: image content is not supported by this model")
        return "\n".join(texts)

    def success(self, asked: Asked, turn: Turn) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if turn.thought:
            content.append({"type": "thinking", "thinking": turn.thought, "signature": "c2lnbmF0dXJl"})
        if turn.finish in ("done", "cut", "refused"):
            content.append({"type": "text", "text": turn.said})
        answer: dict[str, Any] = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": asked.model,
            "content": [] if turn.fault == "nothing" else content,
            "stop_reason": FINISH.get(turn.finish, "refusal"), "stop_sequence": None, "usage": {},
        }  # fmt: skip
        if turn.tokens:
            had, gave, thought = turn.tokens
            answer["usage"] = {
                "input_tokens": had - had // 2, "cache_read_input_tokens": had // 2, "cache_creation_input_tokens": 0,
                "output_tokens": gave + thought,
            }  # fmt: skip
        return answer

    def events(self, asked: Asked, turn: Turn, answer: dict[str, Any]) -> list[bytes]:
        message = {**answer, "content": [], "stop_reason": None, "usage": {**answer["usage"]}}
        if answer["usage"]:
            message["usage"]["output_tokens"] = 1
        found: list[dict[str, Any]] = [{"type": "message_start", "message": message}, {"type": "ping"}]
        for index, block in enumerate(answer["content"]):
            name = "thinking" if block["type"] == "thinking" else "text"
            found.append({"type": "content_block_start", "index": index, "content_block": {**block, name: ""}})
            for piece in pieces(block[name]):
                delta = {"type": f"{name}_delta", name: piece}
                found.append({"type": "content_block_delta", "index": index, "delta": delta})
            if name == "thinking":
                delta = {"type": "signature_delta", "signature": block["signature"]}
                found.append({"type": "content_block_delta", "index": index, "delta": delta})
            found.append({"type": "content_block_stop", "index": index})
        used = {"output_tokens": answer["usage"]["output_tokens"]} if answer["usage"] else {}
        delta = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
        found.append({"type": "message_delta", "delta": delta, "usage": used})
        found.append({"type": "message_stop"})
        return [event(one, one["type"]) for one in found]

    def failure(self, status: int, words: str, code: str, turn: Turn) -> tuple[dict[str, Any], dict[str, str]]:
        headers = {"request-id": "req_1"}
        if turn.retry_after is not None:
            headers["Retry-After"] = str(turn.retry_after)
        error = {"type": KINDS.get(status, "api_error"), "message": words}
        return {"type": "error", "error": error, "request_id": "req_1"}, headers
