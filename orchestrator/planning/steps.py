"""The steps and limits that a job can request. Every text and list is bounded."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from orchestrator.sizes import Size, show_size, size_schema

#: Maximum characters of a prompt, a step's source, and an acceptance command.
PROMPT_CHARACTERS, SOURCE_CHARACTERS, CHECK_CHARACTERS = 100_000, 500_000, 10_000

#: Maximum numbers of steps, declared outputs, and labels.
STEPS, OUTPUTS, LABELS = 100, 50, 32

#: Maximum number of a script's arguments.
ARGUMENTS = 100

#: Maximum seconds of a job or a step.
MOST_SECONDS = 86_400

#: Bounds in bytes of a container's memory and of the workspace files in a ZIP.
LEAST_MEMORY = 64 * 2**20
LEAST_ZIP, MOST_ZIP = 2**16, 2**40

MEMORY_OF_MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
CPUS_OF_MACHINE = os.cpu_count() or 1


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain the character NUL")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("must not contain half of a surrogate pair")
    return value


def one_line(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("must be one line without control characters")
    return _text(value)


def _inside_workspace(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.parts or value.endswith("/"):
        raise ValueError("must be a path inside the workspace: relative, and without '..'")
    return str(path)


def _memory(value: int) -> int:
    if not LEAST_MEMORY <= value <= MEMORY_OF_MACHINE:
        raise ValueError(f"must be between 64m and this machine's memory ({show_size(MEMORY_OF_MACHINE)})")
    return value


#: The same rules for the OpenAPI document.
TEXT: dict[str, Any] = {"pattern": r"^[^\u0000]*$"}
ONE_LINE: dict[str, Any] = {"pattern": r"^[^\u0000-\u001f\u007f]*$"}

# the length is checked first, so that its error counts characters
Source = Annotated[
    str, Field(min_length=1, max_length=SOURCE_CHARACTERS, json_schema_extra=TEXT), AfterValidator(_text)
]
Content = Annotated[str, Field(max_length=SOURCE_CHARACTERS, json_schema_extra=TEXT), AfterValidator(_text)]
Prompt = Annotated[
    str, Field(min_length=1, max_length=PROMPT_CHARACTERS, json_schema_extra=TEXT), AfterValidator(_text)
]
Command = Annotated[
    str, Field(min_length=1, max_length=CHECK_CHARACTERS, json_schema_extra=TEXT), AfterValidator(_text)
]
Argument = Annotated[str, Field(max_length=10_000, json_schema_extra=TEXT), AfterValidator(_text)]
Line = Annotated[str, Field(max_length=200, json_schema_extra=ONE_LINE), AfterValidator(one_line)]
Path = Annotated[
    str,
    Field(min_length=1, max_length=500, json_schema_extra=ONE_LINE),
    AfterValidator(one_line),
    AfterValidator(_inside_workspace),
]
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
LabelValue = Annotated[str, Field(max_length=255, json_schema_extra=ONE_LINE), AfterValidator(one_line)]


class Model(BaseModel):
    """Base of all request models. An unknown field or a wrong type is an error that names the field."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Step(Model):
    title: Line = Field("", description="Shown in the status and the report.")
    seconds: float | None = Field(None, gt=0, le=MOST_SECONDS, description="Time limit of this step alone.")


class ShellStep(_Step):
    """A bash script. It ends at its first failing command (`bash -eo pipefail`)."""

    kind: Literal["shell"]
    script: Source
    background: bool = Field(False, description="Keeps running until packaging, while later steps run.")


class PythonStep(_Step):
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


class FileStep(_Step):
    """A file in the workspace."""

    kind: Literal["file"]
    path: Path
    content: Content


Step = Annotated[ShellStep | PythonStep | FileStep, Field(discriminator="kind")]
Steps = Annotated[list[Step], Field(min_length=1, max_length=STEPS)]
Outputs = Annotated[list[Path], Field(max_length=OUTPUTS)]


class Limits(Model):
    """The limits of a job. Each is optional."""

    seconds: float = Field(
        600,
        gt=0,
        le=MOST_SECONDS,
        description="For all steps and all waiting for the model together. A check has the same time again.",
    )
    memory: Annotated[Size, AfterValidator(_memory), size_schema(LEAST_MEMORY, MEMORY_OF_MACHINE)] = Field(
        2**30, description="Memory of the container; bytes, or `1g` (2^30)."
    )
    cpus: float = Field(1.0, ge=0.1, le=CPUS_OF_MACHINE, description="CPUs; fractions are allowed.")
    processes: int = Field(256, ge=32, le=32_768, description="Maximum number of processes and threads.")
    calls: int = Field(20, ge=1, le=1000, description="Maximum calls of the model.")
    tokens: int = Field(500_000, ge=1, le=10**9, description="Maximum tokens of the model, input and output together.")
    cost: float = Field(1.0, ge=0, le=10_000, description="Maximum cost of the model in US$, if its price is known.")
    zip: Annotated[Size, Field(ge=LEAST_ZIP, le=MOST_ZIP), size_schema(LEAST_ZIP, MOST_ZIP)] = Field(
        2**30, description="Maximum size of the job's files in the ZIP. Beyond it, the largest files are left out."
    )


def default_title(step: ShellStep | PythonStep | FileStep) -> str:
    """Return the title of a step without one."""
    if isinstance(step, FileStep):
        return f"Write {step.path}"[:200]
    if isinstance(step, PythonStep) and step.file:
        return f"Run {step.file}"[:200]
    source = step.script if isinstance(step, ShellStep) else step.code or ""
    first = next((line.strip() for line in source.splitlines() if line.strip()), step.kind)
    printable = "".join(character if character.isprintable() else " " for character in first)
    return printable if len(printable) <= 80 else printable[:79] + "…"
