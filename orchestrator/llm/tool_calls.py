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

#: Calls in the text, as the chat templates of Qwen and Hermes, Mistral, and Llama 3 write them.
_TAGGED = re.compile(r"<tool_call>\s*(\{.*?\})\s*(?:</tool_call>|\Z)", re.DOTALL)
_MISTRAL = re.compile(r"\s*\[TOOL_CALLS\]\s*(\[.*)", re.DOTALL)
_LLAMA = re.compile(r"\s*<\|python_tag\|>(.*)", re.DOTALL)


def as_answer(calls: Sequence[tuple[str, str]]) -> str:
    """Return the answer in calls, each with the tool's name and its arguments. It is empty if there is none."""
    return "\n\n".join(filter(None, (_one(name, text) for name, text in calls)))


def in_text(text: str) -> str:
    """Return the answer in calls that a text contains, or an empty text."""
    if "```" in text:
        return ""  # the answer stands beside the calls
    if found := _LLAMA.match(text):
        return as_answer([("python", found[1])])
    listed = _MISTRAL.match(text)
    return as_answer(list(_named([listed[1]] if listed else _TAGGED.findall(text))))


def _named(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
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
