"""A task: a prompt, its uploads, and a judge of the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Content of a file: bytes, text, or a function that makes it.
Content = bytes | str | Callable[[], bytes | str]

#: Judges a result. The first folder is a copy of the workspace, the second contains the original uploads. Raises Wrong
#: with a sentence if the result is wrong.
Judge = Callable[[Path, Path], None]


class Wrong(Exception):
    """The result differs from the prompt's request, as the text says."""


@dataclass(frozen=True)
class Script:
    """A program that makes a result from the uploads, in their folder."""

    language: str  # python, bash or node
    source: str


#: A result: the job's files, or a program that makes them.
Made = Mapping[str, Content] | Script


@dataclass(frozen=True)
class Task:
    name: str
    prompt: str
    #: None if only the job's status counts, see ``need``.
    judge: Judge | None = None
    files: Mapping[str, Content] = field(default_factory=dict)
    #: The question to the model alone: the name of the one file that answers the prompt, ``run python`` or ``run bash``
    #: for a script over the uploads, or empty if one code block cannot answer.
    alone: str = ""
    #: For an impossible task: the job must fail with a text that matches this pattern.
    need: str = ""
    #: A correct result and wrong ones. The tests check that the judge distinguishes them.
    reference: Made = field(default_factory=dict)
    wrong: tuple[Made, ...] = ()

    def uploads(self) -> dict[str, bytes]:
        """Return the uploads with their contents made."""
        return written(self.files)


def written(files: Mapping[str, Content]) -> dict[str, bytes]:
    """Return the bytes of each file."""
    made = {name: content() if callable(content) else content for name, content in files.items()}
    return {name: content.encode() if isinstance(content, str) else content for name, content in made.items()}
