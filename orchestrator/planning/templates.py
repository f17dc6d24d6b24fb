"""Predefined jobs. Each is a folder in ``templates/`` with a ``template.toml``; see docs/templates.md."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from orchestrator.errors import SettingsError
from orchestrator.planning import placeholders
from orchestrator.planning.fields import Line, Model
from orchestrator.planning.kinds import KINDS, BaseStep
from orchestrator.planning.phrases import CHARACTERS, Phrase, nearest, tidy
from orchestrator.planning.steps import Outputs, Steps
from orchestrator.planning.template_inputs import Input, InputName, Value

FOLDER = Path(__file__).resolve().parents[2] / "templates"


class Condition(Model):
    """The condition of a step. An input counts as given if it is neither empty nor false."""

    when: InputName | None = Field(None, description="The step exists only if this input is given.")
    unless: InputName | None = Field(None, description="The step exists only if this input is not given.")

    def holds(self, values: Mapping[str, Value]) -> bool:
        needed = self.when is None or values[self.when] not in ("", False)
        return needed and (self.unless is None or values[self.unless] in ("", False))


class Files(Model):
    """The files that a template works on: the uploads, or else its ``sample`` folder."""

    about: Line
    accept: Annotated[list[Line], Field(min_length=1, max_length=50)] = Field(
        description="Globs of their names, in lower case; upper case matches too."
    )
    minimum: int = Field(1, ge=0, le=1000)
    maximum: int = Field(1000, ge=1, le=1000)

    def accepts(self, name: str) -> bool:
        return any(fnmatchcase(name.lower(), glob) for glob in self.accept)

    @property
    def count(self) -> str:
        """The allowed number of files, in words."""
        if self.minimum == self.maximum:
            return f"{self.minimum} file{'s' if self.minimum > 1 else ''}"
        return f"{self.minimum} to {self.maximum} files"


class Template(Model):
    """A predefined job."""

    about: Line
    phrases: Annotated[list[Line], Field(min_length=1)]
    inputs: dict[InputName, Input] = Field(default_factory=dict)
    files: Files | None = None
    network: Literal["none", "internet"] | None = None
    outputs: Outputs = Field(default_factory=list)
    steps: Steps
    conditions: list[Condition] = Field(default_factory=list, exclude=True)
    sample: list[Path] = Field(default_factory=list, exclude=True)

    def plan(self, values: Mapping[str, Value], files: Sequence[str]) -> list[BaseStep]:
        """Return the steps with the values and the file names filled in."""
        found: list[BaseStep] = []
        for step, condition in zip(self.steps, self.conditions, strict=True):
            if condition.holds(values):
                found.append(step.filled(values, files))
        return found

    def network_for(self, values: Mapping[str, Value]) -> str | None:
        """Return the network that these values ask for, or None if they ask for none in particular."""
        for name, value in values.items():
            if self.inputs[name].network and value != self.inputs[name].default:
                return self.inputs[name].network
        return self.network

    def makes(self, name: str) -> bool:
        """Return whether the template itself writes a file or folder of this name."""
        paths = [step.writes for step in self.steps if step.writes]
        return any(Path(path).parts[0].lower() == name.lower() for path in [*paths, *self.outputs])

    @model_validator(mode="after")
    def _whole(self) -> Template:
        known = {*self.inputs, *([placeholders.FILES] if self.files else [])}
        used = set[str]()
        if placeholders.FILES in self.inputs:
            raise ValueError("inputs: the name files is reserved")
        for number, (step, condition) in enumerate(zip(self.steps, self.conditions, strict=True), 1):
            try:
                used |= step.used_inputs(known) | _check_condition(condition, self.inputs)
            except ValueError as error:
                raise ValueError(f"step {number}: {error}") from None
        if unused := sorted(set(self.inputs) - used):
            raise ValueError(f"inputs.{unused[0]}: no step uses it")
        _check_sample(self.files, self.sample)
        return self


class Templates:
    """All templates, and the phrases that select them."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read every template. Raises SettingsError that names an invalid one."""
        self.all: dict[str, Template] = {}
        self.phrases: list[Phrase] = []
        shapes: dict[tuple[str, ...], str] = {}
        for file in sorted(folder.glob("*/template.toml")):
            name = file.parent.name
            try:
                template = self.all[name] = _read(file)
                phrases = [Phrase.parse(text, name, template.inputs) for text in template.phrases]
            except (OSError, ValueError) as error:
                raise SettingsError(f"The template {name} is wrong: {_sentence(error)}") from error
            for phrase in phrases:
                other = shapes.setdefault(phrase.shape, name)
                if other != name:
                    raise SettingsError(f"The templates {other} and {name} have the same phrase: {phrase.text!r}")
            self.phrases += phrases
        self.phrases.sort(key=lambda phrase: phrase.rank)

    def match(self, prompt: str, only: str | None = None) -> tuple[str, dict[str, Value]] | None:
        """Return the template whose phrase is the whole prompt, with the values of the slots."""
        if len(prompt) > CHARACTERS:
            return None
        text = tidy(prompt)
        for phrase in self.phrases:
            if only in (None, phrase.template):
                slots = phrase.match(text, self.all[phrase.template].inputs)
                if slots is not None:
                    return phrase.template, slots
        return None

    def nearest(self, prompt: str) -> Phrase | None:
        """Return the phrase that is most similar to a prompt."""
        return nearest(prompt, self.phrases)


def _read(file: Path) -> Template:
    """Read a template. Raises ValueError or OSError."""
    data = tomllib.loads(file.read_text("utf-8"))
    for name in ("conditions", "sample"):
        if name in data:
            raise ValueError(f"{name}: there is no such field")
    steps = data.get("steps")
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, dict):
            condition = {name: step.pop(name) for name in ("when", "unless") if name in step}
            data.setdefault("conditions", []).append(condition)
            kind = KINDS.get(str(step.get("kind")))
            if kind and kind.WRITES and "file" in step and kind.SOURCE not in step:
                step[kind.SOURCE] = _source(file.parent, str(step.pop("file"))).read_text("utf-8")
    folder = file.parent / "sample"
    data["sample"] = sorted(_inside(file.parent, f"sample/{path.name}") for path in folder.glob("*"))
    return Template.model_validate(data)


def _source(folder: Path, name: str) -> Path:
    """Return the path of a step's file. ``shared/`` means the folder beside the templates, which all of them use."""
    first, _, rest = name.partition("/")
    return _inside(folder.parent / first, rest) if first == "shared" else _inside(folder, name)


def _inside(folder: Path, name: Any) -> Path:
    """Return the path of a file in the template's folder. Raises ValueError if it is outside or missing."""
    path = folder / str(name)
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(f"{name}: the template's folder has no such file")
    return path


def _check_condition(condition: Condition, inputs: Mapping[str, Input]) -> set[str]:
    used = {name for name in (condition.when, condition.unless) if name is not None}
    if unknown := sorted(used - set(inputs)):
        raise ValueError(f"{unknown[0]} is not an input of the template")
    return used


def _check_sample(files: Files | None, sample: list[Path]) -> None:
    if sample and files is None:
        raise ValueError("sample: needs [files]")
    if sample and files and not files.minimum <= len(sample) <= files.maximum:
        raise ValueError(f"sample: has {len(sample)} files, but files asks for {files.count}")
    for path in sample:
        if files and not files.accepts(path.name):
            raise ValueError(f"sample: files.accept does not take {path.name}")


def _sentence(error: Exception) -> str:
    """Return the error as a sentence with its place, without a library's own words."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = [
        (".".join(str(part) for part in item["loc"]), item["msg"].removeprefix("Value error, "))
        for item in error.errors(include_url=False)
    ]
    return "; ".join(f"{place}: {message}" if place else message for place, message in found)
