"""The typed inputs of a template: their bounds, how slots of phrases are read, and the errors for wrong values."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from orchestrator.planning.fields import Line, Model, one_line

#: Maximum characters of a value in any template.
VALUE_CHARACTERS = 2000

Value = str | int | float | bool
InputName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class _Input(Model):
    """Base of all inputs. ``read`` and ``check`` raise ValueError."""

    about: Line
    network: Literal["internet"] | None = Field(
        None, description="The network of a job that gives this input and names no network itself."
    )

    @property
    def bounds(self) -> str:
        """The bounds of a value, as the words after "must be"."""
        raise NotImplementedError

    def read(self, text: str) -> Value:
        """Return the value of a slot's text, in bounds or not. Raises ValueError if the text has the wrong type."""
        return text

    def check(self, value: object) -> Value:
        """Return the value if its type and bounds are right."""
        raise NotImplementedError

    def _must_be(self) -> ValueError:
        return ValueError(f"must be {self.bounds}")

    @model_validator(mode="after")
    def _default_in_bounds(self) -> _Input:
        default = getattr(self, "default", None)
        if default is not None:
            try:
                self.check(default)
            except ValueError as error:
                raise ValueError(f"the default {default!r} {error}") from None
        return self


class StringInput(_Input):
    """One line of text."""

    type: Literal["string"]
    default: str | None = None
    pattern: str | None = Field(None, description="Regular expression for the whole value.")
    max_length: int = Field(200, ge=1, le=VALUE_CHARACTERS)

    @property
    def bounds(self) -> str:
        form = f" that matches {self.pattern}" if self.pattern else ""
        return f"one line of at most {self.max_length} characters{form}"

    def read(self, text: str) -> Value:
        if not self._fits(text):
            raise self._must_be()
        return text

    def check(self, value: object) -> Value:
        if not isinstance(value, str) or len(value) > self.max_length or not self._fits(value):
            raise self._must_be()
        return one_line(value)

    def _fits(self, value: str) -> bool:
        return self.pattern is None or re.fullmatch(self.pattern, value) is not None

    @model_validator(mode="before")
    @classmethod
    def _is_a_pattern(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("pattern"), str):
            try:
                re.compile(data["pattern"])
            except re.error as error:
                raise ValueError(f"pattern: {error}") from None
        return data


class IntegerInput(_Input):
    """A whole number."""

    type: Literal["integer"]
    default: int | None = None
    minimum: int = -(2**53)
    maximum: int = 2**53

    @property
    def bounds(self) -> str:
        return f"an integer from {self.minimum} to {self.maximum}"

    def read(self, text: str) -> Value:
        if not re.fullmatch(r"[+-]?([0-9]{1,18}|[0-9]{1,3}(,[0-9]{3}){1,5})", text):
            raise self._must_be()
        return int(text.replace(",", ""))

    def check(self, value: object) -> Value:
        if isinstance(value, bool) or not isinstance(value, int) or not self.minimum <= value <= self.maximum:
            raise self._must_be()
        return value


class NumberInput(_Input):
    """A number with or without a fraction."""

    type: Literal["number"]
    default: float | None = None
    minimum: float = -1e15
    maximum: float = 1e15

    @property
    def bounds(self) -> str:
        return f"a number from {self.minimum:g} to {self.maximum:g}"

    def read(self, text: str) -> Value:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", text):
            raise self._must_be()
        return float(text)

    def check(self, value: object) -> Value:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.minimum <= value <= self.maximum:
            raise self._must_be()
        return value


class BooleanInput(_Input):
    """True or false."""

    type: Literal["boolean"]
    default: bool | None = None

    @property
    def bounds(self) -> str:
        return "true or false"

    def read(self, text: str) -> Value:
        found = {"true": True, "yes": True, "false": False, "no": False}.get(text.lower())
        if found is None:
            raise self._must_be()
        return found

    def check(self, value: object) -> Value:
        if not isinstance(value, bool):
            raise self._must_be()
        return value


class ChoiceInput(_Input):
    """One of a fixed set of words."""

    type: Literal["choice"]
    default: str | None = None
    choices: Annotated[list[Line], Field(min_length=2, max_length=50)]

    @property
    def bounds(self) -> str:
        return f"one of {', '.join(self.choices)}"

    def read(self, text: str) -> Value:
        found = next((choice for choice in self.choices if choice.lower() == text.lower()), None)
        if found is None:
            raise self._must_be()
        return found

    def check(self, value: object) -> Value:
        if value not in self.choices:
            raise self._must_be()
        return str(value)


class UrlInput(_Input):
    """The address of a page. An empty default makes the input optional."""

    type: Literal["url"]
    default: str | None = None

    @property
    def bounds(self) -> str:
        return f"an address such as https://example.com/page, without a password, of at most {VALUE_CHARACTERS} letters"

    def read(self, text: str) -> Value:
        """Accept ``example.com/page`` in a phrase."""
        if re.match(r"(?i)[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}(:[0-9]+)?(/|$)", text):
            text = f"https://{text}"
        return self._url(text)

    def check(self, value: object) -> Value:
        if value == "" == self.default:
            return ""
        return self._url(value)

    def _url(self, value: object) -> str:
        if isinstance(value, str) and len(value) <= VALUE_CHARACTERS and re.fullmatch(r"(?i)https?://[!-~]+", value):
            try:
                parts = urlsplit(value)
                if parts.hostname and "@" not in parts.netloc and parts.port != 0:
                    return value
            except ValueError:
                pass
        raise self._must_be()


Input = Annotated[
    StringInput | IntegerInput | NumberInput | BooleanInput | ChoiceInput | UrlInput, Field(discriminator="type")
]
