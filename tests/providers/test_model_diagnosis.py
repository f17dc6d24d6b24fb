"""The full diagnosis asks the model one short question; nothing else of /health asks it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.providers import OpenAIServer, Turn
from tests.support.system import System

KEY = "sk-diagnosis-5b1e"


def full(system: System) -> dict[str, Any]:
    check: dict[str, Any] = system.http.get("/health?full").json()["checks"]["model"]
    return check


def test_it_tells_how_long_the_answer_took_and_asks_again_only_after_a_minute(
    make_parked: Callable[..., System],
) -> None:
    with OpenAIServer([Turn("ready")], KEY) as server:
        system = make_parked(**server.settings).start()
        assert system.http.get("/health").json()["checks"]["model"]["result"] == "ok" and not server.asked
        check = full(system)
        assert check["result"] == "ok" and server.asked[0].limit == 16
        assert re.search(rf"at {server.host}; answered a short question in \d+\.\d s\.$", check["detail"])
        assert "; answered at 2" in full(system)["detail"] and len(server.asked) == 1


@pytest.mark.parametrize(
    ("turn", "result", "words"),
    [
        (Turn(status=401), "warning", "Check LLM_API_KEY"),
        (Turn(status=503, words="loading the model"), "warning", "loading the model"),
        (Turn(fault="drop"), "warning", "no answer: "),
        # a model that thinks before it answers has too few tokens here
        (Turn("rea", finish="cut"), "ok", "answered a short question"),
    ],
    ids=["denied", "busy", "away", "cut"],
)
def test_an_answer_that_fails_is_told_at_once_and_is_no_failure_of_the_system(
    make_parked: Callable[..., System], turn: Turn, result: str, words: str
) -> None:
    with OpenAIServer([turn], KEY) as server:
        system = make_parked(**server.settings).start()
        check = full(system)
        assert (check["result"], check["ok"], bool(check["to_do"])) == (result, True, result == "warning"), check
        assert words in check["detail"] and KEY not in str(check)
        assert len(server.asked) == 1


def test_without_a_model_it_is_a_note(parked: System) -> None:
    check = full(parked)
    assert check["result"] == "ok" and check["detail"].startswith("No model is set, so free-text prompts are rejected.")
    assert check["detail"].endswith("LLM_BASE_URL and LLM_MODEL in `.env`, then `make up`.")
