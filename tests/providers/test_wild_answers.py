"""Answers as servers in the field send them: odd, wrapped, broken or in an error's words.

Each row is an answer that a server of the provider's protocol gives to the provider's own SDK. An answer with a text is
read. A broken answer is asked for again. A lasting error ends the question at the first call.
"""

from __future__ import annotations

import gzip
import json
import re
import time
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, NamedTuple

import brotli
import pytest

from orchestrator import errors
from orchestrator.llm import tool_calls
from orchestrator.llm.base import Provider
from tests.support.asker import KEY, QUESTION, SAID, SERVERS, Asker
from tests.support.providers import Asked, OpenAIServer, Server, Turn
from tests.support.providers.script import Refused

JSON, STREAM = {"Content-Type": "application/json"}, {"Content-Type": "text/event-stream"}

#: An answer with a plan, and a draft of it.
PLAN = "I count.\n\n### run\n```bash\necho 2\n```\n"
DRAFT = "### run\n```bash\necho draft\n```\n"

#: The server's behaviour at the second call.
AGAIN = Turn(text=SAID)


class Row(NamedTuple):
    """A server's answers to the first calls, and the text that comes out of them."""

    name: str
    kind: str
    turns: list[Turn]
    text: str
    calls: int = 1
    finish: str = "done"


class Wrong(NamedTuple):
    """A server's answer that ends a question at once, with the words of the error."""

    name: str
    kind: str
    turn: Turn
    error: type[errors.ModelError]
    words: tuple[str, ...]


def raw(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Turn:
    data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Turn(raw=(status, {**JSON, **(headers or {})}, data))


def sse(*events: Any, headers: dict[str, str] | None = None) -> Turn:
    """A stream: strings as they are, and each other value as the data of an event."""
    parts = [one if isinstance(one, str) else f"data: {json.dumps(one)}\n\n" for one in events]
    return raw("".join(parts), 200, {**STREAM, **(headers or {})})


# ── OpenAI's protocol ────────────────────────────────────────────────────────────────────────────────────────────────


def chat(finish: Any = "stop", more: dict[str, Any] | None = None, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **(more or {})}


def chunk(finish: Any = None, more: dict[str, Any] | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **(more or {})}


def call(name: str, arguments: Any) -> list[dict[str, Any]]:
    return [{"id": "c", "type": "function", "index": 0, "function": {"name": name, "arguments": arguments}}]


OVER = "data: [DONE]\n\n"
BODY = json.dumps(chat(content=PLAN)).encode()
TEXT_PART = {"type": "text", "text": PLAN}
STEPS = '{"steps": [{"kind": "shell", "script": "echo 2"}]}'
RUN = "### run\n```bash\necho 2\n```"
half = len(PLAN) // 2
DEFLATE = zlib.compressobj(wbits=-15)
RAW_DEFLATE = DEFLATE.compress(BODY) + DEFLATE.flush()
SMILE = "A 😀.\n\n```bash\necho 😀\n```\n"
SMILES = json.dumps(SMILE)[1:-1].split("\\ude00", 1)

OPENAI = [
    # content in parts
    ("a list of parts", [raw(chat(content=[{"type": "text", "text": PLAN[:half]}, {"text": PLAN[half:]}]))], PLAN),
    ("a part as an object", [raw(chat(content=TEXT_PART))], PLAN),
    ("parts of output_text", [raw(chat(content=[{"type": "output_text", "text": PLAN}]))], PLAN),
    ("strings as parts", [raw(chat(content=[PLAN[:half], PLAN[half:]]))], PLAN),
    (
        "Mistral's part with reasoning",
        [raw(chat(content=[{"type": "thinking", "thinking": [{"type": "text", "text": DRAFT}]}, TEXT_PART]))],
        PLAN,
    ),
    ("a part of type reasoning", [raw(chat(content=[{"type": "reasoning", "text": DRAFT}, TEXT_PART]))], PLAN),
    (
        "Mistral's parts in a stream",
        [
            sse(
                chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": DRAFT}]}]),
                chunk(content=[{"type": "text", "text": PLAN}]), chunk("stop", content=""), OVER,
            )
        ],
        PLAN,
    ),
    # one odd field
    *(
        (f"odd field {more}", [raw(chat(content=PLAN, more=more))], PLAN)
        for more in (
            {"usage": [1]}, {"usage": "n/a"}, {"usage": {"prompt_tokens": "7", "completion_tokens": -1}},
            {"usage": {"prompt_tokens": 1e300, "completion_tokens": [1]}}, {"error": "none"}, {"error": ""},
            {"error": {}}, {"error": "ok"}, {"created": 1.5}, {"created": "now"}, {"model": None}, {"model": {"a": 1}},
            {"id": None, "object": None}, {"choices_count": "1"}, {"detail": "cached"},
        )
    ),
    ("usage of NaN", [raw(json.dumps(chat(content=PLAN, more={"usage": {"prompt_tokens": float("nan")}})))], PLAN),
    ("usage of Infinity", [raw(json.dumps(chat(content=PLAN, more={"usage": {"prompt_tokens": float("inf")}})))], PLAN),
    ("an integer as reason", [raw(chat(0, content=PLAN))], PLAN),
    ("a reason of another name", [raw(chat("eos_token", content=PLAN))], PLAN),
    ("no index and no role", [raw({"choices": [{"message": {"content": PLAN}}]})], PLAN),
    ("choices of a completion", [raw({"choices": [{"text": PLAN, "finish_reason": "stop"}]})], PLAN),
    ("a reason of null in words", [sse(chunk("null", content=PLAN), chunk("stop"), OVER)], PLAN),
    ("an error beside an answer", [sse(chunk(content=PLAN), chunk("stop", more={"error": "none"}), OVER)], PLAN),
    ("an error after an answer", [sse(chunk(content=PLAN), chunk("stop"), {"error": {"message": "late"}})], PLAN),
    ("MAX_TOKENS is a length limit", [raw(chat("MAX_TOKENS", content=PLAN))], PLAN, 1, "cut"),
    ("model_length is a length limit", [raw(chat("model_length", content=PLAN))], PLAN, 1, "cut"),
    # shapes of a body
    ("JSON with a wrong Content-Type", [raw(BODY, 200, {"Content-Type": "text/html"})], PLAN),
    ("JSON as application/octet-stream", [raw(BODY, 200, {"Content-Type": "application/octet-stream"})], PLAN),
    ("JSON as an event stream", [raw(BODY, 200, STREAM)], PLAN),
    ("a stream as JSON", [sse(chunk(content=PLAN), chunk("stop"), OVER, headers=JSON)], PLAN),
    ("white space before JSON", [raw(b"\n\n  \n" + BODY)], PLAN),
    ("a mark of the byte order before JSON", [raw(b"\xef\xbb\xbf" + BODY)], PLAN),
    ("JSON in a list", [raw([chat(content=PLAN)])], PLAN),
    ("real line ends in JSON", [raw(json.dumps(chat(content=PLAN)).replace("\\n", "\n"))], PLAN),
    ("words after JSON", [raw(BODY + b"\n<!-- served by a proxy -->")], PLAN),
    ("JSON lines", [raw("\n".join(map(json.dumps, (chunk(content=PLAN), chunk("stop")))))], PLAN),
    ("gzip", [raw(gzip.compress(BODY), 200, {"Content-Encoding": "gzip"})], PLAN),
    ("x-gzip", [raw(gzip.compress(BODY), 200, {"Content-Encoding": "x-gzip"})], PLAN),
    ("gzip without a header", [raw(gzip.compress(BODY))], PLAN),
    ("gzip of a stream", [raw(gzip.compress(f"data: {BODY.decode()}\n\n{OVER}".encode()), 200, STREAM)], PLAN),
    ("deflate", [raw(zlib.compress(BODY), 200, {"Content-Encoding": "deflate"})], PLAN),
    ("deflate without its header", [raw(RAW_DEFLATE, 200, {"Content-Encoding": "deflate"})], PLAN),
    ("Brotli", [raw(brotli.compress(BODY), 200, {"Content-Encoding": "br"})], PLAN),
    ("Brotli only by its header", [raw(BODY, 200, {"Content-Encoding": "br"})], PLAN),
    ("half a gzip", [raw(gzip.compress(BODY)[:90], 200, {"Content-Encoding": "gzip"}), AGAIN], SAID, 2),
    # streams
    ("comments", [sse(": OPENROUTER PROCESSING\n\n", chunk(content=PLAN), ":\n\n", chunk("stop"), OVER)], PLAN),
    ("no blank after data", [sse(*(f"data:{json.dumps(one)}\n\n" for one in (chunk(content=PLAN), chunk("stop"))))], PLAN),
    ("CRLF", [sse(*(f"data: {json.dumps(one)}\r\n\r\n" for one in (chunk(content=PLAN), chunk("stop"))))], PLAN),
    ("one line end", [sse(*(f"data: {json.dumps(one)}\n" for one in (chunk(content=PLAN), chunk("stop"))), OVER)], PLAN),
    ("no [DONE]", [sse(chunk(content=PLAN), chunk("stop"))], PLAN),
    ("no line end at the end", [sse(chunk(content=PLAN), f"data: {json.dumps(chunk('stop'))}")], PLAN),
    ("a mark of the byte order", [sse("\ufeff", chunk(content=PLAN), chunk("stop"), OVER)], PLAN),
    ("empty data", [sse("data: \n\n", "data:\n\n", chunk(content=PLAN), "data: \n\n", chunk("stop"), OVER)], PLAN),
    ("a word as data", [sse("data: ping\n\n", chunk(content=PLAN), 'data: "ping"\n\n', chunk("stop"), OVER)], PLAN),
    ("an event of its own", [sse("event: ping\n", {"type": "ping"}, chunk(content=PLAN), chunk("stop"), OVER)], PLAN),
    ("ids and retries", [sse("id: 1\nretry: 5\n", chunk(content=PLAN), "id: 2\n", chunk("stop"), OVER)], PLAN),
    ("a piece without choices", [sse({"id": "1", "object": "x"}, chunk(content=PLAN), chunk("stop"), OVER)], PLAN),
    ("no choices for filters", [sse({"choices": [], "prompt_filter_results": []}, chunk("stop", content=PLAN))], PLAN),
    ("usage alone", [sse(chunk(content=PLAN), chunk("stop"), {"usage": {"prompt_tokens": 1}}, OVER)], PLAN),
    ("choices of null", [sse(chunk(content=PLAN), chunk("stop"), {"choices": None, "usage": {}}, OVER)], PLAN),
    ("delta of null", [sse(chunk(content=PLAN), {"choices": [{"delta": None, "finish_reason": "stop"}]}, OVER)], PLAN),
    ("no index", [sse({"choices": [{"delta": {"content": PLAN}}]}, {"choices": [{"finish_reason": "stop"}]})], PLAN),
    ("the whole text again", [sse(chunk(content=PLAN), chat(content=PLAN), OVER)], PLAN),
    ("one message as an event", [sse(chat(content=PLAN), OVER)], PLAN),
    (
        "a character in two halves",
        [raw(f'data: {json.dumps(chunk(content="@"))}\n\n'.replace("@", SMILES[0]).encode()
             + f'data: {json.dumps(chunk("stop", content="@"))}\n\n'.replace("@", "\\ude00" + SMILES[1]).encode())],
        SMILE,
    ),
    ("half a character", [raw(BODY.replace(b"I count.", b"\\ud83d I."))], PLAN.replace("I count.", "\ufffd I.")),
    # asked again
    ("an empty body", [raw(b""), AGAIN], SAID, 2),
    ("an empty object", [raw({}), AGAIN], SAID, 2),
    ("no choices", [raw({"choices": [], "usage": {}}), AGAIN], SAID, 2),
    ("choices of null in a body", [raw({"choices": None}), AGAIN], SAID, 2),
    ("no message", [raw({"choices": [{"index": 0, "finish_reason": "stop"}]}), AGAIN], SAID, 2),
    ("half a JSON", [raw(BODY[:-40]), AGAIN], SAID, 2),
    ("half a JSON in a stream", [sse(chunk(content="a"), 'data: {"choices": [{"del'), AGAIN], SAID, 2),
    ("content of null", [raw(chat(content=None)), AGAIN], SAID, 2),
    ("only [DONE]", [sse(OVER), AGAIN], SAID, 2),
    ("only comments", [sse(": one\n\n", ": two\n\n"), AGAIN], SAID, 2),
    ("finish_reason error", [raw(chat("error", content="I beg")), AGAIN], SAID, 2),
    ("finish_reason abort", [sse(chunk(content="I beg"), chunk("abort"), OVER), AGAIN], SAID, 2),
    ("no capacity", [raw(chat("insufficient_system_resource", content="I")), AGAIN], SAID, 2),
    ("an error in a choice", [raw({"choices": [{"error": {"code": 502, "message": "Upstream"}}]}), AGAIN], SAID, 2),
    ("an error of null with nothing", [raw({"error": None}), AGAIN], SAID, 2),
    ("an error as text", [raw({"error": "Upstream overloaded"}), AGAIN], SAID, 2),
    ("an error's code as text", [raw({"error": {"code": "502", "message": "Upstream"}}), AGAIN], SAID, 2),
    ("an error of a gateway", [raw({"code": 500, "msg": "busy", "success": False}), AGAIN], SAID, 2),
    ("a detail", [raw({"detail": "Internal error"}), AGAIN], SAID, 2),
    ("an error in a stream", [sse(chunk(content="a"), {"error": {"message": "Overloaded"}}), AGAIN], SAID, 2),
    ("an error event", [sse(chunk(content="a"), "event: error\n", {"message": "Overloaded"}), AGAIN], SAID, 2),
    ("an error event in words", [sse(chunk(content="a"), "event: error\ndata: out of memory\n\n"), AGAIN], SAID, 2),
    ("an error at first in a stream", [sse({"error": {"message": "x", "type": "server_error"}}), AGAIN], SAID, 2),
    ("plain JSON in a stream", [sse(chunk(content="a"), '{"error": {"message": "Overloaded"}}\n'), AGAIN], SAID, 2),
    ("vLLM's old error", [sse(chunk(content="a"), {"object": "error", "message": "x", "code": 500}), AGAIN], SAID, 2),
    ("a page of a proxy", [raw("<html><title>502 Bad Gateway</title>", 502, {"Content-Type": "text/html"}), AGAIN], SAID, 2),
    ("a model that loads", [raw({"error": "Model m is currently loading", "estimated_time": 20}, 503), AGAIN], SAID, 2),
    ("a stream that ends without a reason", [sse(chunk(content="I beg"), OVER), AGAIN], SAID, 2),
    ("a server that never gives a reason", [sse(chunk(content=PLAN), OVER)] * 2, PLAN, 2, "cut"),
    # reasoning in a field of its own
    *(
        (f"reasoning in {name}", [raw(chat(content=PLAN, **{name: value}))], PLAN)
        for name, value in (
            ("reasoning_content", DRAFT), ("reasoning", DRAFT), ("thinking", DRAFT), ("reasoning", {"content": DRAFT}),
            ("reasoning_details", [{"type": "reasoning.text", "text": DRAFT}]),
        )
    ),
    ("only reasoning", [raw(chat(content=None, reasoning_content=f"Hm, wait. {DRAFT}")), AGAIN], SAID, 2),
    ("only reasoning, of Ollama", [raw(chat(content="", reasoning=f"Hm, wait. {DRAFT}")), AGAIN], SAID, 2),
    ("an answer behind a mark in the reasoning", [raw(chat(content=None, reasoning_content=f"{DRAFT}</think>{PLAN}"))], PLAN),
    ("an answer that its server takes for reasoning", [raw(chat(content=None, reasoning_content=PLAN))] * 2, PLAN, 2),
    ("a mark left in the content", [raw(chat(content=f"</think>\n\n{PLAN}", reasoning_content=DRAFT))], PLAN),
    # calls of tools
    ("a plan in a call", [raw(chat("tool_calls", content=None, tool_calls=call("plan", STEPS)))], STEPS),
    ("an object as arguments", [raw(chat("stop", content="", tool_calls=call("plan", json.loads(STEPS))))], STEPS),
    ("an answer in a call", [raw(chat("tool_calls", content=None, tool_calls=call("a", json.dumps({"answer": PLAN}))))], PLAN),
    ("a command in a call", [raw(chat("tool_calls", content=None, tool_calls=call("bash", '{"command": "echo 2"}')))], RUN),
    ("words of a command", [raw(chat(tool_calls=call("exec", '{"cmd": ["bash", "-lc", "echo 2"]}')))], RUN),
    ("Python in a call", [raw(chat(tool_calls=call("python", "print(2)")))], "### run\n```python\nprint(2)\n```"),
    (
        "a file in a call",
        [raw(chat(tool_calls=call("write_file", json.dumps({"path": "a.md", "content": "```\nx\n```"}))))],
        "### file a.md\n````md\n```\nx\n```\n````",
    ),
    ("a call beside words", [raw(chat("tool_calls", content="I run.", tool_calls=call("sh", '{"cmd": "echo 2"}')))], f"I run.\n\n{RUN}"),
    ("a call beside a plan", [raw(chat("stop", content=PLAN, tool_calls=call("sh", '{"cmd": "echo 3"}')))], PLAN),
    (
        "a call in pieces",
        [
            sse(
                chunk(tool_calls=call("bash", "")), chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"cmd": '}}]),
                chunk(tool_calls=[{"index": 0, "function": {"arguments": '"echo 2"}'}}]), chunk("tool_calls"), OVER,
            )
        ],
        RUN,
    ),
    ("function_call", [raw(chat("function_call", content=None, function_call={"name": "sh", "arguments": '{"cmd": "echo 2"}'}))], RUN),
    ("half a call", [raw(chat("tool_calls", content=None, tool_calls=call("bash", '{"cmd": "ech'))), AGAIN], SAID, 2),
    ("a call in the text", [raw(chat(content='<tool_call>\n{"name": "sh", "arguments": {"cmd": "echo 2"}}\n</tool_call>'))], RUN),
    ("Mistral's call in the text", [raw(chat(content='[TOOL_CALLS][{"name": "sh", "arguments": {"cmd": "echo 2"}}]'))], RUN),
    ("Llama's call in the text", [raw(chat(content="<|python_tag|>print(2)"))], "### run\n```python\nprint(2)\n```"),
    *(
        (f"a call in the text {at}", [raw(chat(content=text))], RUN)
        for at, text in enumerate(
            (
                "<tool_call>\n<function=bash>\n<parameter=command>\necho 2\n</parameter>\n</function>\n</tool_call>",
                '<function_calls>\n<invoke name="bash">\n<parameter name="command">echo 2</parameter>\n</invoke>\n</function_calls>',
                "<tool_call>bash\n<arg_key>command</arg_key>\n<arg_value>echo 2</arg_value>\n</tool_call>",
                '<|tool_calls_section_begin|><|tool_call_begin|>functions.bash:0<|tool_call_argument_begin|>{"command": "echo 2"}<|tool_call_end|><|tool_calls_section_end|>',
                '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>bash\n```json\n{"command": "echo 2"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
            )
        )
    ),
    (
        "a file with fences in a call in the text",
        [raw(chat(content="<function=write_file>\n<parameter=path>\na.md\n</parameter>\n<parameter=content>\n```\nx\n```\n</parameter>\n</function>"))],
        "### file a.md\n````md\n```\nx\n```\n````",
    ),
    ("a call in a program", [raw(chat(content="```xml\n<function=bash>\n<parameter=command>rm a</parameter>\n</function>\n```"))], "```xml\n<function=bash>\n<parameter=command>rm a</parameter>\n</function>\n```"),
    ("a call of gpt-oss", [raw(chat(content='<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.bash <|constrain|>json<|message|>{"cmd": "echo 2"}<|call|>'))], RUN),
    ("channels of gpt-oss", [raw(chat(content=f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{PLAN}<|return|>"))], PLAN),
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>{" * 90_000, "<tool_call>" + " " * 1_000_000, "<function=a>" * 90_000, "<invoke name=a>" * 70_000,
        "<function=a><parameter=b>" * 40_000, "<tool_call>a<arg_key>" * 50_000, "[TOOL_CALLS]" + "[" * 1_000_000,
        "<|tool_call_begin|>" * 60_000, "<tool_call>" + "a" * 1_000_000, "<tool_call>{}</tool_call>" * 40_000,
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_no_text_stalls_the_reader_of_calls_by_its_form(text: str) -> None:
    before = time.process_time()
    tool_calls.in_text(text)
    assert time.process_time() - before < 3


# ── Anthropic's and Gemini's protocols ───────────────────────────────────────────────────────────────────────────────


def claude(*content: Any, stop: Any = "end_turn", **more: Any) -> dict[str, Any]:
    return {
        "id": "m", "type": "message", "role": "assistant", "model": "c", "content": list(content), "stop_reason": stop,
        "usage": {"input_tokens": 1, "output_tokens": 1}, **more,
    }  # fmt: skip


def gemini(*parts: Any, finish: Any = "STOP", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": finish, "index": 0}
    return {"candidates": [candidate], "modelVersion": "g", **more}


def frames(*values: dict[str, Any]) -> Turn:
    """The events of Anthropic, which have names."""
    return sse(*(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in values))


CLAUDE_TEXT = {"type": "text", "text": PLAN}
START = {"type": "message_start", "message": claude(stop=None)}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
TEXT_DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": PLAN}}
STOP_DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}

ANTHROPIC = [
    ("a whole message", [raw(claude(CLAUDE_TEXT))], PLAN),
    ("content as text", [raw({**claude(), "content": PLAN})], PLAN),
    ("usage as a list", [raw(claude(CLAUDE_TEXT, usage=[1]))], PLAN),
    ("usage as text", [raw(claude(CLAUDE_TEXT, usage="n/a", model=None))], PLAN),
    ("no stop_reason", [raw(claude(CLAUDE_TEXT, stop=None))], PLAN),
    ("null in the content", [raw(claude(None, CLAUDE_TEXT))], PLAN),
    ("thinking", [raw(claude({"type": "thinking", "thinking": DRAFT}, {"type": "redacted_thinking"}, CLAUDE_TEXT))], PLAN),
    ("thinking in the text", [raw(claude({"type": "text", "text": f"<thinking>{DRAFT}</thinking>\n{PLAN}"}))], PLAN),
    ("a stream with pings", [frames(START, {"type": "ping"}, TEXT_DELTA, STOP_DELTA, {"type": "message_stop"})], PLAN),
    ("a stream with a new event", [frames(START, {"type": "new"}, TEXT_DELTA, STOP_DELTA)], PLAN),
    ("an error after the answer", [frames(START, TEXT_DELTA, STOP_DELTA, OVERLOADED)], PLAN),
    ("gzip", [raw(gzip.compress(json.dumps(claude(CLAUDE_TEXT)).encode()), 200, {"Content-Encoding": "gzip"})], PLAN),
    ("a command in a call", [raw(claude({"type": "tool_use", "name": "bash", "input": {"command": "echo 2"}}, stop="tool_use"))], RUN),
    ("overloaded", [raw(OVERLOADED, 529), AGAIN], SAID, 2),
    ("overloaded in a stream", [frames(START, TEXT_DELTA, OVERLOADED), AGAIN], SAID, 2),
    ("overloaded in a 200", [raw(OVERLOADED), AGAIN], SAID, 2),
    ("empty content", [raw(claude()), AGAIN], SAID, 2),
    ("content of null", [raw({**claude(), "content": None}), AGAIN], SAID, 2),
    ("only thinking", [raw(claude({"type": "thinking", "thinking": f"Hm. {DRAFT}"})), AGAIN], SAID, 2),
    ("pause_turn", [raw(claude(CLAUDE_TEXT, stop="pause_turn")), AGAIN], SAID, 2),
    ("an empty body", [raw(b""), AGAIN], SAID, 2),
    ("half a body", [raw(json.dumps(claude(CLAUDE_TEXT))[:-30]), AGAIN], SAID, 2),
    ("a stream that ends early", [frames(START, TEXT_DELTA), AGAIN], SAID, 2),
    ("a page of a proxy", [raw("<html><title>502 Bad Gateway</title>", 502), AGAIN], SAID, 2),
]  # fmt: skip

GEMINI = [
    ("a stream", [sse(gemini({"text": PLAN[:half]}, finish=None), gemini({"text": PLAN[half:]}))], PLAN),
    ("thoughts", [sse(gemini({"text": DRAFT, "thought": True}, {"text": PLAN}))], PLAN),
    ("thoughts in the text", [sse(gemini({"text": f"<thought>{DRAFT}</thought>{PLAN}"}))], PLAN),
    ("usage as a list", [sse(gemini({"text": PLAN}, usageMetadata=[1])), raw(gemini({"text": PLAN}, usageMetadata=[1]))], PLAN, 2),
    ("usage as text", [sse(gemini({"text": PLAN}, usageMetadata="n/a")), raw(gemini({"text": PLAN}, usageMetadata="n/a"))], PLAN, 2),
    ("no blank after data", [sse(f"data:{json.dumps(gemini({'text': PLAN}))}\n\n"), raw(gemini({"text": PLAN}))], PLAN, 2),
    ("a number as reason", [sse(gemini({"text": PLAN}, finish=1)), raw(gemini({"text": PLAN}, finish=1))], PLAN, 2),
    ("a new field", [sse(gemini({"text": PLAN, "brandNew": 1}, new={"a": 1}))], PLAN),
    ("a command in a call", [sse(gemini({"functionCall": {"name": "bash", "args": {"command": "echo 2"}}}))], RUN),
    ("gzip", [raw(gzip.compress(f"data: {json.dumps(gemini({'text': PLAN}))}\n\n".encode()), 200, {**STREAM, "Content-Encoding": "gzip"})], PLAN),
    ("MAX_TOKENS", [sse(gemini({"text": PLAN}, finish="MAX_TOKENS"))], PLAN, 1, "cut"),
    ("empty candidates", [sse({"candidates": [], "usageMetadata": {"promptTokenCount": 5}}), AGAIN], SAID, 2),
    ("no candidates", [sse({"usageMetadata": {"promptTokenCount": 5}}), AGAIN], SAID, 2),
    ("STOP with no parts", [sse({"candidates": [{"content": {"role": "model"}, "finishReason": "STOP"}]}), AGAIN], SAID, 2),
    ("an empty part", [sse(gemini({"text": ""})), AGAIN], SAID, 2),
    ("only thoughts", [sse(gemini({"text": f"Hm. {DRAFT}", "thought": True})), AGAIN], SAID, 2),
    ("MALFORMED_FUNCTION_CALL", [sse(gemini(finish="MALFORMED_FUNCTION_CALL")), AGAIN], SAID, 2),
    ("OTHER", [sse(gemini({"text": "I beg"}, finish="OTHER")), AGAIN], SAID, 2),
    ("an empty body", [raw(b""), AGAIN], SAID, 2),
    ("half a body", [sse(f"data: {json.dumps(gemini({'text': PLAN}))[:-30]}"), AGAIN], SAID, 2),
    ("a stream that ends early", [sse(gemini({"text": "I beg"}, finish=None)), AGAIN], SAID, 2),
    ("an error in a stream", [sse(gemini({"text": "I"}, finish=None), {"error": {"code": 503, "message": "Overloaded"}}), AGAIN], SAID, 2),
    ("a page of a proxy", [raw("<html><title>502 Bad Gateway</title>", 502), AGAIN], SAID, 2),
    ("an error that is a text", [raw('"upstream failed"', 503), AGAIN], SAID, 2),
]  # fmt: skip

ROWS = [
    Row(row[0], kind, *row[1:])  # type: ignore[misc]
    for kind, rows in (("openai", OPENAI), ("anthropic", ANTHROPIC), ("gemini", GEMINI))
    for row in rows
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}: {row.name}")
def test_an_answer_is_read_or_asked_for_again(row: Row) -> None:
    with SERVERS[row.kind](row.turns, KEY) as server:
        one = Asker(server)
        answer = one.ask()
        assert answer.text.strip() == one.shown.strip() == row.text.strip()
        assert (answer.finish, len(server.asked)) == (row.finish, row.calls)


# ── errors that stay ─────────────────────────────────────────────────────────────────────────────────────────────────

LATER = datetime.now(UTC) + timedelta(hours=5)
QUOTA = {"@type": "type.googleapis.com/google.rpc.QuotaFailure"}
MINUTE = {**QUOTA, "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}
DAY = {**QUOTA, "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}
EXCEEDED = "You exceeded your current quota, please check your plan and billing details."


def google(status: int, message: str, *details: Any, word: str = "RESOURCE_EXHAUSTED") -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": word, "details": list(details)}}


def said(status_: int, message: str, **more: Any) -> Turn:
    return raw({"error": {"message": message, **more}}, status_)


LONG = (
    said(400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.", code="context_length_exceeded"),
    said(400, "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens. Please reduce the length of the messages."),
    said(400, "the request exceeds the available context size. try increasing the context size", type="exceed_context_size_error"),
    said(500, "the request exceeds the available context size. try increasing the context size or enable context shift"),
    said(500, "context length exceeded"),
    raw({"object": "error", "message": "The input (9000 tokens) is longer than the model's context length (4096 tokens).", "code": 400}, 400),
    raw({"error": "Trying to keep the first 9000 tokens when context the overflows. Try a larger context length"}, 400),
    raw({"error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 9000"}, 422),
    said(413, "Request too large for model `m` in organization `o` on tokens per minute (TPM): Limit 6000, Requested 9000", code="rate_limit_exceeded"),
    said(429, "Request too large for m on tokens per min (TPM): Limit 30000, Requested 40000.", type="tokens", code="rate_limit_exceeded"),
    said(400, "Provider returned error", code=400, metadata={"raw": "{\"error\":{\"message\":\"prompt is too long: 9000 tokens > 4096 maximum\"}}"}),
    raw({"error": {"message": "The input token count (9000) exceeds the maximum number of tokens allowed (4096).", "code": 400}}),
    said(400, "litellm.BadRequestError: " + "a word of a proxy, " * 40 + "context length exceeded"),
    raw({"detail": "Prompt has 9000 tokens, more than the context window of 4096"}, 400),
    sse(": a comment\n\n", {"error": {"message": "context size has been exceeded", "code": 500}}),
    sse("event: error\n", {"error": {"message": "The number of tokens to keep from the initial prompt is greater than the context length"}}),
)  # fmt: skip

ACCOUNT = (
    said(429, EXCEEDED, type="insufficient_quota", code="insufficient_quota"),
    said(429, EXCEEDED, type="insufficient_quota", code=None),
    said(402, "Insufficient Balance"),
    said(402, "This request requires more credits, or fewer max_tokens. You requested up to 8000 tokens, but can only afford 900."),
    said(429, "Your account o is suspended, please check your plan and billing details", type="exceeded_current_quota_error"),
    said(403, "Your newly created team doesn't have any credits yet. You can purchase credits on https://console.example."),
    said(429, "Your team has either used all available credits or reached its monthly spending limit."),
    raw({"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."}, 400),
    said(429, "余额不足或无可用资源包,请充值", code="1113"),
    said(400, "Billing hard limit has been reached", code="billing_hard_limit_reached"),
    raw({"error": {"message": "Insufficient credits", "code": 402}}),
)  # fmt: skip

WRONG = [
    *(Wrong(f"too long {at}", "openai", turn, errors.ModelRejected, ("too long",)) for at, turn in enumerate(LONG)),
    *(Wrong(f"no credit {at}", "openai", turn, errors.ModelDenied, ("The account of LLM_API_KEY",)) for at, turn in enumerate(ACCOUNT)),
    *(
        Wrong(f"a quota of the day {at}", "openai", turn, errors.ModelBusy, ("quota", *until))
        for at, (turn, *until) in enumerate(
            (
                (raw([google(429, EXCEEDED, DAY, RETRY)], 429), "until 20"),
                (said(429, "Rate limit reached for model `m` on tokens per day (TPD): Limit 100000, Used 99000. Please try again in 5h0m0.5s.", code="rate_limit_exceeded"), f"until {LATER:%Y-%m-%d %H}:"),
                (said(429, "Rate limit reached for m on requests per day (RPD): Limit 200. Please try again in 7m12s."), "until 20"),
                (said(429, "Rate limit exceeded: free-models-per-day.", metadata={"headers": {"X-RateLimit-Reset": str(int(LATER.timestamp() * 1000))}}), f"until {LATER:%Y-%m-%d %H:%M} UTC"),
                (said(429, "Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 37393 seconds before retrying."), "until 20"),
                (raw({"message": "Requests per day limit exceeded", "code": "request_quota_exceeded"}, 429), "does not say until when"),
                (raw({"error": "you have reached your weekly usage limit"}, 429, {"Retry-After": format_datetime(LATER, usegmt=True)}), f"until {LATER:%Y-%m-%d %H:%M} UTC"),
                (raw({"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-day"}}), "does not say until when"),
            )
        )
    ),
    *(
        Wrong(f"blocked {at}", "openai", turn, errors.ModelRefused, ("does not answer this", ))
        for at, turn in enumerate(
            (
                said(400, "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", code="content_filter"),
                said(400, "Content Exists Risk"),
                raw({"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content."}, 400),
                said(403, "m requires moderation. Your input was flagged for \"violence\"", metadata={"reasons": ["violence"]}),
                said(400, "Your request was rejected as a result of our safety system.", code="content_policy_violation"),
                raw(chat(content=None, refusal="I cannot help with that.")),
                raw(chat(content=[{"type": "refusal", "refusal": "I cannot help with that."}])),
            )
        )
    ),
    Wrong("content_filter", "openai", raw(chat("content_filter", content="I")), errors.ModelRefused, ("blocked",)),
    Wrong("a reason SAFETY", "openai", raw(chat("SAFETY", content="")), errors.ModelRefused, ("blocked",)),
    *(
        Wrong(f"a wrong key {at}", "openai", turn, errors.ModelDenied, ("rejects the key", "Check LLM_API_KEY"))
        for at, turn in enumerate(
            (
                said(401, "Incorrect API key provided."), raw({"detail": "Not authenticated"}, 401),
                raw({"error": "Unauthorized"}, 401), raw("", 401), raw("Forbidden", 403), said(400, "Incorrect API key provided: gs***"),
                raw("<html><title>Just a moment...</title>", 403, {"Content-Type": "text/html"}),
                said(400, "API key not valid. Please pass a valid API key.", status="INVALID_ARGUMENT"),
                raw({"error": {"message": "No auth credentials found", "code": 401}}),
                raw([google(400, "API key not valid.", {"reason": "API_KEY_INVALID"}, word="INVALID_ARGUMENT")], 400),
            )
        )
    ),
    Wrong("a page has its title", "openai", raw("<html><TITLE>Blocked by X</TITLE>", 403), errors.ModelDenied, ("a web page: Blocked by X",)),
    *(
        Wrong(f"no such model {at}", "openai", turn, errors.ModelDenied, ("has no model 'gpt-6-luna'", "Check LLM_MODEL"))
        for at, turn in enumerate(
            (
                raw({"error": 'model "m" not found, try pulling it first'}, 404), raw("404 page not found", 404), raw("", 405),
                said(400, "m is not a valid model ID"), said(400, "The model `m` has been decommissioned", code="model_decommissioned"),
                said(404, "The model `m` does not exist or you do not have access to it.", code="model_not_found"),
                said(403, "Project `p` does not have access to model `m`", code="model_not_found"),
                raw({"error": {"message": "m is not a valid model ID", "code": 400}}),
            )
        )
    ),
    Wrong("a redirect", "openai", raw("", 308, {"Location": "https://other.example/v1"}), errors.ModelDenied, ("(308: it redirects to https://other.example/v1)", "Check LLM_BASE_URL")),
    Wrong("a login page", "openai", raw("<html><title>Sign in</title>", 200, {"Content-Type": "text/html"}), errors.ModelDenied, ("not a model's server",)),
    Wrong("a control character", "openai", said(400, "\x1b[31mbad\x07 request\x1b[0m"), errors.ModelRejected, ("(400: bad request)",)),
    Wrong("another protocol", "openai", raw({"model": "m", "response": "hello", "done": True}), errors.ModelDenied, ("not of OpenAI's protocol",)),
    Wrong("a bomb of gzip", "openai", raw(gzip.compress(b" " * 50_000_000), 200, {"Content-Encoding": "gzip"}), errors.ModelBroken, ("larger than 4 MiB",)),
    Wrong("a bomb of Brotli", "openai", raw(brotli.compress(b" " * 50_000_000, quality=1), 200, {"Content-Encoding": "br"}), errors.ModelBroken, ("larger than 4 MiB",)),
    Wrong("an unknown compression", "openai", raw(b"(\xb5/\xfd123456", 200, {"Content-Encoding": "zstd"}), errors.ModelBroken, ("compressed the answer with zstd",)),
    Wrong("a credit", "anthropic", raw({"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."}}, 400), errors.ModelDenied, ("The account of ANTHROPIC_API_KEY",)),
    Wrong("a limit of the month", "anthropic", raw({"type": "error", "error": {"type": "invalid_request_error", "message": "You have reached your specified API usage limits. You will regain access on 2027-01-01 at 00:00 UTC."}}, 400), errors.ModelDenied, ("2027-01-01",)),
    Wrong("too long", "anthropic", raw({"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}, 400), errors.ModelRejected, ("too long",)),
    Wrong("a key", "anthropic", raw({"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}, 401), errors.ModelDenied, ("rejects the key",)),
    Wrong("refusal", "anthropic", raw(claude(stop="refusal")), errors.ModelRefused, ("blocked",)),
    Wrong("max_tokens", "anthropic", raw(claude({"type": "thinking", "thinking": "Hm."}, stop="max_tokens")), errors.ModelCut, ("length limit",)),
    Wrong("a quota of the day", "gemini", raw([google(429, EXCEEDED, DAY, RETRY)], 429), errors.ModelBusy, ("quota of GEMINI_API_KEY", "until 20")),
    Wrong("too long", "gemini", raw(google(400, "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).", word="INVALID_ARGUMENT"), 400), errors.ModelRejected, ("too long",)),
    Wrong("promptFeedback", "gemini", sse({"promptFeedback": {"blockReason": "SAFETY"}}), errors.ModelRefused, ("SAFETY",)),
    *(
        Wrong(reason, "gemini", sse(gemini({"text": "I"}, finish=reason)), errors.ModelRefused, (reason,))
        for reason in ("SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII")
    ),
    Wrong("MAX_TOKENS", "gemini", sse({"candidates": [{"content": {}, "finishReason": "MAX_TOKENS"}]}), errors.ModelCut, ("length limit",)),
]  # fmt: skip


@pytest.mark.parametrize("row", WRONG, ids=lambda row: f"{row.kind}: {row.name}")
def test_an_error_that_stays_is_told_after_one_call(row: Wrong) -> None:
    with SERVERS[row.kind]([row.turn, AGAIN], KEY) as server:
        Asker(server).fails(row.error, *row.words)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("kind", "turn", "least", "most"),
    [
        ("openai", raw([google(429, EXCEEDED, MINUTE, {**RETRY, "retryDelay": "0.4s"})], 429), 0.4, 0.5),
        ("openai", said(429, "Rate limit reached on tokens per min (TPM): Limit 6000. Please try again in 300ms."), 0.3, 0.4),
        ("openai", said(429, "Please retry after 1 second."), 1, 1.1),
        ("openai", raw({"error": {"message": "slow"}}, 503, {"Retry-After": "0.3"}), 0.3, 0.4),
        ("openai", raw({"error": {"code": 429, "message": "Rate-limited upstream, retry in 0.3s"}}), 0.3, 0.4),
        ("gemini", raw([google(429, EXCEEDED, MINUTE, {**RETRY, "retryDelay": "0.4s"})], 429), 0.4, 0.5),
        ("gemini", raw(google(429, f"{EXCEEDED} Please retry in 0.3s.", MINUTE), 429), 0.3, 0.4),
        (
            "anthropic",
            raw({"type": "error", "error": {"type": "rate_limit_error", "message": "would exceed the rate limit for your organization of 40,000 input tokens per minute."}}, 429, {"Retry-After": "0.3"}),
            0.3, 0.4,
        ),
    ],
)  # fmt: skip
def test_a_limit_of_the_minute_is_waited_for_as_long_as_the_server_says(
    kind: str, turn: Turn, least: float, most: float
) -> None:
    with SERVERS[kind]([turn, AGAIN], KEY) as server:
        one = Asker(server)
        assert one.ask().text == SAID
        assert least <= one.waits[0][0] <= most


# ── parts of a request that a server refuses ─────────────────────────────────────────────────────────────────────────

#: How servers refuse a part of a request: with a status, or with an error in a 200.
WAYS = (400, 404, 422, 500, 501, 200)


class Picky(OpenAIServer):
    """A server that refuses requests with a part, in its own way."""

    way, words = 400, ""

    def has(self, body: dict[str, Any]) -> bool:
        return False

    def turn(self, asked: Asked) -> Turn:
        if not self.has(asked.body):
            return super().turn(asked)
        self.refused += 1
        return raw({"error": {"message": self.words, "type": "server_error"}}, self.way)


PARTS = [
    ("stream_options", lambda body: "stream_options" in body, "got an unexpected keyword argument 'stream_options'"),
    ("stream_options", lambda body: "stream_options" in body, "body.stream_options: Extra inputs are not permitted"),
    ("stream", lambda body: body.get("stream"), "streaming is not supported by this model"),
    ("temperature", lambda body: "temperature" in body, "Unsupported value: 'temperature' does not support 0 with this model."),
    ("temperature", lambda body: "temperature" in body, "`temperature` is deprecated for this model."),
    ("max_tokens", lambda body: "max_tokens" in body, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
    ("limits", lambda body: {"max_tokens", "max_completion_tokens"} & set(body), "Unknown name max_tokens or max_completion_tokens"),
    ("system", lambda body: body["messages"][0]["role"] == "system", "System role not supported"),
    ("system", lambda body: body["messages"][0]["role"] == "system", "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
    ("system", lambda body: body["messages"][0]["role"] == "system", "Conversation roles must alternate user/assistant/user/assistant/..."),
    ("temperature", lambda body: "temperature" in body, "a word of a proxy, " * 40 + "temperature is not supported"),
    ("response_format", lambda body: "response_format" in body, "This response_format type is unavailable now"),
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "has", "words"), PARTS, ids=[f"{name}: {words[:30]}" for name, _, words in PARTS])
def test_a_part_that_a_server_refuses_is_dropped_at_once_and_remembered(
    name: str, has: Any, words: str, way: int
) -> None:
    with Picky([Turn(text=SAID), Turn(text=SAID)], KEY) as server:
        assert isinstance(server, Picky)
        server.way, server.words, server.has = way, words, has  # type: ignore[method-assign]
        one = Asker(server, llm_temperature=0.0)

        async def twice(model: Provider) -> None:
            for _ in range(2):
                assert (await model.ask(QUESTION, lambda *wait: one.waits.append(wait))).text == SAID

        one.run(twice)
        assert server.refused == {"response_format": 0, "limits": 2}.get(name, 1)  # no JSON is asked for
        assert one.waits == []
        for asked in server.asked:
            assert [role for role, _ in asked.messages] == (["user"] if name == "system" else ["system", "user"])
            assert "You plan." in asked.prompt


def test_gemini_gets_the_instructions_in_the_first_message_if_a_model_has_no_system_role() -> None:
    class Gemma(SERVERS["gemini"]):  # type: ignore[misc, name-defined]
        def read(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Asked:
            if "systemInstruction" in body:
                raise Refused(400, "Developer instruction is not enabled for models/gemma-3-27b-it")
            return super().read(path, headers, body)

    with Gemma([Turn(text=SAID)], KEY) as server:
        assert isinstance(server, Server)
        assert Asker(server).ask().text == SAID
        assert re.fullmatch(r"You plan\.\s+Say hello\.", server.asked[0].prompt)


def test_anthropics_limit_that_is_too_large_for_a_model_is_lowered() -> None:
    class Small(SERVERS["anthropic"]):  # type: ignore[misc, name-defined]
        def read(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Asked:
            if body["max_tokens"] > 4096:
                words = f"max_tokens: {body['max_tokens']} > 4096, which is the maximum allowed number of output tokens"
                raise Refused(400, f"{words} for claude-3-haiku")
            return super().read(path, headers, body)

    with Small([Turn(text=SAID)], KEY) as server:
        assert isinstance(server, Server)
        assert Asker(server).ask().text == SAID
        assert (server.asked[0].limit, server.refused) == (4096, 1)


def test_a_failure_that_only_mentions_a_stream_leaves_the_request_as_it_is() -> None:
    with OpenAIServer([said(500, "upstream connect error while reading the stream"), Turn(text=SAID)], KEY) as server:
        one = Asker(server)
        assert one.ask().text == SAID
        assert [asked.stream for asked in server.asked] == [True, True]
