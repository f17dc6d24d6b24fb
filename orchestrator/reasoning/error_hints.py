"""Hints about printed errors, for models trained on older libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from orchestrator.db.models import Step
from orchestrator.planning.kinds import writes

#: Names removed from the image's libraries: words in the library's error message, and the replacement.
GONE = (
    (r"DataFrame|Series|pandas", {
        "applymap": "pandas 3 has no applymap: use DataFrame.map",
        "append": "pandas has no append: use pd.concat",
        "strip": "a column has no strip: use .str.strip()",
        "lower": "a column has no lower: use .str.lower()",
        "split": "a column has no split: use .str.split()",
        "ix": "pandas has no ix: use loc or iloc",
        "iteritems": "pandas has no iteritems: use items",
    }),
    (r"PIL|Image", {
        "ANTIALIAS": "Pillow has no ANTIALIAS: use Image.LANCZOS",
        "getsize": "Pillow has no getsize: use getbbox",
        "textsize": "Pillow has no textsize: use textbbox",
    }),
    (r"numpy", {
        "float": "numpy has no float: use Python's float",
        "int": "numpy has no int: use Python's int",
        "bool": "numpy has no bool: use Python's bool",
        "float_": "numpy has no float_: use float64",
        "NaN": "numpy has no NaN: use nan",
    }),
)  # fmt: skip

#: Characters examined at the end of the output.
LOOKED_AT = 4_000

_GONE = re.compile(r"^.*(?:has no attribute|cannot import name) '(\w+)'", re.MULTILINE)
_NAME = re.compile(r"NameError: name '(\w+)' is not defined")
_FOLDER = re.compile(r"No such file or directory: '([^'\n]{1,300})/[^'/\n]+'")
_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_CODEC = re.compile(r"UnicodeDecodeError: 'utf-8' codec")
_AFFIX = re.compile(r"(starts|ends)with first arg must be str or a tuple of str, not list")
_INPUT = re.compile(r"EOFError: EOF when reading a line|StdinNotImplementedError")


def hints(printed: str, steps: Sequence[Step]) -> list[str]:
    """Return sentences that may help with a failed step's output."""
    return list(dict.fromkeys(_hints(printed[-LOOKED_AT:], steps)))


def _hints(printed: str, steps: Sequence[Step]) -> Iterator[str]:
    for found in _GONE.finditer(printed):
        for library, names in GONE:
            if found[1] in names and re.search(library, found[0]):
                yield f"{names[found[1]]}."
    for name in _NAME.findall(printed):
        for step in steps:
            if writes(step) and re.search(rf"^(?:def|class) {name}\b", step.source, re.MULTILINE):
                module = step.path.removesuffix(".py").replace("/", ".")
                yield f"{name} is defined in {step.path}: write `from {module} import {name}`."
                break
    for folder in _FOLDER.findall(printed):
        yield f"The folder {folder} may be missing: make it first, with os.makedirs({folder!r}, exist_ok=True)."
    for module in _MODULE.findall(printed):
        if not any(step.path == f"{module}.py" for step in steps):
            yield f"{module} is not installed: do without it."
    if affix := _AFFIX.search(printed):
        yield f"{affix[1]}with takes a tuple, not a list: write {affix[1]}with(tuple(names))."
    if _CODEC.search(printed):
        yield "The file is not in UTF-8: try encoding='cp1252'."
    if _INPUT.search(printed):
        yield "Nobody can type: a program must not wait for input."
