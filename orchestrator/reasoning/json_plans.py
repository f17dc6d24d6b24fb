"""Parse JSON plans, in the shapes that models produce unasked."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from orchestrator.planning.kinds import KINDS
from orchestrator.reasoning.answer import (
    LANGUAGES,
    NEEDS,
    THOUGHT,
    Reading,
    Unusable,
    bounded,
    command,
    inside,
    is_nothing,
    one_line,
    paths,
    whole,
)  # fmt: skip
from orchestrator.reasoning.code_blocks import is_file
from orchestrator.reasoning.markdown import Block, Document

_JSON = re.compile(r"\{(?=\s*[\"}])")
_BEGIN = re.compile(r"\s*[{\[]")

#: Fields of a plan, of a step, and of an object around a plan.
PLAN = {"steps", "files", "commands", "accept", "missing"}
STEP = {"kind", "type", "source", "script", "code", "content", "command", "run"}
WRAPPERS = ("plan", "arguments", "parameters", "input", "answer", "response", "result", "output")

#: The names of an object's text, as in ``{"path": "a.csv"}``.
NAMES = ("path", "name", "file", "command", "run", "script", "source")


def of_json(text: str, document: Document) -> tuple[list[dict[str, Any]], Reading] | None:
    """Parse a JSON plan, or return None for other answers. Raises Unusable if only the syntax is wrong.

    Of several plans, the last one counts. Blocks of other languages after it mean that the plan is in Markdown.
    """
    text = text.strip()
    if text.startswith(("{", "[")):
        plan, wrong = _plan(text)
        other = any(not _is_json(block) for block in document.blocks)
        if plan is not None and (not other or _is_value(text)):
            return _of_object(plan)
        if wrong and not document.blocks:
            raise Unusable(wrong)
    last, wrongs = None, list[str]()
    for at, block in enumerate(document.blocks):
        if not _is_json(block) or is_file(block):
            continue
        plan, wrong = _plan(block.text)
        wrongs += [wrong] if wrong else []
        if plan is not None:
            last = (at, plan)
    if last is not None:
        after = document.blocks[last[0] + 1 :]
        return None if any(not _is_json(block) or is_file(block) for block in after) else _of_object(last[1])
    if not document.blocks and (begin := _JSON.search(text)):
        plan, wrong = _plan(text[begin.start() :])
        if plan is not None:
            return _of_object(plan)
        wrongs += [wrong] if wrong else []
    if wrongs and len(document.blocks) < 2:
        raise Unusable(wrongs[0])
    return None


def _is_json(block: Block) -> bool:
    return block.info.split(" ")[0].lower() in ("", "json")


def _is_value(text: str) -> bool:
    """Tell whether a text is one JSON value, whose strings may contain fences."""
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _plan(text: str) -> tuple[dict[str, Any] | None, str]:
    """Return the last plan of a text that begins with JSON, and the error if a plan does not parse."""
    decoder, found = json.JSONDecoder(strict=False), None
    begin = _BEGIN.match(text)
    while begin:
        at = begin.end() - 1
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError as error:
            if re.search(r'"(steps|files|commands|accept)"\s*:', text[at:]):
                return None, f"its JSON does not parse: {error}. Answer in Markdown instead: no escaping is needed"
            break
        except RecursionError:
            break
        plan = _unwrapped(value)
        if plan is not None and (
            found is None or any(_list(plan.get(name)) for name in ("steps", "files", "commands"))
        ):
            found = plan
        begin = _JSON.search(text, end)
    return found, ""


def _unwrapped(value: Any) -> dict[str, Any] | None:
    """Return the plan in a value: the object itself, an object in it, or a list of steps."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and one.keys() & STEP for one in value):
        return {"steps": value}
    for _ in range(3):
        if not isinstance(value, dict):
            return None
        if value.keys() & PLAN:
            return value
        value = next((value[name] for name in WRAPPERS if name in value), None)
    return None


def _of_object(value: dict[str, Any]) -> tuple[list[dict[str, Any]], Reading]:
    reading = Reading()
    reading.thought = bounded(_text(value.get("summary") or value.get("thought") or ""), THOUGHT)
    missing = ", ".join(one for one in _texts(value.get("missing") or value.get("needs")) if not is_nothing(one))
    reading.needs = bounded(missing, NEEDS)
    reading.check = _check(_texts(value.get("check")))
    for said in _texts(value.get("outputs")):
        reading.outputs += paths(said)
    accept, done = _truth(value.get("accept")), _truth(value.get("done"))
    if accept is not None:
        reading.done = accept or (None if value.get("steps") else False)
    else:
        reading.done = done
    raw = list[dict[str, Any]]()
    for item in _list(value.get("files")):
        path, content = item.get("path") or item.get("name") or "", item.get("content") or item.get("source") or ""
        raw.append({"kind": "file", "path": inside(_text(path)), "content": _text(content)})
    for item in _list(value.get("commands")):
        raw.append(
            {"kind": "shell", "script": _text(item.get("run") or item.get("command") or item.get("script") or "")}
        )
    for item in _list(value.get("steps")):
        raw += _step(item)
    return raw, reading


def _check(texts: list[str]) -> str:
    """Return the command of a check: a text, several commands, or the words of one."""
    if len(texts) > 1 and not any(" " in text for text in texts):
        return shlex.join(texts)
    return " && ".join(filter(None, map(command, texts)))


def _texts(value: Any) -> list[str]:
    """Return the texts of a field, which may be a text, a list, or an object with one of the usual names."""
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    if isinstance(value, dict):
        return _texts(next((value[name] for name in NAMES if value.get(name)), [*value.values()]))
    return [whole(value)] if isinstance(value, str) else []


def _truth(value: Any) -> bool | None:
    """Return a boolean, which some models write as a word."""
    words = {"yes": True, "true": True, "no": False, "false": False}
    return words.get(value.strip().lower()) if isinstance(value, str) else value if isinstance(value, bool) else None


def _list(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):  # one item, or items by number
        value = [value] if value.keys() & STEP else [*value.values()]
    items = [item for item in value if item] if isinstance(value, list) else []
    return [item if isinstance(item, dict) else {"run": item, "script": item, "kind": "shell"} for item in items]


def _step(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind = LANGUAGES.get(
        _text(item.get("kind") or item.get("type") or "").lower(), _text(item.get("kind") or "").lower()
    )
    parts = (item.get(name) for name in ("source", "script", "code", "content", "command", "run"))
    source = next((_text(part) for part in parts if part), "")
    path, title = inside(_text(item.get("path") or item.get("file") or "")), one_line(_text(item.get("title") or ""))
    background = item.get("background") is True
    kind = kind or ("file" if path else "shell")
    if kind not in KINDS:
        raise Unusable(f"the kind {kind[:40]!r} is not one of {', '.join(KINDS)}")
    known = KINDS[kind]
    if known.WRITES:
        yield {"kind": kind, "path": path, known.SOURCE: source, "title": title}
    elif path.endswith(tuple(f".{suffix}" for suffix in known.SUFFIXES)):
        if source:
            yield {"kind": "file", "path": path, "content": source, "title": title}
        yield {"kind": "shell", "script": f"{known.PROGRAM} {shlex.quote(path)}\n", "background": background}
    else:
        yield {"kind": kind, known.SOURCE: source, "title": title, "background": background}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(_text(part) for part in value)
    return whole(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
