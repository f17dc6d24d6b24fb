"""The fields of requests, steps and templates. Every text has a maximum length."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: Maximum characters of a prompt, a step's source, and an acceptance command.
PROMPT_CHARACTERS, SOURCE_CHARACTERS, CHECK_CHARACTERS = 100_000, 500_000, 10_000

#: Maximum number of a script's arguments.
ARGUMENTS = 100

#: Maximum seconds of a job or a step.
MOST_SECONDS = 86_400


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


#: The rules above, for the OpenAPI document.
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
    """The base of all requests: an unknown field or a wrong type is an error that names the field."""

    model_config = ConfigDict(extra="forbid", strict=True)
