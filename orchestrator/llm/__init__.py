"""Who answers prompts: a port with one verb, and a file for each kind."""

from __future__ import annotations

from typing import Literal

from orchestrator.errors import SettingsError
from orchestrator.llm.base import Model as Model
from orchestrator.llm.setup import Setup
from orchestrator.settings import OPENAI_URL, Settings


def choose(settings: Settings) -> Model | None:
    """The model that the settings name, or None; raises SettingsError that names what is missing or wrong.

    No SDK is imported before the first question.
    """
    kind = settings.llm_provider
    if kind == "auto":
        kind = _configured(settings)
    if kind == "gemini":
        from orchestrator.llm.gemini import Gemini

        return Gemini(_gemini(settings))
    if kind == "openai":
        from orchestrator.llm.openai import OpenAI

        return OpenAI(_openai(settings))
    return None


def _configured(settings: Settings) -> Literal["gemini", "openai", "none"]:
    if settings.gemini_api_key:
        return "gemini"
    if settings.llm_base_url != OPENAI_URL or settings.llm_api_key or settings.llm_model:
        return "openai"
    return "none"


def _gemini(settings: Settings) -> Setup:
    key = settings.gemini_api_key
    if key is None:
        raise SettingsError("LLM_PROVIDER=gemini needs GEMINI_API_KEY: a key from https://aistudio.google.com/apikey.")
    return Setup(
        name=settings.gemini_model,
        url=settings.gemini_base_url,
        key=key.get_secret_value(),
        seconds=settings.model_seconds,
        named={"name": "GEMINI_MODEL", "url": "GEMINI_BASE_URL", "key": "GEMINI_API_KEY"},
        secrets=secrets(settings),
    )


def _openai(settings: Settings) -> Setup:
    key = settings.llm_api_key
    if not settings.llm_model:
        raise SettingsError(
            "LLM_MODEL is missing: the name of a model, as the server at LLM_BASE_URL has it "
            f"({settings.llm_base_url})."
        )
    if key is None and settings.llm_base_url == OPENAI_URL:
        raise SettingsError(
            "LLM_API_KEY is missing: OpenAI needs a key (https://platform.openai.com/api-keys). For a server of your "
            "own, such as Ollama, set LLM_BASE_URL; it mostly needs none."
        )
    return Setup(
        name=settings.llm_model,
        url=settings.llm_base_url,
        key=key.get_secret_value() if key else "",
        seconds=settings.model_seconds,
        named={"name": "LLM_MODEL", "url": "LLM_BASE_URL", "key": "LLM_API_KEY"},
        secrets=secrets(settings),
    )


def secrets(settings: Settings) -> tuple[str, ...]:
    """What may be in no text: every key that is set."""
    keys = (settings.gemini_api_key, settings.llm_api_key, settings.api_key)
    return tuple(key.get_secret_value() for key in keys if key)
