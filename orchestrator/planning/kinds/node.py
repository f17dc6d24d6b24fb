"""Node steps: JavaScript."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from pydantic import Field

from orchestrator.db.models import Step as Row
from orchestrator.planning import placeholders
from orchestrator.planning.fields import Source
from orchestrator.planning.kinds.base import BaseStep


class NodeStep(BaseStep):
    """A JavaScript program for Node.js, run as a script of the workspace.

    The `type` in the workspace's `package.json` says whether it is a module or CommonJS.
    """

    kind: Literal["node"]
    code: Source
    background: bool = Field(False, description="Keeps running until packaging, while later steps run.")

    SOURCE = "code"
    LANGUAGE = "javascript"
    FENCES = ("js", "javascript", "node")
    ALIASES = ("nodejs", "mjs", "cjs")
    SUFFIXES = ("js", "mjs", "cjs")
    PROGRAM = "node"
    MIXED_SUFFIXES = ("jsx", "ts", "tsx", "json", "html", "md", "txt")

    def columns(self) -> dict[str, Any]:
        return {"source": self.code, "background": self.background}

    @classmethod
    def fields_of(cls, row: Row) -> dict[str, Any]:
        return {"code": row.source}

    def used_inputs(self, known: Collection[str]) -> set[str]:
        if placeholders.names(self.code) & {*known}:
            raise ValueError("code: placeholders are not allowed; run a script in a shell step instead")
        return set()
