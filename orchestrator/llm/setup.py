"""The configuration of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from orchestrator.llm.retries import Pace


@dataclass(frozen=True)
class Setup:
    """Server and model. ``named`` has the setting behind each of ``name``, ``url`` and ``key``.

    ``seconds`` limits one question. No text may contain ``secrets``. ``concurrency`` limits the calls to the server at
    a time. ``own`` is true for a server on this machine or in a private network.
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
