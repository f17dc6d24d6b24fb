"""Which model is asked: what is chosen, what is wrong with a choice, what it costs, and what /health says of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator import errors
from orchestrator.diagnosis import settings
from orchestrator.diagnosis.base import Case, Finding
from orchestrator.errors import SettingsError
from orchestrator.llm import Models, choose, prices
from orchestrator.llm.base import Answer, Provider
from orchestrator.settings import Settings, load
from tests.support.answers import problem
from tests.support.asker import KEY, QUESTION, SAID, SERVERS, Asker
from tests.support.providers import AnthropicServer, OpenAIServer, Server, Turn
from tests.support.system import ROOT, System

# ── which one ────────────────────────────────────────────────────────────────────────────────────────────────────────


def chosen(**values: Any) -> Provider | None:
    """The default that the settings give."""
    return next(iter(choose(Settings(**values)).all), None)


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
    found = chosen(anthropic_api_key="a", llm_api_key="l", llm_model="m")
    assert found
    assert (found.provider, found.name) == ("anthropic", "claude-sonnet-5-5")
    found = chosen(llm_provider="openai", gemini_api_key="k", llm_api_key="l", llm_model="m")
    assert found
    assert found.provider == "openai"


def test_a_job_may_choose_the_default_and_what_is_listed() -> None:
    models = choose(
        Settings(
            gemini_api_key="k", llm_api_key="l", llm_base_url="https://openrouter.ai/api/v1",
            llm_models="gemini/gemini-4-argon, gemini-3.8-flash,openai/openai/gpt-oss-120b,,gemini-x",
            llm_fallback="openai/other",
        )
    )  # fmt: skip
    names = ["gemini/gemini-3.8-flash", "gemini/gemini-4-argon", "openai/openai/gpt-oss-120b", "gemini/gemini-x"]
    assert models.names == names
    assert models.get(None) is models.default is models.get("gemini-3.8-flash")
    assert models.get("gemini/gemini-3.8-flash") is models.default
    assert models.get("openai/gpt-oss-120b").name == "openai/gpt-oss-120b"
    with pytest.raises(SettingsError, match=r"no model 'other'; models: gemini/gemini-3.8-flash, gemini/gemini-4"):
        models.get("other")
    assert choose(Settings()).names == []
    assert choose(Settings()).default is None
    with pytest.raises(SettingsError, match="No model is set"):
        choose(Settings()).get(None)


@pytest.mark.parametrize(
    ("values", "temperature", "concurrency"),
    [
        ({"gemini_api_key": "k"}, None, 8),
        ({"anthropic_api_key": "k"}, None, 8),
        ({"llm_api_key": "k", "llm_model": "m"}, None, 8),
        ({"llm_base_url": "http://127.0.0.1:11434/v1", "llm_model": "m"}, 0, 1),
        ({"llm_base_url": "http://10.1.2.3:8000/v1", "llm_model": "m"}, 0, 1),
        ({"llm_base_url": "http://ollama:11434/v1", "llm_model": "m"}, 0, 1),
        ({"llm_base_url": "https://openrouter.ai/api/v1", "llm_model": "m"}, 0, 8),
        ({"llm_base_url": "https://eu.api.openai.com/v1", "llm_model": "m"}, None, 8),
        ({"llm_base_url": "http://[::1]:1/v1", "llm_model": "m", "llm_temperature": 0.7, "llm_concurrency": 3}, 0.7, 3),
    ],
)
def test_a_local_server_is_asked_one_question_at_a_time_and_without_chance(
    values: dict[str, Any], temperature: float | None, concurrency: int
) -> None:
    found = chosen(**values)
    assert found
    assert (found.setup.temperature, found.setup.concurrency) == (temperature, concurrency)
    assert found.setup.max_tokens == 8_000


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"llm_provider": "gemini"}, "GEMINI_API_KEY"),
        ({"llm_provider": "anthropic"}, "ANTHROPIC_API_KEY"),
        ({"llm_provider": "openai"}, "LLM_MODEL"),
        ({"llm_provider": "openai", "llm_model": "m"}, "LLM_API_KEY"),
        ({"llm_model": "m"}, "LLM_API_KEY"),
        ({"llm_api_key": "l"}, "LLM_MODEL"),
        ({"llm_base_url": "http://127.0.0.1:1/v1"}, "LLM_MODEL"),
        (
            {"gemini_api_key": "k", "llm_models": "gemini/a, anthropic/b"},
            "LLM_MODELS has anthropic/b.*ANTHROPIC_API_KEY",
        ),
        ({"gemini_api_key": "k", "llm_fallback": "openai/b"}, "LLM_FALLBACK has openai/b.*LLM_API_KEY"),
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
        ("anthropic_api_key", "schlüssel"),
        ("anthropic_base_url", "ftp://host"),
        ("llm_max_tokens", "0"),
        ("llm_temperature", "3"),
        ("llm_concurrency", "0"),
        ("llm_provider", "abacus"),
        ("model_seconds", "0"),
    ],
)
def test_a_setting_that_cannot_be_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name.upper(), value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert f"{name.upper()}: " in str(caught.value)
    if name.endswith(("_url", "_key")):
        assert value not in str(caught.value)  # it may have a key in it


def test_no_sdk_is_imported_before_the_first_question() -> None:
    code = """
import sys
from orchestrator.app import create_system
from orchestrator.llm import choose
from orchestrator.settings import Settings
for key in ("gemini_api_key", "anthropic_api_key", "llm_api_key"):
    assert choose(Settings(**{key: "k"}, llm_model="m")).default
print([name for name in ("openai", "anthropic", "google.genai", "httpx2") if name in sys.modules])
"""
    run = [sys.executable, "-c", code]
    found = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("kind", SERVERS)
def test_the_import_of_an_sdk_holds_up_nobody(kind: str) -> None:
    """In a process of its own, because here they are imported already."""
    code = f"""
import asyncio, sys
from tests.support import asker
from tests.support.providers import Turn

async def main(model):
    ask = asyncio.create_task(model.ask(asker.QUESTION))
    turns = 0
    while not server.asked:
        await asyncio.sleep(0.001)
        turns += 1
    await ask
    print(turns)

with asker.SERVERS[{kind!r}]([Turn(text=asker.SAID)], asker.KEY) as server:
    assert not {{"openai", "anthropic", "google.genai"}} & set(sys.modules)
    asker.Asker(server).run(main)
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


# ── others in its place ──────────────────────────────────────────────────────────────────────────────────────────────


def two(stack: contextlib.ExitStack, first: Sequence[Turn], second: Sequence[Turn]) -> tuple[Asker, Server, Server]:
    """A model of OpenAI's with one of Anthropic's to fall back to."""
    servers = stack.enter_context(OpenAIServer(first, KEY)), stack.enter_context(AnthropicServer(second, KEY))
    more = {name.lower(): value for name, value in servers[1].settings.items()}
    asker = Asker(servers[0], llm_provider="openai", llm_fallback="anthropic/claude-sonnet-5-5", **more)
    return asker, *servers


async def ask(asker: Asker) -> Answer:
    model = asker.models.default
    assert model
    return await model.ask(QUESTION, on_part=asker.parts.append)


@pytest.mark.parametrize(
    "turn", [Turn(status=401), Turn(status=429, words="no quota left"), Turn(text=SAID, fault="half")]
)
def test_another_model_is_asked_where_one_does_not_answer(turn: Turn) -> None:
    with contextlib.ExitStack() as stack:
        asker, first, _ = two(stack, [turn] * 3, [Turn(text="Second."), Turn(text="Second.")])

        async def twice(_: Provider) -> list[Answer]:
            return [await ask(asker), await ask(asker)]

        answers = asker.run(twice)
        assert [answer.text for answer in answers] == ["Second.", "Second."]
        assert answers[0].model == "claude-sonnet-5-5"
        assert asker.shown == "Second.Second."
        assert any(part.restart for part in asker.parts) is bool(turn.fault)
        tries = len(first.asked)
        assert tries == (1 if "quota" in turn.words or turn.status == 401 else 3)  # not once more for the next question
        assert asker.models.names == ["openai/gpt-6-luna"]


def test_what_is_wrong_with_the_question_is_asked_of_no_other() -> None:
    with contextlib.ExitStack() as stack:
        asker, _, second = two(stack, [Turn(text="no", finish="refused")], [])
        with pytest.raises(errors.ModelRefused):
            asker.run(lambda _: ask(asker))
        assert second.asked == []


def test_where_none_answers_the_error_names_them_all() -> None:
    with contextlib.ExitStack() as stack:
        asker, *_ = two(stack, [Turn(status=401, words="one")], [Turn(status=403, words="two")])
        with pytest.raises(errors.ModelDenied, match=r"LLM_API_KEY\. Then: .*ANTHROPIC_API_KEY\."):
            asker.run(lambda _: ask(asker))


# ── the system ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_health_says_which_model_there_is_and_asks_nobody(make_parked: Callable[..., System]) -> None:
    with OpenAIServer((), KEY) as server:
        system = make_parked(**server.settings).start()
        check = system.http.get("/health").json()["checks"]["model"]
        detail = f"openai: {server.default_model} at {server.host}; not asked yet."
        assert check == {"ok": True, "result": "ok", "detail": detail, "to_do": ""}
        assert KEY not in system.http.get("/").text
        assert server.asked == []
        assert KEY not in system.log.read_text()


def test_health_says_of_each_model_how_it_is(make_parked: Callable[..., System]) -> None:
    more = {
        "LLM_MODELS": "small, gemini/g",
        "GEMINI_API_KEY": "k",
        "LLM_PROVIDER": "openai",
        "LLM_FALLBACK": "openai/last",
    }
    with OpenAIServer((), KEY) as server:
        system = make_parked(**server.settings, **more).start()
        detail = system.http.get("/health").json()["checks"]["model"]["detail"]
        assert detail.count("not asked yet.") == 4
        assert f"openai: {server.default_model} at {server.host}; not asked yet. openai: small at" in detail
        assert "gemini: g at generativelanguage.googleapis.com; not asked yet." in detail


def test_a_job_is_for_the_model_that_it_names(make_parked: Callable[..., System]) -> None:
    settings = {"GEMINI_API_KEY": "k", "LLM_MODELS": "gemini/strong"}
    system = make_parked(**settings).start()
    for name in ("strong", "gemini/strong"):
        job = system.submit(prompt="Do it.", model=name)
        assert system.status(job)["wanted_model"] == "gemini/strong"
        assert system.status(job)["usage"]["model"] is None
    system.cancel(job)
    assert system.zip(job).manifest["plan"]["model"] == "gemini/strong"
    again = system.http.post(f"/jobs/{job}/retry").json()["job_id"]
    assert system.status(again)["wanted_model"] == "gemini/strong"
    form = system.http.post("/schedule", files={"prompt": (None, "Do it."), "model": (None, "strong")})
    assert form.json()["wanted_model"] == "gemini/strong"
    assert system.status(system.submit(prompt="Do it."))["wanted_model"] is None
    unknown = system.http.post("/schedule", json={"prompt": "Do it.", "model": "weak"})
    problem(unknown, 422, "model: There is no model 'weak'; models: gemini/gemini-3.8-flash, gemini/strong.")
    steps = [{"kind": "shell", "script": "true"}]
    problem(
        system.http.post("/schedule", json={"steps": steps, "model": "strong"}), 422, "model: ", "no model is asked"
    )


def test_a_job_can_name_no_model_where_there_is_none(parked: System) -> None:
    problem(parked.http.post("/schedule", json={"prompt": "Do it.", "model": "x"}), 422, "models: none")


def test_health_says_that_no_model_is_set(parked: System) -> None:
    detail = parked.http.get("/health").json()["checks"]["model"]["detail"]
    assert detail.startswith("No model is set, so free-text prompts are rejected.")


def test_a_choice_that_is_not_complete_stops_the_start(make_system: Callable[..., System]) -> None:
    system = make_system(LLM_PROVIDER="openai")
    system.launch()
    assert system.process
    assert system.process.wait(30) == 1
    assert "LLM_MODEL is missing" in system.log.read_text()
    assert not system.record.exists()


def look(models: Models) -> Finding:
    return asyncio.run(settings.model(cast(Case, SimpleNamespace(models=models))))


def test_health_says_how_the_last_question_went() -> None:
    with OpenAIServer([Turn(text=SAID), Turn(status=401)], KEY) as server:
        one = Asker(server)
        one.ask()
        found = look(one.models)
        assert found.result == "ok"
        assert re.search(r"; answered at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.$", found.detail)
        again = Asker(server)
        again.fails(errors.ModelDenied)
        found = look(again.models)
        assert found.result == "warning"  # jobs start without it, so the system is not ill
        assert "; failed at 2" in found.detail
        assert "Check LLM_API_KEY." in found.detail
        assert KEY not in found.detail
