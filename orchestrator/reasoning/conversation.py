"""The conversation of a job with its model: a list of messages that only grows, so that a provider can cache it.

If it no longer fits the model's context, older turns are condensed: what the model wrote mostly stays, because it is
the plan; what it was told is cut to its ends. If that is not enough, turns in the middle are left out, and the text
says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.db.models import Turn
from orchestrator.llm.base import Message, Picture
from orchestrator.reasoning.model_prompts import cut

#: Characters that count as a token, on the safe side for code.
CHARACTERS = 3

#: Turns at the end that are kept as they are; characters of an older turn that was told, and of one that was answered.
LAST, TOLD, ANSWERED = 3, 800, 4_000


#: The purpose of a turn that puts the request anew: turns before it are not sent any more.
AGAIN = "again"


def question_messages(
    system: str, turns: Sequence[Turn], room: int, pictures: Sequence[Picture] = ()
) -> tuple[Message, ...]:
    """Return the messages of a question, in at most ``room`` tokens if that is possible.

    The first turn holds the prompt, and the last ones hold what is asked now: they stay. ``pictures`` go with the last
    turn.
    """
    anew = max((n for n, turn in enumerate(turns) if turn.purpose == AGAIN), default=0)
    texts = [(turn.role, turn.text) for turn in turns[anew:]]
    if _size(system, texts) > room * CHARACTERS:
        texts = _condensed(texts)
    while _size(system, texts) > room * CHARACTERS and len(texts) > LAST + 2:
        del texts[1:3]  # a question goes with its answer, so that roles still alternate
        texts[0] = ("user", f"{texts[0][1].split(LEFT_OUT)[0].rstrip()}\n\n{LEFT_OUT}")
    if _size(system, texts) > room * CHARACTERS:
        most = max(2_000, (room * CHARACTERS - len(system)) // max(1, len(texts)))
        texts = [(role, cut(text, most)) for role, text in texts]
    found = [Message("user" if role == "user" else "assistant", text) for role, text in texts]
    if pictures and found:
        found[-1] = Message("user", found[-1].text, tuple(pictures))
    return (Message("system", system), *found)


#: What stands where turns were left out.
LEFT_OUT = "[… earlier turns of this conversation are left out here …]"


def _size(system: str, texts: Sequence[tuple[str, str]]) -> int:
    return len(system) + sum(len(text) for _, text in texts)


def _condensed(texts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    first, older, last = texts[:1], texts[1:-LAST], texts[-LAST:]
    return [*first, *((role, cut(text, TOLD if role == "user" else ANSWERED)) for role, text in older), *last]
