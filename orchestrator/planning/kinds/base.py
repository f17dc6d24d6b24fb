"""The base of all kinds of steps. Each kind is a class in a file of its own, with a row in ``KINDS``.

A kind is a pydantic model of a step in a plan. Its methods make the step's row in the record. Its class methods and
attributes read the row back, and describe the step in the documents and for a model. The agent runs the step, with the
node in the file of the same name in ``agent/nodes/``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator

from orchestrator.db.models import Step as Row
from orchestrator.planning.fields import MOST_SECONDS, Line, Model, printable, unfenced
from orchestrator.planning.template_inputs import Value

#: Maximum characters of a title made from a source, and of any title.
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

    #: Further words that models use for the kind.
    ALIASES: ClassVar[tuple[str, ...]] = ()

    #: The suffixes of files in the kind's language, and the program that runs such a file. ``MIXED_SUFFIXES`` are for
    #: files that may hold the language among other text.
    SUFFIXES: ClassVar[tuple[str, ...]] = ()
    PROGRAM: ClassVar[str] = ""
    MIXED_SUFFIXES: ClassVar[tuple[str, ...]] = ()

    #: Whether the step only writes its ``path`` and runs nothing.
    WRITES: ClassVar[bool] = False

    @field_validator("script", "code", check_fields=False)
    @classmethod
    def _unfenced(cls, value: str | None) -> str | None:
        return value and unfenced(value, (*cls.FENCES, *cls.ALIASES))

    @abstractmethod
    def columns(self) -> dict[str, Any]:
        """Return the columns of the step's row that depend on the kind: source, path, args, background."""

    @classmethod
    @abstractmethod
    def fields_of(cls, row: Row) -> dict[str, Any]:
        """Return the kind's own fields from a row, as in a plan. The caller adds ``background`` for all kinds."""

    @property
    def source(self) -> str:
        """Return the whole source as one text."""
        return str(self.columns()["source"])

    @property
    def writes(self) -> str:
        """The path of the file that the step writes; empty if it runs something."""
        return str(self.columns()["path"]) if self.WRITES else ""

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the step of a row."""
        more = {"background": True} if row.background else {}
        return cls(kind=row.kind, title=row.title, **cls.fields_of(row), **more)

    def default_title(self) -> str:
        """Return a title for a step without one: by default, the first line of its source."""
        first = next((line.strip() for line in self.source.splitlines() if line.strip()), self.kind)
        title = printable(first)
        return title if len(title) <= SHORT_TITLE else title[: SHORT_TITLE - 1] + "…"

    @classmethod
    def is_cell(cls, row: Row) -> bool:
        """Tell whether the step is a code cell of ``session.ipynb``. Otherwise a text cell describes it."""
        return False

    @classmethod
    def heading(cls, row: Row) -> str:
        """Return the line above the source in the text cell of ``session.ipynb``."""
        return ""

    @classmethod
    def named(cls, row: Row) -> str:
        """Return the step's name for a model. The first line of the source follows it, except with ``WRITES``."""
        return f"the {cls.LANGUAGE} block"

    def used_inputs(self, known: Collection[str]) -> set[str]:
        """Return the inputs of a template that the step uses. Raises ValueError for a misplaced input."""
        return set()

    def filled(self, values: Mapping[str, Value], files: Sequence[str]) -> Self:
        """Return the step with the values of a template's inputs in it."""
        return self
