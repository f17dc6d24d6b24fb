"""The names of workspace files in the ZIP and in all lists. Both sides use it."""

from __future__ import annotations

import re

from protocol.redaction import MARK, Needles, mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = "workspace"  # folder of the job's own files in the ZIP
#: Folders that can be regenerated. They are left out of the ZIP unless a declared output names them.
JUNK = frozenset(
    {
        "__pycache__", ".cache", "node_modules", ".npm", ".ipynb_checkpoints",
        ".pytest_cache", ".mypy_cache", ".ruff_cache",
        "site-packages",  # `pip install --user` fills it; the rest of .local may be the job's own
    }
)  # fmt: skip

#: The script of a step that runs in the workspace. It is there while the step runs.
STEP_SCRIPT = ".step-{number}.{suffix}"
_STEP_SCRIPT = re.compile(r"\.step-\d+\.\w+")

VENV_MARK = "pyvenv.cfg"  # the file that makes a folder a virtual environment

LONGEST_NAME = 3_800  # bytes: `unzip` and others stop at PATH_MAX (4,096), including the target folder
LONGEST_PART = 250  # bytes of an escaped file name: file systems stop at 255

TOO_LONG = f"its path is longer than {LONGEST_NAME:,} bytes"

# Plain `unzip` drops control characters, and a `;1` at the end (a VMS version). Undecodable bytes are not UTF-8.
# Windows reads a backslash as a separator, so `..\..\x` would leave the folder.
_UNSAFE = r"[\x00-\x1f\x7f-\x9f\udc80-\udcff\\]|;(?=[0-9]*\Z)|\A\.\.\Z"
_NEEDS_ESCAPE = re.compile(_UNSAFE)
_ESCAPED = re.compile(_UNSAFE + "|%")


class Names:
    """Maps workspace paths to the names in the ZIP and in lists.

    A secret's value in a name is replaced by its mark.
    """

    def __init__(self, needles: Needles | None = None) -> None:
        self._needles = needles or Needles({})
        self._taken: dict[str, str] = {}  # changed names, with an escape or a mark: in the ZIP -> in the workspace

    def of(self, path: str) -> str:
        """Return the name in the ZIP. Equal paths give equal names, different paths different ones."""
        name = FOLDER
        for part in path.split("/"):
            if part in ("", "."):
                continue
            plain = name = f"{name}/{_escape(self._hidden(part))}"
            number = 1
            # only names with a % or a mark can collide with another name
            while ("%" in name or MARK in name) and self._taken.setdefault(name, part) != part:
                number += 1
                name = f"{plain}~{number}"
        return name

    def _hidden(self, part: str) -> str:
        """Return a path component without secrets. Marks may be longer than the values."""
        hidden = self._needles.text(part)
        return hidden if hidden == part or len(raw(hidden)) <= LONGEST_PART else mark("…")


class Junk:
    """The rule for what the ZIP leaves out. The packer, the list of files and salvage use it.

    A folder is junk because of its name or because of an entry in it, and a file because it is the script of a step.
    A file that matches a declared output is not junk.
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
    """Return the components of declared outputs. Files with these names are not junk."""
    return {part for pattern in outputs for part in pattern.split("/")}


def shown(text: str) -> str:
    r"""Return file-name text that every JSON reader accepts, with undecodable bytes as `\xff`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def words(error: Exception) -> str:
    """Return an error's message from the operating system, or its own text."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _escape(part: str) -> str:
    """Escape a path component so that plain `unzip` and every file system accept it."""
    if not _NEEDS_ESCAPE.search(part):
        return part
    escaped = _ESCAPED.sub(lambda found: "".join(f"%{byte:02X}" for byte in raw(found[0])), part)
    content = escaped.encode()
    if len(content) <= LONGEST_PART:
        return escaped
    import hashlib  # rarely needed, and slow to import

    return content[:230].decode("utf-8", "ignore") + "%~" + hashlib.sha256(raw(part)).hexdigest()[:16]


def raw(name: str) -> bytes:
    """Return a file name as the file system has it."""
    return name.encode("utf-8", "surrogateescape")
