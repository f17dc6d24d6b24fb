"""Detects that a model repeats itself. Small models do so until their limit, and the output is useless.

Only exact repetition at the end of the text counts. Data may repeat too, so text without words must repeat longer.
"""

from __future__ import annotations

#: Characters examined at the end, and characters between two examinations.
LOOKED_AT, STRIDE = 24_000, 256

#: Minimum repetitions of a block, and minimum characters of all repetitions together.
TIMES = ((4, 3_000), (6, 2_000))

#: The same for a block with fewer letters, such as a row of zeros.
LETTERS, PLAIN_TIMES, PLAIN_CHARACTERS = 4, 30, 6_000

#: Length of the end that is searched for earlier, and the maximum number of places tried.
ANCHORS, PLACES = (40, 300), 5


def period(text: str) -> int:
    """Return the length of the block that the end of a text repeats, or 0."""
    text = text[-LOOKED_AT:]
    tried: set[int] = set()
    for anchor in ANCHORS:
        end, at = text[-anchor:], len(text) - 1
        for _ in range(PLACES):
            at = text.rfind(end, 0, at)  # the place may overlap the end if the block is short
            if at < 0:
                break
            length = len(text) - anchor - at
            if length not in tried and _loops(text, length):
                return length
            tried.add(length)
            at += anchor - 1
    return 0


def once(text: str, length: int) -> str:
    """Return the text with the repeated block of this length kept once."""
    begin = len(text) - length
    while begin > 0 and text[begin - 1] == text[begin - 1 + length]:
        begin -= 1
    return text[: begin + length]


def _loops(text: str, length: int) -> bool:
    if length < 1 or len(text) < 2 * length:
        return False
    block, times = text[-length:], 1
    while text[-length * (times + 1) : -length * times] == block:
        times += 1
    if sum(character.isalpha() for character in block) < LETTERS and length < PLAIN_CHARACTERS:
        return times >= PLAIN_TIMES and times * length >= PLAIN_CHARACTERS
    return any(times >= least and times * length >= characters for least, characters in TIMES)
