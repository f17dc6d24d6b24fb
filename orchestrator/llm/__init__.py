"""Model providers: a port with one verb, and a file for each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple
from urllib.parse import urlsplit

from orchestrator.errors import SettingsError
from orchestrator.llm.base import Model as Model
from orchestrator.llm.base import Provider
from orchestrator.llm.fallback import Falling
from orchestrator.llm.setup import Setup
from orchestrator.settings import OPENAI_URL, Settings, is_private


class Kind(NamedTuple):
    """A kind of model: its class, its settings, and where users get a key."""

    name: str
    model: str
    url: str
    key: str
    keys: str


#: Every kind by its LLM_PROVIDER word, in the order in which `auto` looks for a configured one.
KINDS = {
    "gemini": Kind(
        "Gemini", "gemini_model", "gemini_base_url", "gemini_api_key", "https://aistudio.google.com/apikey"
    ),
    "anthropic": Kind(
        "Anthropic", "anthropic_model", "anthropic_base_url", "anthropic_api_key",
        "https://platform.claude.com/settings/keys",
    ),
    "openai": Kind("OpenAI", "llm_model", "llm_base_url", "llm_api_key", "https://platform.openai.com/api-keys"),
}  # fmt: skip

#: Concurrent calls per server. A user's own server usually computes them one after another.
OWN_CONCURRENCY, CONCURRENCY = 1, 8


class Models:
    """The models that a job may choose from."""

    def __init__(self, providers: dict[str, Provider], fallback: list[Provider]) -> None:
        self.all = list(dict.fromkeys([*providers.values(), *fallback]))  # the default first
        self._models = {name: Falling(provider, fallback) for name, provider in providers.items()}

    @property
    def default(self) -> Model | None:
        """The model of jobs that name none."""
        return next(iter(self._models.values()), None)

    @property
    def names(self) -> list[str]:
        """The names that a job may choose from, as kind/model. The default comes first."""
        return list(self._models)

    def full_name(self, name: str) -> str:
        """Return a name with its kind. Raises SettingsError with the known names."""
        if name in self._models:
            return name
        found = [full for full in self._models if full.partition("/")[2] == name]
        if not found:
            known = ", ".join(self.names) or "none"
            raise SettingsError(f"There is no model {name[:80]!r}; models: {known}.")
        return found[0]

    def get(self, name: str | None) -> Model:
        """Return the model with this name, or the default. Raises SettingsError with the known names."""
        if name is not None:
            return self._models[self.full_name(name)]
        if self.default is None:
            raise SettingsError(
                "No model is set. Set GEMINI_API_KEY or ANTHROPIC_API_KEY, or LLM_PROVIDER and LLM_MODEL."
            )
        return self.default

    async def close(self) -> None:
        """Close all connections."""
        for provider in self.all:
            await provider.close()


def choose(settings: Settings) -> Models:
    """Return the models in the settings. Raises SettingsError that names the missing or wrong setting.

    SDKs are imported only at the first call.
    """
    kind = settings.llm_provider if settings.llm_provider != "auto" else _configured(settings)
    if kind == "none":
        return Models({}, [])
    made: dict[str, Provider] = {}
    turns: dict[str, asyncio.Semaphore] = {}

    def make(kind: str, name: str) -> Provider:
        full = f"{kind}/{name}"
        if full not in made:
            setup = _setup(settings, kind, name)
            made[full] = _class(kind)(setup, turns.setdefault(kind, asyncio.Semaphore(setup.concurrency)))
        return made[full]

    make(kind, getattr(settings, KINDS[kind].model))
    for one in _listed(settings.llm_models):
        _of("LLM_MODELS", one, kind, make)
    chosen = dict(made)
    fallback = [_of("LLM_FALLBACK", one, kind, make) for one in _listed(settings.llm_fallback)]
    return Models(chosen, fallback)


def _configured(settings: Settings) -> str:
    if settings.gemini_api_key:
        return "gemini"
    if settings.anthropic_api_key:
        return "anthropic"
    if settings.llm_base_url != OPENAI_URL or settings.llm_api_key or settings.llm_model:
        return "openai"
    return "none"


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _of(setting: str, name: str, kind: str, make: Callable[[str, str], Provider]) -> Provider:
    """Return the model of a list entry. An entry without a kind belongs to the chosen provider."""
    before, slash, rest = name.partition("/")
    try:
        return make(before, rest) if slash and before in KINDS else make(kind, name)
    except SettingsError as error:
        raise SettingsError(f"{setting} has {name}. {error}") from None


def _class(kind: str) -> Callable[[Setup, asyncio.Semaphore], Provider]:
    found: Callable[[Setup, asyncio.Semaphore], Provider] = getattr(
        import_module(f"orchestrator.llm.{kind}"), KINDS[kind].name
    )
    return found


def _setup(settings: Settings, kind: str, name: str) -> Setup:
    needs = KINDS[kind]
    url, key = getattr(settings, needs.url), getattr(settings, needs.key)
    if not name:
        raise SettingsError(f"LLM_MODEL is missing. Set it to the name of a model at LLM_BASE_URL ({url}).")
    if key is None and (kind != "openai" or url == OPENAI_URL):
        own = " For your own server, such as Ollama, set LLM_BASE_URL; usually it needs no key."
        raise SettingsError(f"{needs.key.upper()} is missing. Get a key from {needs.keys}.{own * (kind == 'openai')}")
    host = urlsplit(url).hostname or ""
    own_server = kind == "openai" and not host.endswith("openai.com")
    temperature, concurrency = settings.llm_temperature, settings.llm_concurrency
    return Setup(
        name=name,
        url=url,
        key=key.get_secret_value() if key else "",
        seconds=settings.model_seconds,
        named={"name": needs.model.upper(), "url": needs.url.upper(), "key": needs.key.upper()},
        secrets=secrets(settings),
        max_tokens=settings.llm_max_tokens,
        own=own_server and is_private(host),
        temperature=0.0 if own_server and temperature is None else temperature,
        concurrency=concurrency or (OWN_CONCURRENCY if own_server and is_private(host) else CONCURRENCY),
    )


def secrets(settings: Settings) -> tuple[str, ...]:
    """Return every key that is set. No text may contain one."""
    return tuple(settings.secrets.values())
