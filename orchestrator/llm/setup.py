"""What a kind of model needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from orchestrator.llm.retries import Pace


@dataclass(frozen=True)
class Setup:
    """Whom to ask. ``name``, ``url`` and ``key`` come from the settings that ``named`` has for them.

    ``seconds`` is the time for one question; ``secrets`` are what may be in no text that comes from here;
    ``concurrency`` is how many questions the server gets at the same time.
    ``own``: the server is on this machine or in a private network.
    """

    name: str
    url: str
    key: str = field(repr=False)
    seconds: float
    named: dict[Literal["name", "url", "key"], str]
    secrets: tuple[str, ...] = field(repr=False)
    max_tokens: int = 8_000
    temperature: float | None = None
    concurrency: int = 8
    own: bool = False
    pace: Pace = field(default_factory=Pace)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc
