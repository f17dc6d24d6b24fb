"""What the files of a workspace are called: in the ZIP, and wherever else they are shown. Both sides use it."""

from __future__ import annotations

import re

from protocol.redaction import MARK, Needles, mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = "workspace"  # where the job's own files are in the ZIP
#: Folders that can be made again from what made them. Left out of the ZIP unless a declared output names them.
JUNK = frozenset(
    {
        "__pycache__", ".cache", "node_modules", ".npm", ".ipynb_checkpoints",
        ".pytest_cache", ".mypy_cache", ".ruff_cache",
        "site-packages",  # what `pip install --user` fills; the rest of .local may be the job's own
    }
)  # fmt: skip

#: The script of a step that runs in the workspace. It is there while the step runs.
STEP_SCRIPT = ".step-{number}.{suffix}"
_STEP_SCRIPT = re.compile(r"\.step-\d+\.\w+")

VENV_MARK = "pyvenv.cfg"  # the file that makes a folder a virtual environment

LONGEST_NAME = 3_800  # bytes: `unzip` and others stop at PATH_MAX (4,096) with the folder they unpack into
LONGEST_PART = 250  # bytes of an escaped file name: file systems stop at 255

TOO_LONG = f"its path is longer than {LONGEST_NAME:,} bytes"

# Plain `unzip` drops control characters, and a `;1` at the end (a VMS version); undecodable bytes are no UTF-8; Windows
# takes a backslash for a separator, so `..\..\x` would leave the folder.
_UNSAFE = r"[\x00-\x1f\x7f-\x9f\udc80-\udcff\\]|;(?=[0-9]*\Z)|\A\.\.\Z"
_NEEDS_ESCAPE = re.compile(_UNSAFE)
_ESCAPED = re.compile(_UNSAFE + "|%")


class Names:
    """What the files of a workspace are called in the ZIP, and wherever else they are shown.

    A name that has the value of a secret in it has its mark there instead.
    """

    def __init__(self, needles: Needles | None = None) -> None:
        self._needles = needles or Needles({})
        self._taken: dict[str, str] = {}  # names with an escape or a mark in them: in the ZIP -> in the workspace

    def of(self, path: str) -> str:
        """The name in the ZIP: the same for the same path, and for no other one."""
        name = FOLDER
        for part in path.split("/"):
            if part in ("", "."):
                continue
            plain = name = f"{name}/{_escape(self._hidden(part))}"
            number = 1
            # Only names with a % or a mark can be taken by another's.
            while ("%" in name or MARK in name) and self._taken.setdefault(name, part) != part:
                number += 1
                name = f"{plain}~{number}"
        return name

    def _hidden(self, part: str) -> str:
        """One component of a path without secrets; marks may be longer than what they stand for."""
        hidden = self._needles.text(part)
        return hidden if hidden == part or len(raw(hidden)) <= LONGEST_PART else mark("…")


class Junk:
    """The rule for what the ZIP leaves out. The packer, the list of files and salvage use it.

    A folder is junk because of its name or because of an entry in it, and a file because it is the script of a step.
    What a declared output names is no junk.
    """

    def __init__(self, outputs: Iterable[str]) -> None:
        self._named = parts_of(outputs)

    def by_name(self, folder: str) -> str | None:
        """Return the reason to leave out a folder of this name; None if there is none."""
        return f"junk: {folder}" if folder in JUNK and folder not in self._named else None

    def by_entry(self, folder: str, entry: str) -> str | None:
        """Return the reason to leave out a folder of this name that has this entry; None if there is none."""
        return "junk: a virtual environment" if entry == VENV_MARK and folder not in self._named else None

    def by_path(self, file: str) -> str | None:
        """Return the reason to leave out a file with this path in the workspace; None if there is none."""
        junk = _STEP_SCRIPT.fullmatch(file) and file not in self._named
        return "junk: the script of a step that was ended" if junk else None


def parts_of(outputs: Iterable[str]) -> set[str]:
    """The names that declared outputs are made of: what they name is no junk."""
    return {part for pattern in outputs for part in pattern.split("/")}


def shown(text: str) -> str:
    r"""Text that may come from a file name, as text that any JSON reader takes: undecodable bytes as `\xff`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def words(error: Exception) -> str:
    """An error as the operating system puts it, or as its own text."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _escape(part: str) -> str:
    """One component of a path as plain `unzip` and every file system take it."""
    if not _NEEDS_ESCAPE.search(part):
        return part
    escaped = _ESCAPED.sub(lambda found: "".join(f"%{byte:02X}" for byte in raw(found[0])), part)
    content = escaped.encode()
    if len(content) <= LONGEST_PART:
        return escaped
    import hashlib  # seldom needed, and slow to import

    return content[:230].decode("utf-8", "ignore") + "%~" + hashlib.sha256(raw(part)).hexdigest()[:16]


def raw(name: str) -> bytes:
    """A file name as the file system has it."""
    return name.encode("utf-8", "surrogateescape")
