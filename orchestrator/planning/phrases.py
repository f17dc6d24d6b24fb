"""Phrases that select a template. A prompt must be a whole phrase; a partial match does not count."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.planning.template_inputs import Input, Value

#: Maximum characters of a prompt that can match a phrase.
CHARACTERS = 1000

SLOT = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True)
class Phrase:
    """A phrase of a template, split into its slots and the literal text between them."""

    text: str
    template: str
    literals: list[str] = field(repr=False)
    slots: list[str] = field(repr=False)

    @classmethod
    def parse(cls, text: str, template: str, inputs: Mapping[str, Input]) -> Phrase:
        """Parse a phrase. Raises ValueError for unknown slots and for slots without text between them."""
        parts = SLOT.split(tidy(text))
        literals, slots = [_fold(part) for part in parts[::2]], parts[1::2]
        if any("{" in part or "}" in part for part in literals):
            raise ValueError(f"the phrase {text!r} has a brace outside of a slot such as {{name}}")
        if unknown := [slot for slot in slots if slot not in inputs]:
            raise ValueError(f"the phrase {text!r} has a slot for {unknown[0]}, but the template has no such input")
        if len(set(slots)) < len(slots):
            raise ValueError(f"the phrase {text!r} has two slots with the same name")
        if not any(part.strip() for part in literals) or any(not part.strip() for part in literals[1:-1]):
            raise ValueError(f"the phrase {text!r} needs text, and text between any two slots")
        return cls(text, template, literals, slots)

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Return the key that orders phrases for matching: those without slots first, then by the amount of literal
        text.
        """
        return bool(self.slots), -sum(map(len, self.literals)), self.text

    @property
    def shape(self) -> tuple[str, ...]:
        """Return the part of a phrase that two templates must not share."""
        return tuple(self.literals)

    def match(self, prompt: str, inputs: Mapping[str, Input]) -> dict[str, Value] | None:
        """Return the values of the slots if the tidied prompt is this phrase, else None.

        Each slot takes as little text as possible, so one pass is enough. A slot text of the wrong type is no match; a
        value out of bounds still matches.
        """
        folded = _fold(prompt)
        first, last = self.literals[0], self.literals[-1]
        if not self.slots:
            return {} if folded == first else None
        begin, end = len(first), len(folded) - len(last)
        if begin >= end or not folded.startswith(first) or not folded.endswith(last):
            return None
        texts = []
        for literal in self.literals[1:-1]:
            at = folded.find(literal, begin + 1, end)
            if at < 0:
                return None
            texts.append(prompt[begin:at])
            begin = at + len(literal)
        texts.append(prompt[begin:end])
        try:
            return {slot: inputs[slot].read(text.strip()) for slot, text in zip(self.slots, texts, strict=True)}
        except ValueError:
            return None


def tidy(text: str) -> str:
    """Remove extra white space and the final punctuation mark."""
    return re.sub(r"\s+", " ", text).strip().rstrip(".!?").strip()


def nearest(prompt: str, phrases: list[Phrase]) -> Phrase | None:
    """Return the phrase that is most similar to a prompt."""
    if len(prompt) > 200:
        return None
    known = {_fold(phrase.text): phrase for phrase in phrases}
    found = difflib.get_close_matches(_fold(tidy(prompt)), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def _fold(text: str) -> str:
    """Convert to lower case without changing the length, so that positions stay the same."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)
