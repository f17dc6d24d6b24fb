"""The conversation of one job during one question: its new turns, and the calls that it needs."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from orchestrator.db.models import Job, Turn
from orchestrator.errors import ModelRejected
from orchestrator.llm.base import Answer, Model, Picture, Question
from orchestrator.reasoning.conversation import AGAIN, question_messages
from protocol import messages
from protocol.redaction import Needles

if TYPE_CHECKING:
    from orchestrator.reasoning.model_session import Asked, ModelSession


class Talk:
    """The conversation of one job during one question."""

    def __init__(
        self,
        model_session: ModelSession,
        job: Job,
        ask: messages.Ask,
        asked: Asked,
        model: Model,
        hidden: Needles,
        turns: list[Turn],
    ) -> None:
        self._model_session, self.job, self.ask_, self.asked, self.model = model_session, job, ask, asked, model
        self.hidden, self._turns = hidden, turns
        self._new: list[Turn] = []
        self._beside = "\0"
        self._system = hidden.text(model_session.system(job, model))
        self._pictures = [Picture(one.media_type, base64.b64decode(one.data), one.name) for one in ask.pictures]
        self.last = ""

    def add_question(self, text: str) -> None:
        """Add a turn to the conversation for the model to answer."""
        self._new.append(self._turn("user", self.hidden.text(text)))

    @property
    def first(self) -> str:
        """The text of the turn with the request."""
        return self._turns[0].text if self._turns else ""

    def again(self, text: str) -> None:
        """Repeat the request, and drop the turns that followed it."""
        self._new = []
        self._new.append(self._turn("user", self.hidden.text(text)))
        self._new[-1].purpose = AGAIN

    def instead(self, text: str) -> None:
        """Drop the last answer and extend the last question, so that no later call pays for the repetition."""
        self._new.pop()
        told = self._new.pop() if self._new else self._turns.pop()
        told.text = f"{told.text.removesuffix(self._beside).rstrip()}\n\n{text}"
        self._beside = text
        self._new.append(told)

    async def keep(self) -> None:
        """Store the new turns. A question without an answer is not part of the conversation."""
        while self._new and self._new[-1].role == "user":
            self._new.pop()
        if self._new:
            await self._model_session.say(self.job.id, self._new)
            self._turns += self._new
            self._new = []

    async def ask(self, temperature: float | None) -> Answer:
        """Ask the model, and add its answer to the conversation. Raises ModelError and Ended."""
        room = self._model_session.room(self.model)
        question = self._question(room, temperature)
        try:
            answer = await self._model_session.call(self, question)
        except ModelRejected:  # usually because it is too long
            shorter = self._question(room // 2, temperature)
            if shorter == question:
                raise
            answer = await self._model_session.call(self, shorter)
        self.last = self.hidden.text(answer.text)  # a server could send a key back
        self._new.append(self._turn("assistant", self.last))
        return answer

    def _question(self, room: int, temperature: float | None) -> Question:
        found = question_messages(self._system, [*self._turns, *self._new], room, self._pictures)
        return Question(found, temperature=temperature)

    def _turn(self, role: str, text: str) -> Turn:
        return Turn(job_id=self.job.id, number=0, role=role, purpose=self.ask_.purpose, text=text)
