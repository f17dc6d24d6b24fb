"""What an answer of a model says, once it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.planning.fields import CHECK_CHARACTERS
from orchestrator.planning.kinds import KINDS, BaseStep

#: Characters of a step's title, of the thought, and of what a model says it needs.
TITLE, THOUGHT, NEEDS = 120, 8_000, 4_000

#: The words by which a model names a kind, with the kind of each.
LANGUAGES = {word: name for name, kind in KINDS.items() for word in (*kind.FENCES, *kind.ALIASES)}

#: What models write where there is nothing to say; as a check, also what always succeeds or only copies our words.
NOTHING = {
    "", "none", "n/a", "na", "n.a.", "null", "nil", "no", "nothing", "-", "–", "not needed", "none needed",
    "not required", "not applicable", "no check", "missing", "empty", "undefined", "false", "[]", "{}", "\"\"", "''",
}  # fmt: skip
ALWAYS = {"true", ":", "exit 0", "yes", "echo ok", "ok", "done", "the step failed", "pass", "/bin/true"}


class Unusable(Exception):
    """No plan can be made of the answer; a sentence that the model can act on."""


@dataclass(frozen=True)
class Given:
    """What is known before an answer is read: the files that the prompt names, the uploads, and the network."""

    named: Sequence[str] = ()
    uploads: Sequence[str] = ()
    network: bool = False
    planning: bool = True  # no step has run yet
    upload: Callable[[str], str] = lambda name: ""  # the beginning of an upload


@dataclass
class Reading:
    """What an answer says. ``done`` is None if it does not say; ``notes`` tell what was not taken literally."""

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
    """A path relative to the workspace."""
    path = re.sub(r"^(\./|/?workspace/)+", "", path.strip())
    return path.rstrip("/") + "/**" if path.endswith("/") else path


def one_line(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= TITLE else f"{text[: TITLE - 1]}…"


def bounded(text: str, most: int) -> str:
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return text if len(text) <= most else f"{text[:most]} […]"
