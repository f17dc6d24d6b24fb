"""Shortens Python tracebacks for a model. Library frames cost tokens and rarely help."""

from __future__ import annotations

import re

_FRAME = re.compile(r'^  File "(?P<path>[^"]+)", line \d+')
_LIBRARY = re.compile(
    r"^(/opt/venv/|/usr/lib/|/usr/local/lib/|<frozen |<string>)|/(site|dist)-packages/|^pandas/|^lib\.pyx"
)
_MARKS = re.compile(r"^\s+[~^ ]*[~^][~^ ]*$")


def shorten(text: str) -> str:
    """Return a text without library frames and marker lines in its tracebacks.

    A traceback with only library frames keeps the last one.
    """
    kept: list[str] = []
    frame: list[str] = []  # the last library frame so far
    own = inside = False
    for line in text.splitlines(keepends=True):
        if line.startswith("Traceback (most recent call last)"):
            own, frame, inside = False, [], True
        elif inside and (found := _FRAME.match(line)):
            library = _LIBRARY.search(found["path"]) is not None
            own = own or not library
            frame = [line] if library else []
            if library:
                continue
        elif inside and line.startswith("    "):
            if frame or _MARKS.match(line):
                frame += [line] if frame and not _MARKS.match(line) else []
                continue
        elif inside:
            kept += [] if own else frame
            inside, frame = False, []
        kept.append(line)
    return "".join([*kept, *([] if own else frame)])
