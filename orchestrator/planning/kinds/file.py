"""File steps."""

from __future__ import annotations

from typing import Any, Literal

from orchestrator.db.models import Step as Row
from orchestrator.planning.fields import Content, Path
from orchestrator.planning.kinds.base import TITLE, BaseStep


class FileStep(BaseStep):
    """A file in the workspace."""

    kind: Literal["file"]
    path: Path
    content: Content

    SOURCE = "content"
    WRITES = True

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
