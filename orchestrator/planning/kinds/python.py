"""Python steps: cells of the job's notebook, and scripts."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from orchestrator.db.models import Step as Row
from orchestrator.planning import placeholders
from orchestrator.planning.fields import ARGUMENTS, Argument, Path, Source
from orchestrator.planning.kinds.base import TITLE, BaseStep
from orchestrator.planning.template_inputs import Value


class PythonStep(BaseStep):
    """Python: `code`, which shares its variables with the job's other python steps, or a `file` that is a script."""

    kind: Literal["python"]
    code: Source | None = Field(None, description="A cell of the job's notebook.")
    file: Path | None = Field(None, description="A script in the workspace, run as a process: `python file args`.")
    args: Annotated[list[Argument], Field(max_length=ARGUMENTS)] = Field(
        default_factory=list, description="Arguments of the script."
    )
    background: bool = Field(
        False, description="Keeps running until packaging, while later steps run, in a process of its own."
    )

    SOURCE = "code"
    LANGUAGE = "python"
    FENCES = ("python", "python3", "py")
    ALIASES = ("ipython", "ipython3")
    SUFFIXES = ("py",)
    PROGRAM = "python"
    MIXED_SUFFIXES = ("pyw", "pyi", "ipynb", "md", "txt")

    def columns(self) -> dict[str, Any]:
        source = self.code or shlex.join(["python", self.file or "", *self.args])
        return {"source": source, "path": self.file or "", "args": self.args, "background": self.background}

    @classmethod
    def fields_of(cls, row: Row) -> dict[str, Any]:
        return {"file": row.path, "args": row.args} if row.path else {"code": row.source}

    def default_title(self) -> str:
        return f"Run {self.file}"[:TITLE] if self.file else super().default_title()

    @classmethod
    def is_cell(cls, row: Row) -> bool:
        return not row.path and not row.background

    def used_inputs(self, known: Collection[str]) -> set[str]:
        if any(placeholders.names(argument) for argument in self.args):
            raise ValueError("args: placeholders are not allowed; run the script in a shell step instead")
        placeholders.check_python(self.code or "", known)
        return placeholders.names(self.code or "")

    def filled(self, values: Mapping[str, Value], files: Sequence[str]) -> Self:
        if not self.code:
            return self
        return self.model_copy(update={"code": placeholders.fill_python(self.code, values, files)})

    @model_validator(mode="after")
    def _one_of_both(self) -> PythonStep:
        if (self.code is None) == (self.file is None):
            raise ValueError("give code or file, not both")
        if self.args and self.file is None:
            raise ValueError("args need a file: only a script has arguments")
        return self

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": ["code"],
                    "properties": {"code": {"type": "string"}, "file": {"type": "null"}, "args": {"maxItems": 0}},
                },
                {"required": ["file"], "properties": {"file": {"type": "string"}, "code": {"type": "null"}}},
            ]
        }
    )
