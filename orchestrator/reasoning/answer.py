"""The parsed content of a model's answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.planning.fields import CHECK_CHARACTERS
from orchestrator.planning.kinds import KINDS, BaseStep

#: Maximum characters of a step's title, of the thought, and of the model's request for missing things.
TITLE, THOUGHT, NEEDS = 120, 8_000, 4_000

#: The words by which a model names a kind, with the kind of each.
LANGUAGES = {word: name for name, kind in KINDS.items() for word in (*kind.FENCES, *kind.ALIASES)}

#: Words that models write for "nothing". As a check, also commands that always succeed or only repeat our words.
NOTHING = {
    "", "none", "n/a", "na", "n.a.", "null", "nil", "no", "nothing", "-", "–", "not needed", "none needed",
    "not required", "not applicable", "no check", "missing", "empty", "undefined", "false", "[]", "{}", "\"\"", "''",
}  # fmt: skip
_NOTHING_MORE = re.compile(
    r"[`*\"'(]*(none|n/?a|nothing)\b(\W*$|\s*([.,;:—–-]\s|\()|\s+(else|more|is|needed|required|missing|further)\b)",
    re.IGNORECASE,
)

#: The beginning of a sentence in place of a command.
_SENTENCE = re.compile(
    r"[`*\"'(]*(?:(?:no|not|nothing|none|n/?a|tbd|skip(?:ped)?|manual(?:ly)?|visual(?:ly)?|unnecessary|keine?|nope)(?![\w./-])"
    r"|(?:Verify|Check|Ensure|Confirm|Make sure|Inspect|Open|Look|Run|Execute|The|It|There|We|You)\s)",
    re.IGNORECASE,
)

#: ANSI sequences and control characters other than line ends, tabs and form feeds.
_CONTROL = re.compile(
    r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-_])?|[\x00-\x08\x0b\x0e-\x1f\x7f]"
)
ALWAYS = {"true", ":", "exit 0", "yes", "echo ok", "ok", "done", "the step failed", "pass", "/bin/true"}


class Unusable(Exception):
    """The answer gives no plan. The message is a sentence for the model."""


@dataclass(frozen=True)
class Given:
    """Facts that are known before parsing: the files in the prompt, the uploads, and the network."""

    named: Sequence[str] = ()
    uploads: Sequence[str] = ()
    network: bool = False
    planning: bool = True  # before the first step
    upload: Callable[[str], str] = lambda name: ""  # the beginning of an upload


@dataclass
class Reading:
    """A parsed answer. ``done`` is None if the answer does not say. ``notes`` list what was not taken literally."""

    thought: str = ""
    steps: list[BaseStep] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    check: str = ""
    needs: str = ""
    done: bool | None = None
    notes: list[str] = field(default_factory=list)


def is_nothing(text: str) -> bool:
    return text.strip().strip("`*\"'.()").lower() in NOTHING or _NOTHING_MORE.match(text.strip()) is not None


def is_always(text: str) -> bool:
    return is_nothing(text) or text.strip().strip("`*\"'.()").lower() in ALWAYS


def command(text: str) -> str:
    """Return the command of a check, or an empty text if it has none."""
    text = text.strip()
    if found := re.match(r"^(`+)(.+?)\1", text):
        text = found[2].strip()
    elif _SENTENCE.match(text):  # a sentence may name the command
        found = re.search(r"`([^`]+)`", text)
        text = found[1].strip() if found and " " in found[1].strip() else ""
    return "" if is_always(text) or len(text) > CHECK_CHARACTERS else text


def inside(path: str) -> str:
    """Return a path relative to the workspace."""
    path = re.sub(r"^(\./|/?workspace/)+", "", path.strip())
    return path.rstrip("/") + "/**" if path.endswith("/") else path


def without_controls(text: str) -> tuple[str, bool]:
    """Remove ANSI sequences and control characters. Also return whether there were any."""
    found = _CONTROL.sub("", text)
    return found, len(found) < len(text)


def whole(text: str) -> str:
    """Return a text in which U+FFFD replaces a half of a character. JSON can write one, but no encoding knows it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in without_controls(text)[0]).split())
    return text if len(text) <= TITLE else f"{text[: TITLE - 1]}…"


def bounded(text: str, most: int) -> str:
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return text if len(text) <= most else f"{text[:most]} […]"


def paths(text: str) -> list[str]:
    """Return the paths and globs in a list that a model wrote."""
    paths = list[str]()
    for part in re.split(r"[,;]|\band\b", text):
        quoted = re.search(r"`([^`]+)`", part)
        plain = re.split(r" \(| [-–] |: ", part.strip())[0].strip(" \"'")
        plain = re.sub(r"^\*\*([^*]+)\*\*$", r"\1", plain).rstrip(".:")  # bold, and not a glob
        paths.append(inside(quoted[1] if quoted else plain))
    return [path for path in paths if path and not is_nothing(path) and not re.search(r"\s\w+\s", path)]
