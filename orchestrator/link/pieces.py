"""Long messages as JSON, made in pieces.

Python's lock is held while ``json.dumps`` writes a text. For 32 MB, that stops the event loop for 0.2 s, even if it
happens on another thread. A piece takes milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

#: Approximate characters of a piece.
PIECE = 1 << 19


def pieces(message: Any) -> Iterator[bytes]:
    """Yield the JSON of a structure of dicts, lists and plain values. All pieces together are one line."""
    waiting = list[str]()
    size = 0
    for part in _parts(message):
        waiting.append(part)
        size += len(part)
        if size >= PIECE:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    yield "".join(waiting).encode()


def _parts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield '"'
        for begin in range(0, len(value), PIECE):
            yield json.dumps(value[begin : begin + PIECE], ensure_ascii=False)[1:-1]
        yield '"'
    elif isinstance(value, dict):
        before = "{"
        for key, inner in value.items():
            yield f"{before}{json.dumps(key, ensure_ascii=False)}:"
            yield from _parts(inner)
            before = ","
        yield "}" if value else "{}"
    elif isinstance(value, list | tuple):
        before = "["
        for inner in value:
            yield before
            yield from _parts(inner)
            before = ","
        yield "]" if value else "[]"
    else:
        yield json.dumps(value, allow_nan=False)
