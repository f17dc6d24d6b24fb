"""Which model is asked: what is chosen, what is wrong with a choice, what it costs, and what /health says of it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from conftest import ROOT, System
from providers import OpenAIServer, Turn
from test_models import KEY, PLAN, SERVERS, Asker

from orchestrator import errors
from orchestrator.diagnosis import settings
from orchestrator.diagnosis.base import Case, Finding
from orchestrator.errors import SettingsError
from orchestrator.llm import Model, choose, prices
from orchestrator.settings import Settings, load

# ── which one ────────────────────────────────────────────────────────────────────────────────────────────────────────


def chosen(**values: Any) -> Model | None:
    return choose(Settings(**values))


def test_what_is_configured_is_picked() -> None:
    assert chosen() is None
    assert chosen(gemini_api_key="k", llm_provider="none") is None
    for values in ({"gemini_api_key": "k"}, {"gemini_api_key": "k", "llm_model": "m", "llm_api_key": "l"}):
        found = chosen(**values)
        assert found
        assert (found.provider, found.name) == ("gemini", "gemini-3.8-flash")
    for values in ({"llm_base_url": "http://127.0.0.1:11434/v1/"}, {"llm_api_key": "l"}):
        found = chosen(**values, llm_model="m")
        assert found
        assert (found.provider, found.name) == ("openai", "m")
    found = chosen(llm_provider="openai", gemini_api_key="k", llm_api_key="l", llm_model="m")
    assert found
    assert found.provider == "openai"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"llm_provider": "gemini"}, "GEMINI_API_KEY"),
        ({"llm_provider": "openai"}, "LLM_MODEL"),
        ({"llm_provider": "openai", "llm_model": "m"}, "LLM_API_KEY"),
        ({"llm_model": "m"}, "LLM_API_KEY"),
        ({"llm_api_key": "l"}, "LLM_MODEL"),
        ({"llm_base_url": "http://127.0.0.1:1/v1"}, "LLM_MODEL"),
    ],
)
def test_what_is_missing_is_named(values: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        chosen(**values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("llm_base_url", "localhost:8080"),
        ("llm_base_url", "ftp://host/v1"),
        ("llm_base_url", "http://user:pass@host/v1"),
        ("llm_base_url", "http://host/v1?key=secret"),
        ("gemini_base_url", "http://ho st"),
        ("llm_api_key", "two words"),
        ("gemini_api_key", "schlüssel"),
        ("llm_provider", "abacus"),
        ("model_seconds", "0"),
    ],
)
def test_a_setting_that_cannot_be_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name.upper(), value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert f"{name.upper()}: " in str(caught.value)
    assert value not in str(caught.value)  # it may have a key in it


def test_no_sdk_is_imported_before_the_first_question() -> None:
    code = """
import sys
from orchestrator.app import create_system
from orchestrator.llm import choose
from orchestrator.settings import Settings
assert choose(Settings(gemini_api_key="k")) and choose(Settings(llm_api_key="l", llm_model="m"))
print([name for name in ("openai", "google.genai", "httpx2", "jsonschema", "ssl") if name in sys.modules])
"""
    run = [sys.executable, "-c", code]
    found = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "openai" not in found.stdout
    assert "google" not in found.stdout
    assert "httpx2" not in found.stdout
    assert "jsonschema" not in found.stdout


@pytest.mark.parametrize("kind", SERVERS)
def test_the_import_of_an_sdk_holds_up_nobody(kind: str) -> None:
    """In a process of its own, because here they are imported already."""
    code = f"""
import asyncio, sys
sys.path[:0] = ["tests"]
import test_models
from providers import Turn

async def main(model):
    ask = asyncio.create_task(model.ask(test_models.QUESTION))
    turns = 0
    while not server.asked:
        await asyncio.sleep(0.001)
        turns += 1
    await ask
    print(turns)

with test_models.SERVERS[{kind!r}]([Turn(test_models.PLAN)], test_models.KEY) as server:
    assert "openai" not in sys.modules and "google.genai" not in sys.modules
    test_models.Asker(server).run(main)
"""
    run = [sys.executable, "-c", code]
    found = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    assert int(found.stdout) > 20  # the loop went round while it was imported


# ── what it costs ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cost_is_by_the_table_and_unknown_where_there_is_no_price() -> None:
    autumn, spring = date(2026, 11, 20), date(2027, 3, 1)
    assert prices.cost("gemini-3.8-flash", 1_000_000, 100_000, autumn) == pytest.approx(0.75 + 0.375)
    assert prices.cost("gemini-3.8-flash", 1_000_000, 100_000, spring) == pytest.approx(1.50 + 0.75)
    assert prices.cost("gpt-6-luna-2026-09-22", 0, 1_000_000) == pytest.approx(0.5)
    assert prices.cost("openai/gpt-6-luna", 1_000_000, 0) == pytest.approx(0.1)
    assert prices.cost("gpt-oss:20b", 10, 10) is None
    assert prices.cost("gpt-6-luna", 0, 0) == 0
    assert prices.cost(Settings().gemini_model, 1, 1), "the default has no price"


def test_every_price_says_when_it_was_taken() -> None:
    rows = prices.prices()
    assert len({(row.model, row.since) for row in rows}) == len(rows)
    assert all(date(2026, 1, 1) < row.taken <= datetime.now(UTC).date() for row in rows)


# ── the system ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_health_says_which_model_there_is_and_asks_nobody(make_system: Callable[..., System]) -> None:
    with OpenAIServer((), KEY) as server:
        system = make_system(DOCKER_HOST="unix:///nonexistent.sock", **server.settings).start()
        check = system.http.get("/health").json()["checks"]["model"]
        detail = f"openai: {server.default_model} at {server.host}; not asked yet."
        assert check == {"ok": True, "result": "ok", "detail": detail, "to_do": ""}
        assert KEY not in system.http.get("/").text
        assert server.asked == []
        assert KEY not in system.log.read_text()


def test_health_says_that_no_model_is_set(parked: System) -> None:
    assert parked.http.get("/health").json()["checks"]["model"]["detail"] == "No model: free-text prompts are refused."


def test_a_choice_that_is_not_complete_stops_the_start(make_system: Callable[..., System]) -> None:
    system = make_system(LLM_PROVIDER="openai")
    system.launch()
    assert system.process
    assert system.process.wait(30) == 1
    assert "LLM_MODEL is missing" in system.log.read_text()
    assert not system.record.exists()


def look(model: Model) -> Finding:
    return asyncio.run(settings.model(cast(Case, SimpleNamespace(model=model))))


def test_health_says_how_the_last_question_went() -> None:
    with OpenAIServer([Turn(PLAN), Turn(status=401)], KEY) as server:
        one = Asker(server)
        one.ask()
        found = look(one.model)
        assert found.result == "ok"
        assert re.search(r"; answered at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.$", found.detail)
        again = Asker(server)
        again.fails(errors.ModelDenied)
        found = look(again.model)
        assert found.result == "warning"  # jobs start without it, so the system is not ill
        assert "; failed at 2" in found.detail
        assert "Check LLM_API_KEY." in found.detail
        assert KEY not in found.detail
