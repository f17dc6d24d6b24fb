"""What a task is: a prompt, files that come with it, and a judge that looks at the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Content of a file: bytes, text, or a function that makes it.
Content = bytes | str | Callable[[], bytes | str]

#: Look at a result. The first folder is a copy of the workspace, the second has the uploads as they were.
#: Raises Wrong with a sentence where the result is not right.
Judge = Callable[[Path, Path], None]


class Wrong(Exception):
    """The result is not what the prompt asked for; the text says how it differs."""


@dataclass(frozen=True)
class Script:
    """A program that makes a result from the uploads. It runs in the folder that has them."""

    language: str  # python, bash or node
    source: str


#: A result: the files that the job made, or a program that makes them.
Made = Mapping[str, Content] | Script


@dataclass(frozen=True)
class Task:
    name: str
    prompt: str
    #: None where only the job's status counts, see ``need``.
    judge: Judge | None = None
    files: Mapping[str, Content] = field(default_factory=dict)
    #: How the same model is asked directly: the name of the one file that answers the prompt, ``run python`` or
    #: ``run bash`` for a script over the uploads, or empty where one code block cannot answer.
    alone: str = ""
    #: For a task that cannot be done: the job must end as failed, with a text that matches this pattern.
    need: str = ""
    #: A right result, and wrong ones; the tests show that the judge tells them apart.
    reference: Made = field(default_factory=dict)
    wrong: tuple[Made, ...] = ()

    def uploads(self) -> dict[str, bytes]:
        """The files that come with the prompt, made."""
        return written(self.files)


def written(files: Mapping[str, Content]) -> dict[str, bytes]:
    """The bytes of each file."""
    made = {name: content() if callable(content) else content for name, content in files.items()}
    return {name: content.encode() if isinstance(content, str) else content for name, content in made.items()}
