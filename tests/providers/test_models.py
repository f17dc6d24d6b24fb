"""Models, asked through the port by the providers' own SDKs, of servers that speak the providers' protocols."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from orchestrator import errors
from orchestrator.errors import Usage
from orchestrator.llm import http
from orchestrator.llm.base import Message, Picture, Provider, Question
from orchestrator.llm.error_texts import redacted
from orchestrator.llm.retries import Failure, Pace
from tests.support.asker import KEY, QUESTION, QUICK, SAID, SERVERS, Asker
from tests.support.providers import AnthropicServer, Asked, GeminiServer, OpenAIServer, Turn
from tests.support.providers.script import Refused, event
from tests.support.system import free_port, until

SETTINGS = {"gemini": "gemini", "anthropic": "anthropic", "openai": "llm"}


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def asker(kind: str) -> Iterator[Callable[..., Asker]]:
    """A model of each kind, with a server that has a script."""
    with contextlib.ExitStack() as stack:

        def make(*turns: Turn, script: Callable[[Asked], Turn] | None = None, **settings: Any) -> Asker:
            return Asker(stack.enter_context(SERVERS[kind](script or turns, KEY)), **settings)

        yield make


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_is_the_text_that_was_streamed(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(text=SAID, thought="Hm, hm."))
    answer = one.ask()
    assert (answer.text, answer.finish, answer.model) == (SAID, "done", one.model.name)
    assert answer.reasoning == "Hm, hm."
    assert answer.usage == Usage(calls=1, tokens_in=100, tokens_out=27)  # with what it thought
    assert len(one.parts) > 5
    assert "".join(part.text for part in one.parts if part.reasoning) == "Hm, hm."
    assert one.shown == SAID
    assert one.model.last
    assert one.model.last.wrong == ""
    asked = one.server.asked[0]
    assert asked.stream
    assert asked.messages == [("system", "You plan."), ("user", "Say hello.")]
    assert asked.key == KEY
    assert len(one.server.asked) == 1
    assert one.server.refused == 0


def test_a_conversation_keeps_its_order(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(text=SAID))
    one.ask(Question((Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "Hello!"))))
    assert one.server.asked[0].messages == [("user", "Hi"), ("assistant", "Yes?"), ("user", "Hello!")]


def test_a_prompt_of_a_megabyte_arrives_whole(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(text=SAID))
    text = "Zeile mit ümläut\n" * 65_536
    one.ask(Question((Message("user", text),)))
    assert one.server.asked[0].messages == [("user", text)]


def test_two_at_once_wait_for_neither(asker: Callable[..., Asker]) -> None:
    def answer(asked: Asked) -> Turn:
        until(lambda: len(one.server.asked) == 2, "both have asked", 10)
        return Turn(text=asked.messages[-1][1])

    one = asker(script=answer, llm_concurrency=2)

    async def ask(model: Provider) -> list[Any]:
        asks = [model.ask(Question((Message("user", name),))) for name in ("one", "two")]
        return [answer.text for answer in await asyncio.gather(*asks)]

    assert one.run(ask) == ["one", "two"]


def test_tokens_that_the_server_does_not_tell_are_estimated_and_said_to_be(asker: Callable[..., Asker]) -> None:
    usage = (
        asker(Turn(text="".join(f"word {at} " for at in range(50)), tokens=None))
        .ask(Question((Message("user", "y" * 4000),)))
        .usage
    )
    assert usage.estimated
    assert usage.calls == 1
    assert 1000 <= usage.tokens_in <= 1010
    assert 90 <= usage.tokens_out <= 110


def test_the_limit_of_an_answer_is_passed_on(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(text=SAID), Turn(text=SAID))

    async def twice(model: Provider) -> None:
        await model.ask(QUESTION)
        await model.ask(Question(QUESTION.messages, max_tokens=500))

    one.run(twice)
    assert [asked.limit for asked in one.server.asked] == [8_000, 500]


def test_a_cut_answer_is_one_that_says_so(asker: Callable[..., Asker]) -> None:
    answer = asker(Turn(text=SAID, finish="cut")).ask()
    assert (answer.text, answer.finish) == (SAID, "cut")


@pytest.mark.parametrize("open_", ["<think>", ""])
def test_thoughts_in_the_text_are_told_apart(asker: Callable[..., Asker], open_: str) -> None:
    one = asker(Turn(text=f"{open_}Hm, maybe not.\n</think>\n\n{SAID}"))
    answer = one.ask()
    assert (answer.text, answer.reasoning.strip()) == (SAID, "Hm, maybe not.")
    assert one.shown == SAID
    assert any(part.restart for part in one.parts) is (not open_)


def test_a_model_that_only_thinks_has_not_answered(asker: Callable[..., Asker]) -> None:
    asker(Turn(text="<think>Hm, and hm.", finish="cut")).fails(errors.ModelCut, "LLM_MAX_TOKENS")


PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
LOOK = Question((Message("system", "Look."), Message("user", "What is it?", (Picture("image/png", PNG, "plot.png"),))))


def test_pictures_go_along_with_their_names(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(text=SAID))
    assert one.ask(LOOK).text == SAID
    assert one.server.asked[0].pictures == [("image/png", PNG)]
    assert "What is it?" in one.server.asked[0].prompt
    assert "plot.png:" in one.server.asked[0].prompt
    assert one.server.refused == 0


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_is_read_though_the_server_does_not_stream(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(text=SAID, thought="Hm.", fault="plain"))
    answer = one.ask()
    assert (answer.text, answer.reasoning, answer.finish) == (SAID, "Hm.", "done")
    assert answer.usage == Usage(calls=1, tokens_in=100, tokens_out=27)
    assert one.shown == SAID
    assert one.server.asked[0].stream


@pytest.mark.parametrize("serve", [AnthropicServer, OpenAIServer])
def test_an_answer_is_read_though_the_server_streams_unasked(serve: Any) -> None:
    with serve([Turn(text=SAID, thought="Hm.", fault="sse")], KEY) as server:
        server.lacks = frozenset({"stream"})
        answer = Asker(server).ask()
        assert (answer.text, answer.reasoning, answer.finish) == (SAID, "Hm.", "done")
        assert answer.usage == Usage(calls=1, tokens_in=100, tokens_out=27)
        assert not server.asked[0].stream


def test_a_stream_that_breaks_is_begun_again(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(text=SAID, fault="half"), Turn(text=SAID))
    answer = one.ask()
    assert answer.text == one.shown == SAID
    begin = [part.restart for part in one.parts].index(True)
    assert 0 < len("".join(part.text for part in one.parts[:begin])) < len(SAID)
    assert answer.usage.calls == 2  # the first was paid for, too
    assert answer.usage.estimated
    assert len(one.waits) == 1


def test_what_had_arrived_of_a_broken_answer_is_with_the_error(asker: Callable[..., Asker]) -> None:
    caught = asker(script=lambda asked: Turn(text=SAID, fault="half")).fails(errors.ModelAway)
    assert caught.partial
    assert SAID.startswith(caught.partial)
    assert caught.usage.calls == QUICK.tries


@pytest.mark.parametrize("fault", ["empty", "torn"])
def test_a_success_with_nothing_or_half_an_answer_is_asked_again(asker: Callable[..., Asker], fault: Any) -> None:
    one = asker(Turn(text=SAID, fault=fault), Turn(text=SAID))
    assert one.ask().text == SAID
    assert len(one.waits) == 1


@pytest.mark.parametrize(
    "text", ["And so on, and so on, and on.\n", "x = read(path)\ny = clean(x)\nwrite(y, path)\n\n"]
)
def test_a_model_that_repeats_itself_is_stopped(asker: Callable[..., Asker], text: str) -> None:
    one = asker(Turn(text=f"Here it is:\n\n{text * 500_000}"))
    answer = one.ask()
    assert answer.finish == "loop"
    assert answer.text.strip() == f"Here it is:\n\n{text}".strip()
    assert answer.usage.estimated
    until(one.server.asked[0].hung_up.is_set, "the connection is closed", 10)
    assert one.server.asked[0].sent < 12 * 2**20  # what the sockets hold comes on top of what was read


def test_a_model_that_repeats_itself_in_its_thoughts_has_not_answered(asker: Callable[..., Asker]) -> None:
    turn = Turn(text="<think>" + "Wait, let me think about that again.\n" * 500, finish="cut")
    asker(turn).fails(errors.ModelCut, "repeated itself")


def test_an_error_in_the_middle_of_a_stream_is_one(kind: str) -> None:
    said = {
        "gemini": {"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}},
        "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        "openai": {"error": {"code": 503, "message": "Overloaded"}},
    }[kind]
    with SERVERS[kind]([Turn(text=SAID), Turn(text=SAID)], KEY) as server:
        events = server.events

        def broken(asked: Asked, turn: Turn, answer: dict[str, Any]) -> list[bytes]:
            found = events(asked, turn, answer)
            return found if len(server.asked) > 1 else [*found[:5], event(said, "error" if kind == "anthropic" else "")]

        server.events = broken  # type: ignore[method-assign]
        one = Asker(server)
        assert one.ask().text == one.shown == SAID
        assert [why for _, why in one.waits] == ["Overloaded"]


def test_an_answer_that_only_its_usage_was_lost_of_counts() -> None:
    class Broken(OpenAIServer):
        def events(self, asked: Asked, turn: Turn, answer: dict[str, Any]) -> list[bytes]:
            return super().events(asked, turn, answer)[:-2]

    with Broken([Turn(text=SAID)], KEY) as server:
        answer = Asker(server).ask()
        assert (answer.text, answer.usage.estimated) == (SAID, True)


def test_a_stream_that_ends_without_a_reason_is_begun_again() -> None:
    """llama-cpp-python ends a stream so when another request comes in."""

    class Interrupted(OpenAIServer):
        def events(self, asked: Asked, turn: Turn, answer: dict[str, Any]) -> list[bytes]:
            events = super().events(asked, turn, answer)
            return events if len(self.asked) > 1 else [*events[:4], event("[DONE]")]

    with Interrupted([Turn(text=SAID), Turn(text=SAID)], KEY) as server:
        one = Asker(server)
        assert one.ask().text == one.shown == SAID
        assert len(one.waits) == 1


def test_a_whole_answer_needs_no_reason() -> None:
    class Plain(OpenAIServer):
        def success(self, asked: Asked, turn: Turn) -> dict[str, Any]:
            return {"choices": [{"message": {"content": turn.said}}]}

    with Plain([Turn(text=SAID, fault="plain")], KEY) as server:
        assert Asker(server).ask().text == SAID


def test_lines_of_a_stream_end_where_the_protocol_says() -> None:
    """Python's own idea of lines has more ends, which JSON may hold as they are; CRLF and missing blanks are fine."""

    class Other(OpenAIServer):
        def events(self, asked: Asked, turn: Turn, answer: dict[str, Any]) -> list[bytes]:
            events = [one for one in super().events(asked, turn, answer) if b"DONE" not in one]
            return [b"\r\nid: 1\r\n", *(one.replace(b"\n", b"\r\n") for one in events[:-1]), events[-1].rstrip()]

    text = "one\u2028two\x85three\x0bfour"
    with Other([Turn(text=text)], KEY) as server:
        assert Asker(server).ask().text == text


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"usage": []}, SAID),
        ({"usage": "n/a"}, SAID),
        ({"usage": {"prompt_tokens": "many", "completion_tokens": None}}, SAID),
        ({"error": "none"}, SAID),
        ({"error": None, "model": None, "created": "now"}, SAID),
        (
            {"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}, "finish_reason": 0}]},
            "ab",
        ),
        ({"choices": [{"message": {"content": {"text": "a"}}, "finish_reason": "eos", "index": None}]}, "a"),
        ({"choices": [{"text": "a", "finish_reason": "stop"}]}, "a"),
        ({"choices": [{"message": {"content": "a", "tool_calls": None}, "finish_reason": "tool_calls"}]}, "a"),
    ],
)
@pytest.mark.parametrize("fault", ["", "plain"])
def test_odd_fields_take_nothing_from_a_good_answer(changed: dict[str, Any], text: str, fault: Any) -> None:
    class Odd(OpenAIServer):
        def success(self, asked: Asked, turn: Turn) -> dict[str, Any]:
            return {**super().success(asked, turn), **changed}

        def events(self, asked: Asked, turn: Turn, answer: dict[str, Any]) -> list[bytes]:
            if "usage" in changed:
                return [*super().events(asked, turn, {**answer, "usage": None})[:-1], event({**answer, "choices": []})]
            choices = [{**one, "delta": one.get("message")} for one in answer["choices"]]
            return [event({**answer, "choices": choices}), event("[DONE]")]

    with Odd([Turn(text=SAID, fault=fault)], KEY) as server:
        answer = Asker(server).ask()
        assert (answer.text, answer.finish) == (text, "done")
        assert answer.usage.estimated is ("usage" in changed)


# ── one after another ────────────────────────────────────────────────────────────────────────────────────────────────


def test_questions_wait_for_their_turn_and_their_time_begins_with_it(asker: Callable[..., Asker]) -> None:
    one = asker(script=lambda asked: Turn(text=asked.messages[-1][1], delay=0.4), llm_concurrency=1, seconds=0.9)
    heard: list[tuple[str, bool]] = []

    async def ask(model: Provider) -> list[str]:
        async def put(name: str) -> str:
            question = Question((Message("user", name),))
            answer = await model.ask(question, on_queue=lambda waits: heard.append((name, waits)))
            return answer.text

        await put("first")  # the SDK is imported by now
        tasks = []
        for name in "abcd":
            tasks.append(asyncio.create_task(put(name)))
            await asyncio.sleep(0)
        tasks.pop(1).cancel()  # one who waits no more holds up nobody
        return await asyncio.gather(*tasks)

    object.__setattr__(one.model.setup, "seconds", 20)
    assert one.run(ask) == ["a", "c", "d"]
    assert [asked.messages[-1][1] for asked in one.server.asked] == ["first", "a", "c", "d"]
    assert heard == [("b", True), ("c", True), ("d", True), ("c", False), ("d", False)]


# ── answers that are none ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("turn", "error", "word"),
    [
        (Turn(text="", finish="cut", thought="hm"), errors.ModelCut, "length limit"),
        (Turn(text=SAID, finish="blocked"), errors.ModelRefused, "blocked"),
        (Turn(text=SAID, finish="prompt blocked"), errors.ModelRefused, "blocked"),
        (Turn(text="I will not", finish="refused"), errors.ModelRefused, "The model"),
    ],
)
def test_an_answer_that_is_none_says_which(
    asker: Callable[..., Asker], turn: Turn, error: type[errors.ModelError], word: str
) -> None:
    one = asker(turn)
    caught = one.fails(error, word, one.model.name)
    assert caught.usage == Usage(calls=1, tokens_in=100, tokens_out=27)
    assert len(one.server.asked) == 1


@pytest.mark.parametrize(
    ("turn", "error", "word"),
    [
        (Turn(text=SAID, finish="malformed"), errors.ModelBroken, "in the middle"),
        (Turn(text=""), errors.ModelEmpty, "empty"),
        (Turn(text=" \n"), errors.ModelEmpty, "empty"),
        (Turn(text="", thought="Hm."), errors.ModelEmpty, "everything that it wrote is reasoning"),
        (Turn(text="<think>Hm."), errors.ModelEmpty, "everything that it wrote is reasoning"),
        (Turn(fault="nothing"), errors.ModelEmpty, "returned no answer"),
    ],
)
def test_an_answer_without_a_text_is_asked_for_three_times(
    asker: Callable[..., Asker], turn: Turn, error: type[errors.ModelError], word: str
) -> None:
    one = asker(turn, Turn(text=SAID), llm_temperature=0.0)
    assert one.ask().text == one.shown == SAID
    if one.model.provider != "anthropic":
        assert [asked.temperature for asked in one.server.asked] == [0, 0.5]  # at 0, it would give the same answer
    again = asker(script=lambda asked: turn)
    caught = again.fails(error, word, again.model.name)
    assert caught.usage == Usage(calls=3, tokens_in=300, tokens_out=81)
    assert len(again.server.asked) == 3


def test_a_refusal_is_told_in_the_models_words() -> None:
    """Which may be anything: a prompt may have had a key in it."""
    with OpenAIServer([Turn(text=f"I'm sorry, I can't help with {KEY}.", finish="refused")], KEY) as server:
        Asker(server).fails(errors.ModelRefused, "I'm sorry, I can't help with ***.")


# ── asked again ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_asked_again(asker: Callable[..., Asker], status: int) -> None:
    one = asker(Turn(status=status, words="busy just now"), Turn(text=SAID))
    answer = one.ask()
    assert answer.text == SAID
    assert answer.usage.calls == 1
    assert [why for _, why in one.waits] == ["busy just now"]
    assert len(one.server.asked) == 2


def test_what_is_told_of_a_wait_has_no_key(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(status=503, words=f"overloaded, {KEY}"), Turn(text=SAID))
    one.ask()
    assert [why for _, why in one.waits] == ["overloaded, ***"]


@pytest.mark.parametrize("fault", ["drop", "half"])
def test_a_connection_that_breaks_is_made_again(asker: Callable[..., Asker], fault: Any) -> None:
    one = asker(Turn(text=SAID, fault=fault), Turn(text=SAID))
    assert one.ask().text == SAID
    assert len(one.waits) == 1


@pytest.mark.parametrize(
    ("turn", "error"),
    [
        (Turn(status=429, words="slow down"), errors.ModelBusy),
        (Turn(status=503, words="slow down"), errors.ModelAway),
        (Turn(fault="drop"), errors.ModelAway),
    ],
)
def test_what_does_not_pass_ends_after_a_few_tries(
    asker: Callable[..., Asker], turn: Turn, error: type[errors.ModelError]
) -> None:
    one = asker(script=lambda asked: turn)
    caught = one.fails(error, one.server.host, "slow down" if turn.words else "")
    assert len(one.server.asked) == QUICK.tries
    assert len(one.waits) == QUICK.tries - 1
    assert caught.usage == Usage()


def test_nobody_there_is_told_with_where(kind: str) -> None:
    port = free_port()
    with SERVERS[kind]((), KEY) as server:
        one = Asker(server)
    object.__setattr__(one.model.setup, "url", f"http://127.0.0.1:{port}/v1")
    one.fails(errors.ModelAway, f"127.0.0.1:{port}", "cannot be reached", "_BASE_URL")
    assert len(one.waits) == QUICK.tries - 1


@pytest.mark.parametrize("form", ["number", "header"])
def test_the_wait_that_a_server_asks_for_is_kept(asker: Callable[..., Asker], form: str) -> None:
    """Seconds in the body (Google), in milliseconds (OpenAI), or in the header."""
    one = asker(Turn(status=429, retry_after=0.3 if form == "number" else "0.3"), Turn(text=SAID))
    begin = time.monotonic()
    one.ask()
    assert time.monotonic() - begin >= 0.3
    assert 0.3 <= one.waits[0][0] <= 0.3 + QUICK.first


def test_a_wait_that_would_be_too_long_is_not_begun(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(status=429, retry_after=3600.0), seconds=5)
    begin = time.monotonic()
    one.fails(errors.ModelBusy, "asks to wait 3600 s")
    assert time.monotonic() - begin < 5
    assert len(one.server.asked) == 1
    assert one.waits == []


def test_the_header_may_be_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    assert 85 < (Failure("", 429, {"Retry-After": format_datetime(later, usegmt=True)}).asked_seconds or 0) <= 90
    past = {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert Failure("", 429, past).asked_seconds == 0
    for nonsense in ("soon", "-5", "", "1e9", "Wed, 99 Foo 2015", "Mon, 01 Jan 99999999999999 00:00:00 GMT"):
        assert Failure("", 429, {"Retry-After": nonsense}).asked_seconds is None, nonsense


def test_waits_grow_to_a_bound_and_are_drawn_from_all_of_their_range() -> None:
    most = Pace(first=1, longest=30, draw=lambda low, high: high)
    assert [most.wait(failed, Failure("", 503)) for failed in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    least = Pace(first=1, longest=30, draw=lambda low, high: low)
    assert least.wait(5, Failure("", 503)) == 0
    assert least.wait(1, Failure("", 503, {"Retry-After": "7"})) == 7


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (400, errors.ModelRejected, "too long"),
        (413, errors.ModelRejected, "too long"),
        (401, errors.ModelDenied, "_API_KEY"),
        (402, errors.ModelDenied, "_API_KEY"),
        (403, errors.ModelDenied, "_API_KEY"),
        (404, errors.ModelDenied, "_MODEL and "),
        (501, errors.ModelAway, "too long"),
    ],
)
def test_what_will_not_pass_is_asked_once(
    asker: Callable[..., Asker], status: int, error: type[errors.ModelError], words: str
) -> None:
    one = asker(Turn(status=status, words=f"The prompt {KEY} is too long"))
    if status == 501:
        error = errors.ModelRejected
    one.fails(error, words, "The prompt *** is too long")
    assert len(one.server.asked) == 1


def test_a_country_that_google_does_not_serve_is_told() -> None:
    class Elsewhere(GeminiServer):
        def failure(self, status: int, words: str, code: str, turn: Turn) -> tuple[dict[str, Any], dict[str, str]]:
            body, headers = super().failure(status, words, code, turn)
            body["error"]["status"] = "FAILED_PRECONDITION"
            return body, headers

    with Elsewhere([Turn(status=400, words="User location is not supported for the API use.")], KEY) as server:
        Asker(server).fails(errors.ModelDenied, "GEMINI_API_KEY", "User location is not supported")


def test_an_account_without_money_is_not_asked_again() -> None:
    with OpenAIServer([Turn(status=429, words="You exceeded your current quota")], KEY) as server:
        Asker(server).fails(errors.ModelDenied, "The account of LLM_API_KEY", "exceeded your current quota")
        assert len(server.asked) == 1


def test_a_wrong_key_names_its_setting_and_shows_no_letter_of_it(kind: str) -> None:
    wrong = KEY[::-1]
    with SERVERS[kind]((), "another") as server:
        setting = f"{SETTINGS[kind]}_api_key"
        one = Asker(server, **{setting: wrong})
        error = one.fails(errors.ModelDenied, setting.upper())
        assert wrong[:3] not in str(error)
        assert wrong[-4:] not in str(error)


def test_a_model_that_is_not_there_names_its_setting(kind: str) -> None:
    with SERVERS[kind]((), KEY, ["another"]) as server:
        setting = f"{SETTINGS[kind]}_model"
        Asker(server, **{setting: "gone-1"}).fails(errors.ModelDenied, "gone-1", setting.upper())


@pytest.mark.parametrize("fault", ["page", "garbage"])
def test_what_is_no_models_server_is_told(asker: Callable[..., Asker], fault: Any) -> None:
    one = asker(Turn(fault=fault))
    one.fails(errors.ModelDenied, "is not a model's server", "_BASE_URL")
    assert len(one.server.asked) == 1


def test_nobody_is_sent_elsewhere_with_the_key(asker: Callable[..., Asker], kind: str) -> None:
    path = {
        "gemini": "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse",
        "anthropic": "/v1/messages",
        "openai": "/v1/chat/completions",
    }[kind]
    with SERVERS[kind]([Turn(text=SAID)], KEY) as other:
        one = asker(Turn(status=307, words="moved"))
        one.server.failure = lambda *_: ({}, {"Location": f"http://{other.host}{path}"})  # type: ignore[method-assign]
        one.fails(errors.ModelDenied, "is not a model's server (307")
        assert other.asked == []
        assert other.refused == 0
    assert len(one.server.asked) == 1


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["never", "drip"])
def test_a_server_that_never_comes_to_an_end_is_left_in_time(asker: Callable[..., Asker], fault: Any) -> None:
    one = asker(Turn(text=SAID), Turn(fault=fault), seconds=20)
    one.ask()  # the SDK is imported by now
    object.__setattr__(one.model.setup, "seconds", 0.5)
    again = Asker(one.server, seconds=0.5)
    begin = time.monotonic()
    again.fails(errors.ModelAway, "did not answer within 0.5 s", "MODEL_SECONDS")
    assert time.monotonic() - begin < 5
    until(one.server.asked[1].hung_up.is_set, "the connection is closed", 10)


def test_an_answer_of_100_megabytes_is_refused_while_it_comes_in(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(fault="huge"))
    one.fails(errors.ModelBroken, "larger than 4 MiB")
    until(one.server.asked[0].hung_up.is_set, "the connection is closed", 10)
    assert one.server.asked[0].sent < 30 * 2**20  # what the sockets hold comes on top of what was read
    assert len(one.server.asked) == 1


def test_no_compression_is_asked_for_and_a_wrong_header_about_it_does_no_harm(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(text=SAID, fault="zipped"))
    assert one.ask().text == SAID
    assert one.server.asked[0].headers["accept-encoding"] == "identity"


def test_a_long_answer_is_taken(asker: Callable[..., Asker]) -> None:
    text = "".join(f"{number}: a line of its own\n" for number in range(50_000))
    assert len(text) < http.ANSWER_BYTES
    assert asker(Turn(text=text)).ask().text == text


@pytest.mark.parametrize("while_", ["asking", "writing", "waiting"])
def test_cancelling_closes_the_connection_at_once(asker: Callable[..., Asker], while_: str) -> None:
    turn = {
        "asking": Turn(fault="never"),
        "writing": Turn(text=SAID, fault="stall"),
        "waiting": Turn(status=503, retry_after="60"),
    }[while_]
    one = asker(script=lambda asked: turn, seconds=100)

    async def cancel(model: Provider) -> float:
        heard = asyncio.Event()
        task = asyncio.create_task(model.ask(QUESTION, lambda *_: heard.set(), lambda _: heard.set()))
        if while_ != "asking":
            await heard.wait()
        else:
            await asyncio.to_thread(until, lambda: one.server.asked, "it was asked")
        begin = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if while_ != "waiting":
            await asyncio.to_thread(one.server.asked[0].hung_up.wait, 10)
        return time.monotonic() - begin

    assert one.run(cancel) < 2
    assert len(one.server.asked) == 1
    if while_ != "waiting":
        assert one.server.asked[0].hung_up.is_set()
    assert one.model.last is None  # nothing is known of how it would have answered


# ── what a server can do ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limits", [{"max_tokens"}, {"max_completion_tokens"}, set()])
def test_the_limit_has_the_name_that_the_server_knows(limits: set[str]) -> None:
    with OpenAIServer([Turn(text=SAID), Turn(text=SAID)], KEY) as server:
        server.limits = frozenset(limits)
        Asker(server).run(twice)
        assert [asked.limit for asked in server.asked] == [8_000 if limits else None] * 2
        assert server.refused == {"max_tokens": 0, "max_completion_tokens": 1}.get(*limits, 2) if limits else 2


async def twice(model: Provider, question: Question = QUESTION) -> None:
    for _ in range(2):
        assert (await model.ask(question)).text == SAID


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        ("gemini", "temperature"),
        ("gemini", "stream"),
        ("anthropic", "stream"),
        ("anthropic", "cache_control"),
        ("openai", "temperature"),
        ("openai", "stream"),
        ("openai", "stream_options"),
    ],
)
def test_what_a_server_refuses_is_left_out_from_then_on(asker: Callable[..., Asker], kind: str, lacks: str) -> None:
    one = asker(Turn(text=SAID), Turn(text=SAID), llm_temperature=0.5)
    one.server.lacks = frozenset({lacks})  # type: ignore[attr-defined]
    one.run(twice)
    assert one.server.refused == 1
    for asked in one.server.asked:
        assert asked.stream is (lacks != "stream")
        assert asked.temperature == (None if lacks == "temperature" or kind == "anthropic" else 0.5)


def test_a_server_without_eyes_is_told_the_names_of_pictures_from_then_on(asker: Callable[..., Asker]) -> None:
    one = asker(Turn(text=SAID), Turn(text=SAID))
    one.server.lacks = frozenset({"pictures"})  # type: ignore[attr-defined]
    one.run(lambda model: twice(model, LOOK))
    assert one.server.refused == 1
    for asked in one.server.asked:
        assert asked.pictures == []
        assert "[picture plot.png: left out" in asked.prompt


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"object": "error", "message": "m is not a multimodal model", "code": 400}),
        (422, {"detail": [{"loc": ["body", "messages", 1, "content"], "msg": "Input should be a valid string"}]}),
        (
            500,
            {"error": {"code": 500, "message": "image input is not supported - provide the mmproj", "type": "server"}},
        ),
        (404, {"error": {"code": 404, "message": "No endpoints found that support image input"}}),
        (400, {"error": "this model is missing data required for image input"}),
    ],
    ids=["vllm", "fastapi", "llama.cpp", "openrouter", "ollama"],
)
def test_other_servers_tell_in_their_own_way_that_they_have_no_eyes(status: int, body: dict[str, Any]) -> None:
    class Other(OpenAIServer):
        lacks = frozenset({"pictures"})

        def failure(self, status: int, words: str, code: str, turn: Turn) -> tuple[dict[str, Any], dict[str, str]]:
            return body, {}

        def read(self, path: str, headers: dict[str, str], asked: dict[str, Any]) -> Asked:
            try:
                return super().read(path, headers, asked)
            except Refused as refused:
                raise Refused(status, str(refused)) from None

    with Other([Turn(text=SAID)], KEY) as server:
        one = Asker(server)
        assert one.ask(LOOK).text == SAID
        assert server.refused == 1
        assert one.waits == []


def test_a_limit_that_is_too_large_for_one_question_is_left_out_of_that_one() -> None:
    class Small(OpenAIServer):
        def read(self, path: str, headers: dict[str, str], asked: dict[str, Any]) -> Asked:
            read = super().read(path, headers, asked)
            if "long" in read.prompt and read.limit:
                raise Refused(400, f"'max_tokens' or 'max_completion_tokens' is too large: {read.limit}.")
            return read

    with Small([Turn(text=SAID), Turn(text=SAID)], KEY) as server:

        async def ask(model: Provider) -> None:
            await model.ask(Question((Message("user", "long"),)))
            await model.ask(QUESTION)

        Asker(server).run(ask)
        assert [asked.limit for asked in server.asked] == [None, 8_000]


def test_anthropic_is_told_what_to_keep_for_the_next_question() -> None:
    with AnthropicServer([Turn(text=SAID), Turn(text=SAID)], KEY) as server:
        messages = (*QUESTION.messages, Message("assistant", "Yes?"), Message("user", "Now."))
        Asker(server).ask(Question(messages))
        body = server.asked[0].body
        assert body["system"] == [{"type": "text", "text": "You plan.", "cache_control": {"type": "ephemeral"}}]
        marked = ["cache_control" in message["content"][-1] for message in body["messages"]]
        assert marked == [False, False, True]


def test_a_local_server_needs_no_key_and_gets_none() -> None:
    with OpenAIServer([Turn(text=SAID)], key="", models=["gpt-oss:20b"]) as server:
        one = Asker(server)
        assert one.ask().text == SAID
        assert "authorization" not in server.asked[0].headers


def test_an_error_in_the_body_of_a_success_is_one() -> None:
    """OpenRouter does it where the server behind it fails."""

    class Router(OpenAIServer):
        def success(self, asked: Asked, turn: Turn) -> dict[str, Any]:
            if len(self.asked) == 1:
                return {"error": {"code": 429, "message": "Rate limited upstream", "metadata": {}}}
            return super().success(asked, turn)

    with Router([Turn(text=SAID), Turn(text=SAID)], KEY) as server:
        one = Asker(server)
        assert one.ask().text == SAID
        assert [why for _, why in one.waits] == ["Rate limited upstream"]


def test_what_is_new_in_an_answer_is_no_error(asker: Callable[..., Asker], kind: str) -> None:
    one = asker(script=lambda asked: Turn(text=SAID))
    success = one.server.success

    def newer(asked: Asked, turn: Turn) -> dict[str, Any]:
        answer = {**success(asked, turn), "brandNew": {"a": [1]}}
        if len(one.server.asked) >= 2:
            list_, reason = {
                "gemini": ("candidates", "finishReason"),
                "anthropic": ("", "stop_reason"),
                "openai": ("choices", "finish_reason"),
            }[kind]
            (answer[list_][0] if list_ else answer)[reason] = "TIRED"
        return answer

    one.server.success = newer  # type: ignore[method-assign]
    assert one.ask().text == SAID
    if kind == "openai":
        assert Asker(one.server).ask().text == SAID  # servers of all makers: a word of their own may mean stop
    else:
        assert Asker(one.server).fails(errors.ModelBroken, "TIRED").partial == SAID


# ── kept out ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_key_is_in_no_log_and_in_no_name(asker: Callable[..., Asker], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one = asker(Turn(status=503, words=f"no {KEY}"), Turn(text=SAID), Turn(status=400, words=f"no {KEY}"))
    one.ask()
    Asker(one.server).fails(errors.ModelRejected, "no ***")
    said = [record.getMessage() for record in caplog.records]
    assert any("the model did not answer" in line for line in said)
    # the SDKs' own words are below what the orchestrator logs, see server.run; even these have no key
    assert not [line for line in said if KEY in line]
    for shown in (repr(one.model), str(one.model), repr(one.model.setup), repr(one.model.last)):
        assert KEY not in shown
    assert one.model.name in repr(one.model)


def test_no_word_of_the_environment_goes_along(monkeypatch: pytest.MonkeyPatch, asker: Callable[..., Asker]) -> None:
    names = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "GOOGLE_API_KEY", "OPENAI_ADMIN_KEY")
    for name in names:
        monkeypatch.setenv(name, "of-somebody-else")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v9")
    one = asker(Turn(text=SAID))
    assert one.ask().text == SAID
    assert "of-somebody-else" not in str(one.server.asked[0].headers)
    assert one.server.asked[0].key == KEY


def test_google_is_told_to_store_nothing() -> None:
    with GeminiServer([Turn(text=SAID)], KEY) as server:
        Asker(server).ask()
        assert server.asked[0].body["store"] is False


def test_secrets_are_taken_out_of_texts() -> None:
    assert redacted("a 12345678-9 b 12345678", ("12345678", "12345678-9", "")) == "a *** b ***"
    assert redacted("no model x", ("x", "none")) == "no model x"  # such keys are no secrets
    assert redacted("key provided: sk-ab******yz. Find", ()) == "key provided: ***. Find"
    assert redacted("x\ny\tz", ()) == "x y z"
    assert len(redacted("word " * 10_000, ())) < 1000


def test_nothing_of_an_answer_is_left_behind(asker: Callable[..., Asker]) -> None:
    """No connection, no thread, no task: a warning about one is an error in tests."""
    one = asker(Turn(text=SAID), Turn(fault="never"))
    one.ask()
    gc.collect()
