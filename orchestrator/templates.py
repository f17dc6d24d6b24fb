"""Predefined jobs: each a folder of ``templates/`` with a ``template.toml``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from orchestrator.errors import SettingsError
from orchestrator.plan import Line, Model, Outputs, Steps

FOLDER = Path(__file__).resolve().parent.parent / "templates"


class Template(Model):
    """One predefined job."""

    about: Line
    phrases: Annotated[list[Line], Field(min_length=1)]
    outputs: Outputs = Field(default_factory=list)
    steps: Steps


class Templates:
    """All templates, and the phrases by which a prompt names one."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read every template; raises SettingsError that names a wrong one."""
        self.all: dict[str, Template] = {}
        self._phrases: dict[str, str] = {}
        for file in sorted(folder.glob("*/template.toml")):
            name = file.parent.name
            try:
                self.all[name] = Template.model_validate(tomllib.loads(file.read_text("utf-8")))
            except (ValidationError, tomllib.TOMLDecodeError) as error:
                raise SettingsError(f"The template {name} is wrong: {error}") from error
            for phrase in self.all[name].phrases:
                other = self._phrases.setdefault(_plain(phrase), name)
                if other != name:
                    raise SettingsError(f"The templates {other} and {name} have the same phrase: {phrase!r}")

    def match(self, prompt: str) -> str | None:
        """The template that a prompt as a whole is a phrase of. Half a match is no match."""
        return self._phrases.get(_plain(prompt))


def _plain(phrase: str) -> str:
    """Without what does not matter: case, white space, and the mark at the end."""
    return re.sub(r"\s+", " ", phrase).strip().rstrip(".!?").strip().casefold()
