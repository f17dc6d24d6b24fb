"""The fields of requests, steps and templates. Every text has a maximum length."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: Maximum characters of a prompt, a step's source, and an acceptance command.
PROMPT_CHARACTERS, SOURCE_CHARACTERS, CHECK_CHARACTERS = 100_000, 500_000, 10_000

#: The words after which a block of the shell is fenced.
SHELL = ("bash", "sh", "shell")

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


#: Sequences that colour a terminal's text or set its title (ECMA-48, 5.4 and 5.6).
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


def printable(text: str) -> str:
    """Return a text without the sequences of a terminal, and with blanks for other control characters."""
    return "".join(character if character.isprintable() else " " for character in _ANSI.sub("", text))


#: The mark that some editors write at the beginning of a file.
BOM = "\ufeff"

#: A text that is one fenced block (CommonMark 0.31, 4.5) and nothing else.
_FENCED = re.compile(r"\s*(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)[^\n`]*\n(?P<text>.*)", re.DOTALL)


def without_bom(value: str) -> str:
    return value.lstrip(BOM)


def tidied(value: str) -> str:
    """Return a source without a byte order mark, and with the line ends of Linux. A shell takes others for text."""
    value = without_bom(value).replace("\r\n", "\n")
    return value if "\n" in value else value.replace("\r", "\n")


def unfenced(value: str, languages: tuple[str, ...] = ()) -> str:
    """Return the source inside a Markdown fence if the fence holds the whole text.

    Raises ValueError for text outside the fence, and for a fence of a language that is not in ``languages``.
    """
    found = _FENCED.match(value)
    if found is None:
        return value
    fence, language = found["fence"], found["language"].lower()
    body, closing, rest = f"\n{found['text']}".partition(f"\n{fence}")
    if closing and rest.strip():
        raise ValueError(f"has text after its {fence} fence; send the code alone, and each block as a step")
    if language and languages and language not in languages:
        raise ValueError(f"is fenced as {language!r}; this kind of step runs {languages[0]}")
    return body[1:].rstrip("\n") + "\n"


def _without_last_slash(value: str) -> str:
    return value.rstrip("/") or value


def _inside_workspace(value: str) -> str:
    value = value.removeprefix("/workspace/")
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.parts or value.endswith("/"):
        raise ValueError("must be a path inside the workspace: relative, and without '..'")
    return str(path)


#: The rules above, for the OpenAPI document.
TEXT: dict[str, Any] = {"pattern": r"^[^\u0000]*$"}
ONE_LINE: dict[str, Any] = {"pattern": r"^[^\u0000-\u001f\u007f]*$"}

# the length is checked first, so that its error counts characters
Source = Annotated[
    str,
    Field(min_length=1, max_length=SOURCE_CHARACTERS, json_schema_extra=TEXT),
    AfterValidator(_text),
    AfterValidator(tidied),
]
Content = Annotated[str, Field(max_length=SOURCE_CHARACTERS, json_schema_extra=TEXT), AfterValidator(_text)]
Prompt = Annotated[
    str,
    Field(min_length=1, max_length=PROMPT_CHARACTERS, json_schema_extra=TEXT),
    AfterValidator(_text),
    AfterValidator(without_bom),
]
Command = Annotated[
    str,
    Field(min_length=1, max_length=CHECK_CHARACTERS, json_schema_extra=TEXT),
    AfterValidator(_text),
    AfterValidator(tidied),
    AfterValidator(lambda value: unfenced(value, SHELL)),
]
Argument = Annotated[str, Field(max_length=10_000, json_schema_extra=TEXT), AfterValidator(_text)]
Line = Annotated[str, Field(max_length=200, json_schema_extra=ONE_LINE), AfterValidator(one_line)]
Path = Annotated[
    str,
    Field(min_length=1, max_length=500, json_schema_extra=ONE_LINE),
    AfterValidator(one_line),
    AfterValidator(_inside_workspace),
]
#: A declared output. A slash at its end is left out.
Output = Annotated[
    str,
    Field(min_length=1, max_length=500, json_schema_extra=ONE_LINE),
    AfterValidator(one_line),
    AfterValidator(_without_last_slash),
    AfterValidator(_inside_workspace),
]
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
LabelValue = Annotated[str, Field(max_length=255, json_schema_extra=ONE_LINE), AfterValidator(one_line)]


class Model(BaseModel):
    """The base of all requests: an unknown field or a wrong type is an error that names the field."""

    model_config = ConfigDict(extra="forbid", strict=True)
