"""The base of all kinds of steps. Each kind is a class in a file of its own, with a row in ``KINDS``.

A kind is at first the model of a step as a plan has it. Its methods make the step's row in the record. Its class
methods and attributes say how the row is read back, and how the documents and a model speak of it. How a step runs is
the agent's part: the file of the same name in ``agent/nodes/``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field

from orchestrator.db.models import Step as Row
from orchestrator.planning.fields import MOST_SECONDS, Line, Model
from orchestrator.planning.template_inputs import Value

#: Characters of a title that is made from a source, and of any title.
SHORT_TITLE, TITLE = 80, 200


class BaseStep(Model, ABC):
    """A step of a plan. A kind adds ``kind``, a literal, and its own fields."""

    title: Line = Field("", description="Shown in the status and the report.")
    seconds: float | None = Field(None, gt=0, le=MOST_SECONDS, description="Time limit of this step alone.")
    kind: str

    #: The field that holds the source, or the content of a file.
    SOURCE: ClassVar[str]

    #: The word after which documents fence the source; empty for plain text.
    LANGUAGE: ClassVar[str] = ""

    #: The words after which a prompt fences a block to run; empty if no block of a prompt is of this kind.
    FENCES: ClassVar[tuple[str, ...]] = ()

    #: Further words that models use for it.
    ALIASES: ClassVar[tuple[str, ...]] = ()

    #: The suffixes of files in its language, the program that runs such a file, and suffixes of files that may hold
    #: the language among other text.
    SUFFIXES: ClassVar[tuple[str, ...]] = ()
    PROGRAM: ClassVar[str] = ""
    MIXED_SUFFIXES: ClassVar[tuple[str, ...]] = ()

    #: Whether it only writes its ``path`` and runs nothing.
    WRITES: ClassVar[bool] = False

    @abstractmethod
    def columns(self) -> dict[str, Any]:
        """Return the columns of its row that are the kind's own: source, path, args, background."""

    @classmethod
    @abstractmethod
    def fields_of(cls, row: Row) -> dict[str, Any]:
        """Return the kind's own fields from a row, as a plan has them; ``background`` is added for all kinds."""

    @property
    def source(self) -> str:
        """Return the whole source as one text."""
        return str(self.columns()["source"])

    @property
    def writes(self) -> str:
        """The path of the file that it writes; empty if it runs something."""
        return str(self.columns()["path"]) if self.WRITES else ""

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the step that a row was made from."""
        more = {"background": True} if row.background else {}
        return cls(kind=row.kind, title=row.title, **cls.fields_of(row), **more)

    def default_title(self) -> str:
        """Return a title for a step without one: by default, the first line of its source."""
        first = next((line.strip() for line in self.source.splitlines() if line.strip()), self.kind)
        printable = "".join(character if character.isprintable() else " " for character in first)
        return printable if len(printable) <= SHORT_TITLE else printable[: SHORT_TITLE - 1] + "…"

    @classmethod
    def is_cell(cls, row: Row) -> bool:
        """Tell whether ``session.ipynb`` has the step as a cell that runs; otherwise it has a text about it."""
        return False

    @classmethod
    def heading(cls, row: Row) -> str:
        """Return what stands before the source in the text of ``session.ipynb``."""
        return ""

    @classmethod
    def named(cls, row: Row) -> str:
        """Return what a model knows the step as, in front of its first line; with ``WRITES``, all of it."""
        return f"the {cls.LANGUAGE} block"

    def used_inputs(self, known: Collection[str]) -> set[str]:
        """Return the inputs of a template that the step uses. Raises ValueError for a misplaced input."""
        return set()

    def filled(self, values: Mapping[str, Value], files: Sequence[str]) -> Self:
        """Return the step with the values of a template's inputs in it."""
        return self
