"""Decide for each block of a Markdown answer which file or command it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestrator.planning.kinds import KINDS
from orchestrator.reasoning.answer import LANGUAGES, Given, Reading, one_line
from orchestrator.reasoning.markdown import LINE, Block, unescaped
from orchestrator.reasoning.named_files import SUFFIXES

#: Languages of printed output. Blocks without a name in these are not files.
SHOWN = {"", "text", "txt", "plaintext", "plain", "output", "log", "none", "diff"}

#: The suffix of an unnamed block's file, if the prompt names one file of that kind.
SUFFIX = {
    **{name: kind.SUFFIXES for name, kind in KINDS.items() if kind.SUFFIXES},
    "html": ("html", "htm"), "css": ("css",),
    "json": ("json",), "csv": ("csv",), "markdown": ("md",), "md": ("md",), "sql": ("sql",), "xml": ("xml",),
    "svg": ("svg",), "yaml": ("yaml", "yml"), "toml": ("toml",), "c": ("c",), "cpp": ("cpp",), "java": ("java",),
    "go": ("go",), "rust": ("rs",), "ruby": ("rb",), "typescript": ("ts",), "ts": ("ts",),
}  # fmt: skip

_SUFFIXES = "|".join(SUFFIXES)
_PLAIN = r"Makefile|Dockerfile|LICENSE|README|Procfile|\.\w[\w.-]*"
_FILE = rf"(?:[\w@.+-]+/)*(?:[\w@.+-]*\w\.(?:{_SUFFIXES}|\w{{1,5}})|{_PLAIN})"
_PREFIX = r"(?:\./|/?workspace/)?"
_VERB = (
    r"(?:(?:create|write|new|add|update|save|edit|the|a)\s+)*(?:file(?:name)?|path)?(?:\s+(?:named|called))?\s*:?\s*"
)
_HEADINGS = [
    re.compile(
        rf"\s*#{{1,6}}\s*(?:\d+[.)]\s*|step\s*\d+\s*[:.)-]\s*)?{_VERB}[`\"'*]*{_PREFIX}(?P<name>{_FILE})[`\"'*]*\s*(?:\([^)]*\))?\s*:?\s*$",
        re.I,
    ),
    re.compile(
        rf"\s*(?:[-*]\s+|\d+[.)]\s*)?\*\*{_VERB}`?{_PREFIX}(?P<name>{_FILE})`?:?\*\*\s*(?:\([^)]*\))?\s*:?\s*$", re.I
    ),
    re.compile(rf"\s*(?:[-*]\s+|\d+[.)]\s*)?{_VERB}`{_PREFIX}(?P<name>{_FILE})`\s*:?\s*$", re.I),
    re.compile(rf"\s*{_VERB}{_PREFIX}(?P<name>{_FILE})\s*:\s*$", re.I),
]
_SENTENCE = re.compile(r"\b(create|write|save|file|content|update|named|called|following)\b", re.I)
_QUOTED = re.compile(rf"[`\"*]{{1,2}}{_PREFIX}(?P<name>{_FILE})[`\"*]{{1,2}}")
_INFO = re.compile(
    rf"^(?P<lang>[\w+#.-]*?)[\s:{{,]*(?:(?:title|filename|file|name|path)\s*=\s*)?[\"'`]?{_PREFIX}(?P<name>{_FILE})[\"'`]?[}}\s]*$",
    re.I,
)
_COMMENT = re.compile(
    r"^\s*(?:#|//|--|;|%|<!--|/\*)+\s*(?P<word>(?:file|filename|file name|path)\s*:)?\s*"
    rf"`?{_PREFIX}(?P<name>{_FILE})`?\s*(?:-->|\*/)?\s*$",
    re.I,
)
_RUN = re.compile(
    r"\s*(?:#{1,6}|\*\*)\s*(?:\d+[.)]\s*|step\s*\d+\s*[:.)-]\s*)?(?:run|execute|test|install|command|shell|terminal|bash|start|check|verify|server|background)\b",
    re.I,
)
_TITLE = re.compile(r"\s*(?:#{1,6}|\*\*)\s*(?P<title>.+?)[\s*#:]*$")
_INSTALL = re.compile(
    r"^\s*(?:sudo\s+)?(?:(?:python3?\s+-m\s+)?pip3?|npm|npx|yarn|apt|apt-get|conda|brew)\s+(?:-\S+\s+)*(?:install|i|add|update|ci)\b"
)

#: A shell command in a block marked as Python. No Python code matches.
_SHELL = re.compile(r"\s*(?:(?:python3?|node|bash|sh|npm|npx|pip3?|cat|ls|mkdir|cp|mv|echo)\s+[\w./\"'$-]|#)")


#: Suffixes of files in a language, and of texts that may contain it.
CODE = {
    **{name: (*kind.SUFFIXES, *kind.MIXED_SUFFIXES) for name, kind in KINDS.items() if kind.SUFFIXES},
}

#: Data files, and the lines that identify a copy of one.
DATA = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".log", ".txt", ".xml")
COPIED = 2


class Named:
    """A block with its intended name and language."""

    def __init__(self, block: Block, given: Given) -> None:
        info = block.info.strip()
        self.text, self.background = block.text, False
        self.language = re.split(r"[\s:{,]", info, maxsplit=1)[0].lower().lstrip(".{") if info else ""
        self.name, self.title, self.runs = "", "", False
        headings = [line for line in block.before if line.strip() and len(line) <= LINE][-2:]
        for line in reversed(headings):
            if self._heading(line):
                break
        if not self.name and (found := _INFO.match(info)) and "." in found["name"]:
            self.name, self.language = found["name"], found["lang"].lower()
        if not self.name and not self.runs and headings:
            self._sentence(headings[-1])
        first = self.text.lstrip("\n").split("\n", 1)[0][:LINE]
        comment = _COMMENT.match(first)
        if (
            not self.name
            and comment
            and (comment["word"] or ("." in comment["name"] and (self.kind or self.language in SUFFIX)))
        ):
            self.name = comment["name"]
        self.name = self.name.removeprefix("/workspace/").removeprefix("workspace/")
        suffix = self.name.rsplit(".", 1)[-1].lower()
        if self.kind in CODE and "." in self.name.lstrip(".") and suffix not in CODE[self.kind]:
            self.name = ""  # a command or a program about that file, not its content
        self.given = given

    @property
    def kind(self) -> str:
        kind = LANGUAGES.get(self.language, "")
        lines = [line for line in self.text.splitlines() if line.strip()]
        return "shell" if kind == "python" and lines and all(map(_SHELL.match, lines)) else kind

    def _heading(self, line: str) -> bool:
        if _RUN.match(line):
            self.runs = True
            self.background = bool(re.search(r"background", line, re.I))
            found = _TITLE.match(line)
            self.title = found["title"] if found else ""
            if self.title.lower() in ("run", "execute", "command", "bash", "shell", "terminal"):
                self.title = ""
            return True
        for pattern in _HEADINGS:
            if (found := pattern.match(line)) and not found["name"].endswith("."):
                self.name = found["name"]
                return True
        if found := _TITLE.match(line):
            self.title = found["title"]
        return False

    def _sentence(self, line: str) -> None:
        """Take the name from a sentence such as "Create a file named `x.py` with this content:"."""
        names = [found["name"] for found in _QUOTED.finditer(line)]
        if len(set(names)) == 1 and _SENTENCE.search(line) and line.rstrip().endswith(":") and self.kind != "shell":
            self.name = names[0]

    def steps(self, reading: Reading) -> Iterator[dict[str, Any]]:
        text = unescaped(self.text, self.language)
        title = one_line(self.title)
        if self.name and self._is_copy(text):
            reading.notes.append(f"{self.name} was not written: the answer only repeats the upload.")
        elif self.name:
            yield {"kind": "file", "path": self.name, "content": text}
        elif self.kind == "shell":
            script = self._script(text)
            if not self.given.network and _only_installs(script):
                reading.notes.append(f"Left out, because the job has no network: {one_line(script)}")
                return
            yield {"kind": "shell", "script": script, "title": title, "background": self.background}
        elif self.kind in KINDS:
            source = {KINDS[self.kind].SOURCE: text}
            yield {"kind": self.kind, **source, "title": title, "background": self.background}
        elif not self.language and self.runs:
            yield {"kind": "shell", "script": self._script(text), "title": title, "background": self.background}
        elif self.language in SHOWN or (self.language == "json" and not self.title):
            reading.notes.append("A block without a name was not taken for a file.")
        elif self.language == "html":
            yield {"kind": "file", "path": "index.html", "content": text}
        else:
            reading.notes.append(f"A block of {self.language} has no file name, so it was left out.")

    def _is_copy(self, text: str) -> bool:
        """Return whether a block begins like an uploaded data file. Writing it would truncate the upload or invent
        data.
        """
        if self.name not in self.given.uploads or not self.name.lower().endswith(DATA):
            return False
        lines, there = text.split("\n", COPIED), self.given.upload(self.name).split("\n", COPIED)
        return [line.strip() for line in lines[:COPIED]] == [line.strip() for line in there[:COPIED]]

    def _script(self, text: str) -> str:
        """Return the commands of a terminal session, which follow ``$``."""
        commands = re.findall(r"^[ \t]*\$ (\S.*)$", text, re.M)
        return "".join(f"{command}\n" for command in commands) or text


def name_the_only_one(blocks: list[Named], given: Given) -> None:
    """Name an unnamed block if exactly one requested file of its kind has no block."""
    taken = {block.name for block in blocks if block.name}
    for language in {block.language for block in blocks}:
        kind = LANGUAGES.get(language, language)
        mine = [block for block in blocks if LANGUAGES.get(block.language, block.language) == kind and not block.name]
        wanted = [name for name in given.named if name.rsplit(".", 1)[-1].lower() in SUFFIX.get(kind, ())]
        free = [name for name in wanted if name not in taken]
        if kind == "shell":
            mine = [block for block in mine if not block.runs and len(wanted) == 1 and block.text.startswith("#!")]
        if (
            len(free) == 1
            and len(mine) == 1
            and not (mine[0].runs and kind == "python" and _calls(mine[0].text, free[0]))
        ):
            mine[0].name = free[0]


def _calls(code: str, name: str) -> bool:
    """Return whether code uses the file instead of being it."""
    module = name.rsplit("/", 1)[-1].removesuffix(".py")
    return bool(re.search(rf"^\s*(from|import)\s+{re.escape(module)}\b|{re.escape(name)}", code, re.M))


def _only_installs(script: str) -> bool:
    lines = [line for line in script.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return bool(lines) and all(_INSTALL.match(line) for line in lines)


def is_file(block: Block) -> bool:
    """Return whether a heading says that the block is a file."""
    lines = [line for line in block.before if line.strip()]
    return bool(lines) and is_heading(lines[-1])


def is_heading(line: str) -> bool:
    """Return whether a line of prose only introduces the next block."""
    return len(line) <= LINE and (bool(_RUN.match(line)) or any(pattern.match(line) for pattern in _HEADINGS))
