"""Steps in the format of a request."""

from __future__ import annotations

from typing import Any


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"kind": "shell", "script": script, **more}


def python(code: str, **more: Any) -> dict[str, Any]:
    return {"kind": "python", "code": code, **more}


def file(path: str, content: str) -> dict[str, Any]:
    return {"kind": "file", "path": path, "content": content}
