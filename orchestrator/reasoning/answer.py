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
    return text.strip().strip("`*\"'.()").lower() in NOTHING


def is_always(text: str) -> bool:
    return is_nothing(text) or text.strip().strip("`*\"'.()").lower() in ALWAYS


def command(text: str) -> str:
    text = text.strip()
    if found := re.match(r"^(`+)(.+?)\1", text):
        text = found[2].strip()
    return "" if is_always(text) or len(text) > CHECK_CHARACTERS else text


def inside(path: str) -> str:
    """Return a path relative to the workspace."""
    path = re.sub(r"^(\./|/?workspace/)+", "", path.strip())
    return path.rstrip("/") + "/**" if path.endswith("/") else path


def one_line(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= TITLE else f"{text[: TITLE - 1]}…"


def bounded(text: str, most: int) -> str:
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return text if len(text) <= most else f"{text[:most]} […]"
