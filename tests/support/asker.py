"""A model of each provider, with a local server whose answers follow a script."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import errors
from orchestrator.llm import choose
from orchestrator.llm.base import Answer, Message, Part, Provider, Question
from orchestrator.llm.retries import Pace
from orchestrator.settings import Settings
from tests.support.providers import AnthropicServer, GeminiServer, OpenAIServer, Server

KEY = "sk-Zq7-nobody-may-see-this-9xW"


SAID = "Here you are: „grüß Gott“ 🙂\n\n```bash\necho hello\n```\n"


QUESTION = Question((Message("system", "You plan."), Message("user", "Say hello.")))


#: Retries with almost no wait.
QUICK = Pace(tries=3, first=0.01, longest=0.02)


SERVERS: dict[str, type[Server]] = {
    "gemini": GeminiServer,
    "anthropic": AnthropicServer,
    "openai": OpenAIServer,
}


class Asker:
    """A model and its server."""

    def __init__(self, server: Server, seconds: float = 20, pace: Pace = QUICK, **settings: Any) -> None:
        named = {name.lower(): value for name, value in server.settings.items() if value}
        self.server = server
        self.models = choose(Settings(**{**named, "model_seconds": max(seconds, 1), **settings}))
        for one in self.models.all:
            object.__setattr__(one.setup, "pace", pace)
            object.__setattr__(one.setup, "seconds", seconds)
        self.model: Provider = self.models.all[0]
        self.waits: list[tuple[float, str]] = []
        self.parts: list[Part] = []

    def run(self, work: Callable[[Provider], Any]) -> Any:
        async def main() -> Any:
            try:
                return await work(self.model)
            finally:
                await self.models.close()

        return asyncio.run(main())

    def ask(self, question: Question = QUESTION) -> Answer:
        answer = self.run(lambda model: model.ask(question, lambda *wait: self.waits.append(wait), self.parts.append))
        assert isinstance(answer, Answer)
        return answer

    @property
    def shown(self) -> str:
        """The text that a viewer sees after all parts of the answer."""
        shown = ""
        for part in self.parts:
            shown = "" if part.restart else shown
            shown += "" if part.reasoning else part.text
        return shown

    def fails(self, kind: type[errors.ModelError], *words: str, question: Question = QUESTION) -> errors.ModelError:
        """Ask, and check that the error has exactly this type, has the words in one line, and hides the key."""
        with pytest.raises(errors.ModelError) as caught:
            self.ask(question)
        error = caught.value
        assert type(error) is kind, repr(error)
        for word in words:
            assert word in str(error)
        assert len(str(error)) < 1500
        assert "\n" not in str(error)
        keyless(error)
        assert self.model.last
        assert self.model.last.wrong == str(error)
        return error


def keyless(error: BaseException) -> None:
    """Check that no text of an error has the key, and that the error refers to no exception of an SDK."""
    assert error.__cause__ is None
    assert error.__context__ is None
    for text in (str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))):
        assert KEY not in text
        assert KEY[:6] not in text
