"""A model with fallbacks."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from orchestrator.errors import ModelAway, ModelBusy, ModelDenied, ModelError, Usage
from orchestrator.llm.base import Answer, Model, OnQueue, Part, Provider, Question
from orchestrator.llm.retries import OnWait
from orchestrator.llm.streaming import OnPart

log = logging.getLogger(__name__)

#: Seconds for which a model that did not answer is asked last.
LAST_SECONDS = 60.0

#: Errors after which a fallback is asked. They do not depend on the question.
OTHERS = (ModelAway, ModelBusy, ModelDenied)


class Falling(Model):
    """Asks a model. If it is unreachable, busy, denied or out of quota, asks its fallbacks in order."""

    def __init__(self, first: Provider, others: Sequence[Provider]) -> None:
        self.name, self.own = first.name, first.own
        self._models = [first, *(other for other in others if other is not first)]
        self._failed: dict[Provider, float] = {}

    async def ask(
        self,
        question: Question,
        on_wait: OnWait | None = None,
        on_part: OnPart | None = None,
        on_queue: OnQueue | None = None,
    ) -> Answer:
        now, used, errors = time.monotonic(), Usage(), list[ModelError]()
        late = {model for model, at in self._failed.items() if now - at < LAST_SECONDS}
        for model in sorted(self._models, key=lambda one: one in late):
            try:
                answer = await model.ask(question, on_wait, on_part, on_queue)
            except OTHERS as error:
                self._failed[model] = time.monotonic()
                used += error.usage
                errors.append(error)
                if error.partial and on_part:
                    on_part(Part("", False, restart=True))
            except ModelError as error:
                error.usage += used
                raise
            else:
                self._failed.pop(model, None)
                return Answer(answer.text, answer.reasoning, answer.model, answer.finish, used + answer.usage)
        first, *more = errors
        wrong = type(first)(" ".join([str(first), *(f"Then: {error}" for error in more)]))
        wrong.usage, wrong.partial = used, first.partial
        raise wrong from None
