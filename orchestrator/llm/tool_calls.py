"""Reads calls of tools as an answer.

No request offers tools. Models that were trained with them call one all the same, and put their answer into its
arguments: a plan, a file, code or a command.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

#: Fields of arguments by their meaning. The first one present counts.
PLANS = ("steps", "files", "commands")
PATHS = ("path", "file_path", "filename", "file_name", "file", "name")
CONTENTS = ("content", "contents", "file_text", "text", "source", "body")
CODES = ("code", "python", "input")
COMMANDS = ("command", "cmd", "commands", "script", "bash", "shell")

#: Tools whose arguments are a command, and tools whose arguments are Python.
SHELLS = re.compile(r"bash|shell|terminal|exec|command|run\b", re.IGNORECASE)
PYTHONS = re.compile(r"python|ipython|jupyter|code", re.IGNORECASE)

#: Calls in the text, as chat templates write them: with JSON (Qwen and Hermes, Mistral, Llama 3, Kimi and DeepSeek), or
#: with a tag for each argument (Qwen-Coder, Claude and MiniMax, GLM).
_MISTRAL = re.compile(r"\s*\[TOOL_CALLS\]\s*(?=\[)")
_LLAMA = re.compile(r"\s*<\|python_tag\|>")
_NAME = r"([\w.-]{1,80})"
_JSON = (
    (re.compile(r"<tool_call>(?=\s*\{)()"), "</tool_call>"),
    (re.compile(rf"<\|tool_call_begin\|>{_NAME}[^<\n]{{0,20}}<\|tool_call_argument_begin\|>"), "<|tool_call_end|>"),
    (re.compile(rf"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?{_NAME}(?:<｜tool▁sep｜>)?"), "<｜tool▁call▁end｜>"),
)
_TAGS = (
    (re.compile(rf"<function={_NAME}>"), "</function>"),
    (re.compile(rf'<invoke name="?{_NAME}"?>'), "</invoke>"),
    (re.compile(rf"<tool_call>\s*{_NAME}\s*(?=<arg_key>)"), "</tool_call>"),
)
_ARGUMENTS = (
    (re.compile(rf'<parameter(?:=| name="?){_NAME}"?>'), "</parameter>"),
    (re.compile(rf"<arg_key>{_NAME}</arg_key>\s*<arg_value>"), "</arg_value>"),
)


def as_answer(calls: Sequence[tuple[str, str]]) -> str:
    """Return the answer in calls, each with the tool's name and its arguments. It is empty if there is none."""
    return "\n\n".join(filter(None, (_one(name, text) for name, text in calls)))


def in_text(text: str) -> str:
    """Return the answer in calls that a text contains, or an empty text. An answer beside the calls counts instead."""
    if found := _LLAMA.match(text):
        return as_answer([("python", text[found.end() :])])
    if found := _MISTRAL.match(text):
        return as_answer(list(_named(text[found.end() :])))
    for forms in (_JSON, _TAGS):
        for begin, end in forms:
            calls, rest = list[tuple[str, str]](), ""
            for name, inner, before in _between(text, begin, end):
                rest += before
                calls += _calls(name, inner, forms is _TAGS) if inner is not None else []
            if calls:
                return "" if "```" in rest else as_answer(calls)
    return ""


def _between(text: str, begin: re.Pattern[str], end: str) -> Iterator[tuple[str, str | None, str]]:
    """Yield each part between two marks: the name in its first mark, the part, and the text before. Last, the rest."""
    at = 0
    while found := begin.search(text, at):
        close = text.find(end, found.end())
        stop = len(text) if close < 0 else close
        yield found[1], text[found.end() : stop], text[at : found.start()]
        at = stop + len(end)
    yield "", None, text[at:]


def _calls(name: str, inner: str, tags: bool) -> list[tuple[str, str]]:
    if tags:
        found = [one for form in _ARGUMENTS for one in _between(inner, *form) if one[1] is not None]
        return [(name, json.dumps({argument: (value or "").strip("\n") for argument, value, _ in found}))]
    inner = inner.strip().removeprefix("```json")
    return [(name.removeprefix("functions."), inner)] if name else list(_named(inner))


def _named(text: str) -> Iterator[tuple[str, str]]:
    """Yield the calls in JSON that has the tool's name beside its arguments."""
    value = _json(text)
    for call in value if isinstance(value, list) else [value]:
        if isinstance(call, dict):
            given = call.get("arguments", call.get("parameters", {}))
            yield str(call.get("name") or ""), given if isinstance(given, str) else json.dumps(given)


def _one(name: str, text: str) -> str:
    value = _json(text)
    if value is None:
        if PYTHONS.search(name) and text.strip() and not text.lstrip().startswith("{"):
            return _block("run", "python", text)  # gpt-oss calls its Python with code instead of JSON
        return ""
    while isinstance(value, dict) and len(value) == 1 and isinstance(inner := next(iter(value.values())), dict):
        value = inner
    if isinstance(value, list) or not isinstance(value, dict):
        return text if isinstance(value, list) else ""
    if any(isinstance(value.get(field), list) and value[field] for field in PLANS) and not _argv(value):
        return json.dumps(value, ensure_ascii=False)
    path, content = _text(value, PATHS), _text(value, CONTENTS)
    if path and content and "\n" not in path:
        return _block(f"file {path}", path.rsplit(".", 1)[-1] if "." in path else "", content)
    if code := _text(value, CODES):
        return _block("run", "bash" if SHELLS.search(name) and not PYTHONS.search(name) else "python", code)
    if command := _argv(value) or _text(value, COMMANDS):
        return _block("run", "bash", command)
    texts = [one for one in value.values() if isinstance(one, str) and one.strip()]
    return texts[0] if len(texts) == 1 else json.dumps(value, ensure_ascii=False)


def _json(text: str) -> Any:
    try:
        return json.JSONDecoder(strict=False).raw_decode(text.strip())[0]
    except (ValueError, RecursionError):
        return None


def _text(value: dict[str, Any], names: Sequence[str]) -> str:
    return next((value[name] for name in names if isinstance(value.get(name), str) and value[name].strip()), "")


def _argv(value: dict[str, Any]) -> str:
    """Return a command that is a list of words, such as ``["bash", "-lc", "ls"]``."""
    for name in COMMANDS:
        words = value.get(name)
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            if words[0].rsplit("/", 1)[-1] in ("bash", "sh") and len(words) == 3 and words[1] in ("-c", "-lc"):
                return str(words[2])
            return "\n".join(words) if name == "commands" else shlex.join(words)
    return ""


def _block(heading: str, language: str, text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"### {heading}\n{fence}{language}\n{text.rstrip()}\n{fence}"
