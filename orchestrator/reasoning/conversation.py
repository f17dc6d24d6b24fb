"""The conversation of a job with its model. The list of messages only grows, so that providers can cache it.

If it exceeds the model's context, older turns are condensed. The model's own text mostly stays, because it contains the
plan; the text it was given is shortened to its ends. If that is not enough, middle turns are omitted and a note says
so.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.db.models import Turn
from orchestrator.llm.base import Message, Picture
from orchestrator.reasoning.model_prompts import cut

#: Characters per token, a safe estimate for code.
CHARACTERS = 3

#: Final turns that stay whole, and maximum characters of an older message to the model and of an older answer.
LAST, TOLD, ANSWERED = 3, 800, 4_000


#: The purpose of a turn that restates the request. Earlier turns are no longer sent.
AGAIN = "again"


def question_messages(
    system: str, turns: Sequence[Turn], room: int, pictures: Sequence[Picture] = ()
) -> tuple[Message, ...]:
    """Return the messages of a question, in at most ``room`` tokens if possible.

    The first turn (the prompt) and the last turns (the current question) stay. ``pictures`` belong to the last turn.
    """
    anew = max((n for n, turn in enumerate(turns) if turn.purpose == AGAIN), default=0)
    texts = [(turn.role, turn.text) for turn in turns[anew:]]
    if _size(system, texts) > room * CHARACTERS:
        texts = _condensed(texts)
    while _size(system, texts) > room * CHARACTERS and len(texts) > LAST + 2:
        del texts[1:3]  # a question and its answer go together, so that roles alternate
        texts[0] = ("user", f"{texts[0][1].split(LEFT_OUT)[0].rstrip()}\n\n{LEFT_OUT}")
    if _size(system, texts) > room * CHARACTERS:
        most = max(2_000, (room * CHARACTERS - len(system)) // max(1, len(texts)))
        texts = [(role, cut(text, most)) for role, text in texts]
    found = [Message("user" if role == "user" else "assistant", text) for role, text in texts]
    if pictures and found:
        found[-1] = Message("user", found[-1].text, tuple(pictures))
    return (Message("system", system), *found)


#: The replacement for omitted turns.
LEFT_OUT = "[… earlier turns of this conversation are left out here …]"


def _size(system: str, texts: Sequence[tuple[str, str]]) -> int:
    return len(system) + sum(len(text) for _, text in texts)


def _condensed(texts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    first, older, last = texts[:1], texts[1:-LAST], texts[-LAST:]
    return [*first, *((role, cut(text, TOLD if role == "user" else ANSWERED)) for role, text in older), *last]
