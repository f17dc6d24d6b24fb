"""Adds imports that a model forgot. A source that uses ``json`` without importing it needs no model call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from orchestrator.db.models import Step
from orchestrator.planning.kinds import writes
from protocol import messages

_MODULES = (
    "argparse", "asyncio", "base64", "bisect", "calendar", "collections", "contextlib", "copy", "csv", "dataclasses",
    "datetime", "decimal", "difflib", "enum", "fractions", "functools", "glob", "gzip", "hashlib", "heapq", "html",
    "io", "itertools", "json", "logging", "math", "operator", "os", "pathlib", "pickle", "random", "re", "shutil",
    "sqlite3", "statistics", "string", "subprocess", "sys", "tarfile", "tempfile", "textwrap", "threading", "time",
    "traceback", "unicodedata", "unittest", "urllib", "uuid", "zipfile", "pytest", "requests",
)  # fmt: skip
_MEMBERS = {
    "typing": ("Any", "Callable", "Dict", "Generator", "Iterable", "Iterator", "List", "NamedTuple", "Optional",
               "Sequence", "Set", "Tuple", "TypeVar", "Union"),
    "collections": ("Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"),
    "dataclasses": ("dataclass", "field"),
    "datetime": ("timedelta",),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "functools": ("lru_cache", "partial", "reduce", "wraps"),
    "itertools": ("chain", "combinations", "groupby", "permutations", "product"),
    "pathlib": ("Path",),
    "abc": ("ABC", "abstractmethod"),
    "enum": ("Enum",),
    "PIL": ("Image",),
    "bs4": ("BeautifulSoup",),
}  # fmt: skip

#: The only import that a name usually means.
IMPORTS = {
    **{name: f"import {name}" for name in _MODULES},
    **{name: f"from {module} import {name}" for module, names in _MEMBERS.items() for name in names},
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "plt": "import matplotlib.pyplot as plt",
}

_UNDEFINED = re.compile(r"^NameError: name '(\w+)' is not defined", re.MULTILINE)
_MISSING = re.compile(r"NameError: not defined: ([\w, ]+)\.")

#: Text that stays before the imports: a shebang line, comments, blank lines and a docstring.
_HEAD = re.compile(
    r"(?:[ \t]*(?:#[^\n]*)?\n)*"
    r"(?:[rR]?(?P<quotes>\"\"\"|''')(?:(?!(?P=quotes)).)*(?P=quotes)[ \t]*\n)?"
    r"(?:(?:[ \t]*(?:#[^\n]*)?\n)*from __future__ import [^\n]*\n)*",
    re.DOTALL,
)


def missing(problem: messages.SourceProblem, rows: Sequence[Step]) -> list[str]:
    """Return the imports that fix a problem. Empty if imports do not fix it.

    If another file of the job defines the name, the import is from that file.
    """
    told = _MISSING.match(problem.message)
    names = [name.strip() for name in told[1].split(",")] if told else []
    found = [IMPORTS.get(name) or _from_a_file(name, problem.number, rows) for name in names]
    return found if all(found) else []


def with_import(failed: Step, printed: str) -> tuple[Step, list[str]]:
    """Return a Python step with the import whose lack made it fail, and a note. No note means no known import."""
    names = _UNDEFINED.findall(printed)
    line = IMPORTS.get(names[-1], "") if names and failed.kind == "python" and not failed.path else ""
    if not line or line in failed.source:
        return failed, []
    return _importing(failed, [line]), [f"Added what the code uses and did not import: {line}"]


def _from_a_file(name: str, number: int, rows: Sequence[Step]) -> str:
    defines = re.compile(rf"^(?:async def|def|class) {re.escape(name)}\b", re.MULTILINE)
    for row in rows:
        module = writes(row).removesuffix(".py")
        other = row.number != number and module != writes(row)
        if other and module.isidentifier() and defines.search(row.source):
            return f"from {module} import {name}"
    return ""


def with_imports(rows: Sequence[Step], problems: Iterable[messages.SourceProblem]) -> tuple[list[Step], list[str]]:
    """Return the waiting steps with their missing imports, and notes about them.

    Both are empty unless imports alone fix every problem.
    """
    lacks = {problem.number: missing(problem, rows) for problem in problems}
    if not lacks or not all(lacks.values()):
        return [], []
    mended, notes = [], []
    for row in rows:
        if row.status != "waiting" or row.number == messages.CHECK:
            continue
        if lines := lacks.get(row.number):
            row = _importing(row, lines)
            notes.append(f"Added what {row.path or f'step {row.number}'} uses and did not import: {'; '.join(lines)}")
        mended.append(row)
    return mended, notes


def _importing(row: Step, lines: Sequence[str]) -> Step:
    head = _HEAD.match(row.source)
    at = head.end() if head else 0
    return row.model_copy(update={"source": row.source[:at] + "\n".join(lines) + "\n" + row.source[at:]})
