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
)  # fmt: skip
from orchestrator.reasoning.code_blocks import is_file
from orchestrator.reasoning.markdown import Document

_JSON = re.compile(r"\{(?=\s*[\"}])")


def of_json(text: str, document: Document) -> tuple[list[dict[str, Any]], Reading] | None:
    """Parse a JSON plan, or return None for other answers. Raises Unusable if only the syntax is wrong."""
    whole = text.strip()
    plain = [block for block in document.blocks if block.info.split(" ")[0].lower() in ("", "json")]
    candidates = [block.text for block in plain if not is_file(block)]
    candidates = [whole, *candidates] if whole.startswith(("{", "[")) else candidates
    if not document.blocks and not whole.startswith("{") and (begin := _JSON.search(whole)):
        candidates.append(whole[begin.start() :])
    wrong = ""
    for candidate in candidates:
        if not candidate.lstrip().startswith(("{", "[")):
            continue
        try:
            value, _ = json.JSONDecoder(strict=False).raw_decode(candidate.strip())
        except ValueError as error:
            if re.search(r'"(steps|files|commands|accept)"\s*:', candidate):
                wrong = wrong or f"its JSON does not parse: {error}. Answer in Markdown instead: no escaping is needed"
            continue
        except RecursionError:
            continue
        if isinstance(value, dict) and value.keys() & {"steps", "files", "commands", "accept", "missing"}:
            return _of_object(value)
    if wrong and len(candidates) == 1:
        raise Unusable(wrong)
    return None


def _of_object(value: dict[str, Any]) -> tuple[list[dict[str, Any]], Reading]:
    reading = Reading()
    reading.thought = bounded(_text(value.get("summary") or value.get("thought") or ""), THOUGHT)
    missing = _text(value.get("missing") or value.get("needs") or "")
    reading.needs = "" if is_nothing(missing) else bounded(missing, NEEDS)
    check = value.get("check") or ""
    reading.check = command(check) if isinstance(check, str) else ""
    outputs = value.get("outputs") or []
    reading.outputs = [inside(path) for path in outputs if isinstance(path, str) and not is_nothing(path)]
    if isinstance(value.get("accept"), bool):
        reading.done = value["accept"] or (None if value.get("steps") else False)
    elif isinstance(value.get("done"), bool):
        reading.done = value["done"]
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


def _list(value: Any) -> list[dict[str, Any]]:
    items = value if isinstance(value, list) else []
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
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
