"""The phrases by which a prompt names a template. Only a prompt that is a phrase as a whole matches: half is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.planning.template_inputs import Input, Value

#: Characters of a prompt that can be a phrase.
CHARACTERS = 1000

SLOT = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True)
class Phrase:
    """A phrase of a template, with the literal texts around its slots."""

    text: str
    template: str
    literals: list[str] = field(repr=False)
    slots: list[str] = field(repr=False)

    @classmethod
    def parse(cls, text: str, template: str, inputs: Mapping[str, Input]) -> Phrase:
        """Raises ValueError for a slot that is no input, and for slots that nothing divides."""
        parts = SLOT.split(tidy(text))
        literals, slots = [_fold(part) for part in parts[::2]], parts[1::2]
        if any("{" in part or "}" in part for part in literals):
            raise ValueError(f"the phrase {text!r} has a brace that is no slot such as {{name}}")
        if unknown := [slot for slot in slots if slot not in inputs]:
            raise ValueError(f"the phrase {text!r} has a slot for {unknown[0]}, which is none of the inputs")
        if len(set(slots)) < len(slots):
            raise ValueError(f"the phrase {text!r} has two slots of one name")
        if not any(part.strip() for part in literals) or any(not part.strip() for part in literals[1:-1]):
            raise ValueError(f"the phrase {text!r} has nothing but slots, or nothing between two of them")
        return cls(text, template, literals, slots)

    @property
    def rank(self) -> tuple[bool, int, str]:
        """The order in which phrases are tried: without slots first, then by the amount of literal text."""
        return bool(self.slots), -sum(map(len, self.literals)), self.text

    @property
    def shape(self) -> tuple[str, ...]:
        """What no two templates may have in common."""
        return tuple(self.literals)

    def match(self, prompt: str, inputs: Mapping[str, Input]) -> dict[str, Value] | None:
        """The values of the slots, where a tidied prompt as a whole is this phrase.

        Each slot takes the least text that it can, so this takes one pass. A slot whose text is not of its input's type
        is no match; a value out of bounds is one.
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
    """Without what does not matter: white space, and the mark at the end."""
    return re.sub(r"\s+", " ", text).strip().rstrip(".!?").strip()


def nearest(prompt: str, phrases: list[Phrase]) -> Phrase | None:
    """The phrase that a prompt may have been meant to be."""
    if len(prompt) > 200:
        return None
    known = {_fold(phrase.text): phrase for phrase in phrases}
    found = difflib.get_close_matches(_fold(tidy(prompt)), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def _fold(text: str) -> str:
    """In lower case, and of the same length: what stands at a place in one stands there in the other."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)
