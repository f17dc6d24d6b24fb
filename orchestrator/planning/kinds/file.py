"""File steps."""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import model_validator

from orchestrator.db.models import Step as Row
from orchestrator.planning.fields import Content, Path, tidied, unfenced, without_bom
from orchestrator.planning.kinds.base import TITLE, BaseStep

#: Suffixes of programs, whose line ends must be those of Linux, and of texts that may be one fenced block themselves.
PROGRAMS = (".bash", ".cjs", ".js", ".mjs", ".pl", ".py", ".rb", ".sh")
MARKDOWN = ("", ".markdown", ".md", ".mdx", ".rst", ".txt")


class FileStep(BaseStep):
    """A file in the workspace."""

    kind: Literal["file"]
    path: Path
    content: Content

    SOURCE = "content"
    WRITES = True

    @model_validator(mode="after")
    def _tidied(self) -> FileStep:
        """Tidy a program like the source of a step. Other contents keep their line ends."""
        suffix = PurePosixPath(self.path).suffix.lower()
        if suffix in PROGRAMS or self.path.endswith("Makefile") or without_bom(self.content).startswith("#!"):
            self.content = tidied(self.content)
        if suffix not in MARKDOWN:
            with suppress(ValueError):
                self.content = unfenced(self.content)
        return self

    def columns(self) -> dict[str, Any]:
        return {"source": self.content, "path": self.path}

    @classmethod
    def fields_of(cls, row: Row) -> dict[str, Any]:
        return {"path": row.path, "content": row.source}

    def default_title(self) -> str:
        return f"Write {self.path}"[:TITLE]

    @classmethod
    def heading(cls, row: Row) -> str:
        return f"The file `{row.path}`:"

    @classmethod
    def named(cls, row: Row) -> str:
        return f"the file {row.path}"
