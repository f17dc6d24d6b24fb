"""A job and its model talk in Markdown: scripted sessions on real containers, and what they leave in the record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator.db.models import Turn as Row
from orchestrator.reasoning.conversation import LEFT_OUT, question_messages
from tests.support.providers import OpenAIServer, Turn
from tests.support.system import System, until
from tests.support.talk import file, purposes, run, says, submit

Talk = Callable[..., System]

GOOD = "def add(a, b):\n    return a + b\n"
BAD = "def add(a, b):\n    return a - b\n"


DONE = says("All is there: the numbers are right.\n\nDone: yes\n")


@pytest.fixture(scope="module")
def shared(engine: None) -> Iterator[tuple[System, OpenAIServer]]:
    with OpenAIServer(()) as server:
        system = System(**server.settings, MODEL_STEP_SECONDS="8", AGENT_LOOP="loop")
        try:
            yield system.start(), server
        finally:
            system.close()


@pytest.fixture
def talk(shared: tuple[System, OpenAIServer]) -> Callable[..., OpenAIServer]:
    """Give the model its answers; returns its server."""
    system, server = shared

    def script(*turns: Turn) -> OpenAIServer:
        for job in system.http.get("/jobs", params={"status": ["scheduled", "running"]}).json()["jobs"]:
            system.cancel(job["job_id"])
            system.ended(job["job_id"])
        server.script = turns
        server.asked.clear()
        return server

    return script


@pytest.fixture
def one(shared: tuple[System, OpenAIServer]) -> System:
    return shared[0]


# ── one conversation ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_conversation_only_grows_so_that_a_provider_can_cache_it(one: System, talk: Any) -> None:
    server = talk(says(file("calc.py", BAD), run("python -c 'import calc; assert calc.add(2, 3) == 5'")),
                  says("The sign is wrong.\n\n", file("calc.py", GOOD)), DONE)  # fmt: skip
    found = one.completed(submit(one, "Write calc.py with a function add, and check it."))
    assert purposes(found) == ["plan", "repair"] and found["verified_by"] == "facts"
    first, repair = (asked.messages for asked in server.asked)
    assert repair[: len(first)] == first and [role for role, _ in repair[len(first) :]] == ["assistant", "user"]
    assert "For this job:" in first[0][1].splitlines()[-1]  # what differs from job to job stands at the end
    assert "AssertionError" in repair[-1][1]
    assert [step["status"] for step in found["steps"]] == ["completed", "failed", "completed", "completed"]
    assert found["steps"][3]["title"] == found["steps"][1]["title"]  # the command ran again without being repeated
    assert one.zip(found["job_id"]).text("calc.py") == GOOD


def test_a_model_may_look_at_the_results_before_it_goes_on(one: System, talk: Any) -> None:
    look = says("First I look at the data.\n\n", run("head -n 2 data.csv; wc -l < data.csv"), "Done: no\n")
    server = talk(look, says(run("awk -F, 'NR > 1 {sum += $2} END {print sum}' data.csv > sum.txt")), DONE)
    found = one.completed(submit(one, "Write the sum to sum.txt", ("data.csv", b"n,v\n1,2\n2,5\n")))
    assert purposes(found) == ["plan", "results"]
    assert "n,v" in server.asked[1].last and "\n3\n" in server.asked[1].last
    assert found["usage"]["repairs"] == 0
    assert one.zip(found["job_id"]).text("sum.txt") == "7\n"


def test_a_source_that_does_not_parse_goes_back_before_anything_runs(one: System, talk: Any) -> None:
    broken = "def add(a, b):\n    return (a + b\n"
    server = talk(says(file("calc.py", broken), run("python calc.py; touch ran.txt")), says(file("calc.py", GOOD)))
    found = one.completed(submit(one, "Write calc.py with a function add."))
    assert purposes(found) == ["plan", "syntax"] and found["usage"]["repairs"] == 0
    assert "the file calc.py, line 2: " in server.asked[1].last and "was never closed" in server.asked[1].last
    assert [(step["number"], step["status"]) for step in found["steps"]] == [(1, "completed"), (2, "completed")]
    assert one.zip(found["job_id"]).text("calc.py") == GOOD


def test_a_source_that_never_parses_runs_in_the_end_and_is_repaired(one: System, talk: Any) -> None:
    def broken(n: int) -> Turn:
        return says(file("calc.py", f"x = ({n}\n"), run("python calc.py"))

    talk(broken(1), broken(2), broken(3), says(file("calc.py", GOOD)))
    found = one.completed(submit(one, "Write calc.py with a function add."))
    assert purposes(found) == ["plan", "syntax", "syntax", "repair"]


def test_a_cut_answer_is_asked_for_again_and_shorter_once(one: System, talk: Any) -> None:
    server = talk(says("### file a.txt\n```\nx = ", finish="cut"), says(file("a.txt", "short\n")))
    found = one.completed(submit(one, "Write a.txt"))
    assert "shorter" in server.asked[1].last and one.zip(found["job_id"]).text("a.txt") == "short\n"


def test_a_question_that_words_answer_is_answered_in_a_file(one: System, talk: Any) -> None:
    talk(says("It is Paris."), says("It is Paris."), DONE)
    found = one.completed(submit(one, "What is the capital of France?"))
    assert one.zip(found["job_id"]).text("answer.md") == "It is Paris.\n"


def test_a_restart_keeps_the_conversation(make_system: Callable[..., System]) -> None:
    with OpenAIServer((says(run("exit 3")), Turn(fault="never"), says(run("echo 1 > a.txt")))) as server:
        system = make_system(**server.settings).start()
        job_id = system.submit(prompt="Write a.txt")
        until(lambda: len(server.asked) == 2, "the repair is asked for")
        system.kill()
        system.start()
        found = system.completed(job_id)
        assert purposes(found) == ["plan", "repair", "repair"]
        assert server.asked[2].messages == server.asked[1].messages  # nothing is lost, and nothing stands there twice


def test_where_the_context_ends_older_turns_are_condensed() -> None:
    turns = [
        Row(job_id="x", number=0, role=("user", "assistant")[n % 2], purpose="plan", text=f"{n} " * 3000)
        for n in range(21)
    ]
    whole = question_messages("system", turns, 10**6)
    assert len(whole) == 22 and whole[1].text == turns[0].text
    less = question_messages("system", turns, 16_000)
    assert less[0].text == "system" and less[-1].text == turns[-1].text and less[-2].text == turns[-2].text
    assert sum(len(one.text) for one in less) <= 16_000 * 3
    assert less[1].text.startswith("0 0 0") and LEFT_OUT in less[1].text
    assert [one.role for one in less[1:]] == ["user", "assistant"] * (len(less[1:]) // 2) + ["user"]


# ── judging ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_the_prompt_names_and_that_is_not_there_goes_back_as_a_turn(one: System, talk: Any) -> None:
    server = talk(says(run("echo 1")), says(run("echo 1 > report.txt")))
    found = one.completed(submit(one, "Write the number of files to report.txt"))
    assert purposes(found) == ["plan", "facts"] and found["verified_by"] == "facts"
    assert "report.txt is not there" in server.asked[1].last
    assert one.zip(found["job_id"]).manifest["facts"][0]["path"] == "report.txt"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("table.csv", "name,value\n", "no row"),
        ("solution.py", "def f(x):\n    pass\n", "stub"),
        ("empty.txt", "", "empty"),
    ],
)
def test_a_file_without_the_work_in_it_is_no_success(
    one: System, talk: Any, name: str, content: str, words: str
) -> None:
    make = says(run(f"printf '%b' {json.dumps(content)} > {name}"))
    server = talk(make, says(run(f"printf '%b' {json.dumps(content)} > {name}; echo again")))
    found = one.ended(submit(one, f"Make {name} with all of it in it"))
    assert (found["status"], found["reason"], found["verified_by"]) == ("failed", "check_failed", None)
    assert name in server.asked[1].last and words in server.asked[1].last.lower()


def test_a_model_may_say_that_a_named_file_was_not_asked_for_and_a_review_decides(one: System, talk: Any) -> None:
    talk(says(run("echo 1 > a.txt")), says("old.cfg is only an example.\n\nDone: yes"), DONE)
    found = one.completed(submit(one, "Write a.txt, in the way of old.cfg"))
    assert purposes(found) == ["plan", "facts", "review"] and found["verified_by"] == "review"


def test_a_file_that_is_to_be_made_cannot_be_talked_away(one: System, talk: Any) -> None:
    talk(says(run("echo 1")), says("It was not needed.\n\nDone: yes"))
    found = one.ended(submit(one, "Write the result to a.txt"))
    assert (found["status"], found["reason"]) == ("failed", "check_failed")
    assert found["detail"] == "a.txt is not there."
    assert purposes(found) == ["plan", "facts"]


def test_a_state_that_was_never_left_is_not_said_to_be_put_back(one: System, talk: Any) -> None:
    talk(says(run("echo 1 > a.txt")), says("It is an example.\n\nDone: yes"), says("b.txt is needed.\n\nDone: no"))
    found = one.ended(submit(one, "Write a.txt, in the way of b.txt"))
    assert found["status"] == "failed" and "best attempt" not in found["detail"]


def test_a_models_own_check_that_cannot_run_is_dropped_and_said(one: System, talk: Any) -> None:
    for check in ("no-such-command-here a.txt", "test -s a.txt && ("):
        talk(says(run("echo 1 > a.txt"), f"Check: {check}\n"))
        found = one.completed(submit(one, "Write a.txt"))
        archive = one.zip(found["job_id"])
        assert purposes(found) == ["plan"] and "own check was dropped" in archive.report
        assert "check" not in archive.manifest["plan"]


def test_a_models_own_check_that_fails_is_evidence_for_a_review(one: System, talk: Any) -> None:
    server = talk(says(run("echo 1 > a.txt"), "Check: grep -q 2 a.txt\n"), DONE)
    found = one.completed(submit(one, "Write a.txt"))
    assert purposes(found) == ["plan", "review"] and "ended with exit code 1" in server.asked[1].last
    assert found["verified_by"] == "review"


def test_a_users_check_settles_the_outcome_without_a_review(one: System, talk: Any) -> None:
    talk(says(run("echo 1 > a")))
    found = one.completed(submit(one, "Make it", check="test -s a"))
    assert (purposes(found), found["verified_by"]) == (["plan"], "your check")


def test_a_users_check_outranks_the_facts(one: System, talk: Any) -> None:
    talk(says(run("echo 1 > a.txt")))
    found = one.completed(submit(one, "Write a.txt, not to be taken for b.txt", check="test -s a.txt"))
    assert (purposes(found), found["verified_by"]) == (["plan"], "your check")


def test_a_wrong_guess_of_an_outputs_name_does_not_fail_finished_work(one: System, talk: Any) -> None:
    talk(says(run("echo 1 > result.txt"), "Outputs: results.txt, result.txt\n"), DONE)
    found = one.completed(submit(one, "Make a result"))
    assert one.zip(found["job_id"]).manifest["plan"]["outputs"] == ["result.txt"]


def test_without_any_evidence_the_status_says_so(make_system: Callable[..., System]) -> None:
    with OpenAIServer((says(run("echo 1 > a")),)) as server:
        system = make_system(**server.settings, REVIEW="never").start()
        found = system.completed(system.submit(prompt="Make something"))
        assert (purposes(found), found["verified_by"]) == (["plan"], "nothing but exit codes")
        steps = [{"kind": "shell", "script": "echo 1 > a"}]
        assert system.completed(system.submit(steps=steps))["verified_by"] == "nothing but exit codes"
        assert system.completed(system.submit(steps=steps, outputs=["a"]))["verified_by"] == "facts"
        assert system.completed(system.submit(steps=steps, check="test -s a"))["verified_by"] == "your check"


def test_a_review_sees_the_pictures_that_were_made(one: System, talk: Any) -> None:
    draw = "import matplotlib.pyplot as plt\nplt.bar(['a', 'b'], [1, 2])\nplt.savefig('bars.png')"
    server = talk(says(run(draw, "python")), DONE)
    found = one.completed(submit(one, "Draw some bars"))
    assert purposes(found) == ["plan", "review"]
    kind, content = server.asked[1].pictures[0]
    assert kind == "image/png" and content.startswith(b"\x89PNG") and "bars.png" in server.asked[1].last


# ── the best state ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_right_work_that_repairs_of_a_wrong_self_test_destroy_is_put_back(one: System, talk: Any) -> None:
    wrong = run("python -c 'import calc; assert calc.add(2, 3) == 6'")
    worse = [says(file("calc.py", f"# try {n}\n{BAD}")) for n in range(3)]
    talk(says(file("calc.py", GOOD), wrong), *worse)
    found = one.ended(submit(one, "Write calc.py with a function add."))
    assert (found["status"], found["reason"]) == ("failed", "step_failed")
    assert "the files of the best attempt are delivered: calc.py." in found["detail"]
    assert one.zip(found["job_id"]).text("calc.py") == GOOD


def test_a_model_may_disown_the_step_that_failed_and_a_review_decides(one: System, talk: Any) -> None:
    wrong = run("python -c 'import calc; assert calc.add(2, 3) == 6'")
    talk(
        says(file("calc.py", GOOD), wrong, run("echo after > after.txt")), says("My test is wrong.\n\nDone: yes"), DONE
    )
    found = one.completed(submit(one, "Write calc.py with a function add."))
    assert purposes(found) == ["plan", "repair", "review"] and found["verified_by"] == "review"
    assert {"calc.py", "after.txt"} <= one.zip(found["job_id"]).paths


def test_a_step_that_never_ends_is_repaired_with_a_hint(one: System, talk: Any) -> None:
    serve = "python -m http.server 8123"
    server = talk(says(run(serve), run("curl -s localhost:8123 > page.txt")),
                  says(run(serve, heading="run in background"),
                       run("until curl -sf localhost:8123 > page.txt; do sleep 0.1; done")))  # fmt: skip
    found = one.completed(submit(one, "Serve this folder and save the page as page.txt"))
    assert purposes(found) == ["plan", "repair"]
    assert "time limit of 8 s" in server.asked[1].last and "must run in the background" in server.asked[1].last


def test_a_cell_that_never_ends_is_repaired_too(one: System, talk: Any) -> None:
    talk(says(run("while True: pass", "python")), says(run("open('a.txt', 'w').write('1')", "python")))
    found = one.completed(submit(one, "Write a.txt"))
    assert purposes(found) == ["plan", "repair"]


def test_an_upload_that_a_plan_writes_over_is_kept_beside(one: System, talk: Any) -> None:
    talk(says(file("calc.py", GOOD)))
    found = one.completed(submit(one, "Mend calc.py", ("calc.py", BAD.encode())))
    archive = one.zip(found["job_id"])
    assert (archive.text("calc.py"), archive.text("calc.original.py")) == (GOOD, BAD)
    assert "calc.original.py" in found["detail"]


def test_a_block_that_only_repeats_an_upload_is_not_written_over_it(one: System, talk: Any) -> None:
    data = b"n,v\n" + b"".join(b"%d,%d\n" % (n, n) for n in range(1000))
    talk(says(file("data.csv", "n,v\n0,0\n1,1\n"), run("wc -l < data.csv > lines.txt")))
    found = one.completed(submit(one, "Count the lines into lines.txt", ("data.csv", data)))
    assert one.zip(found["job_id"]).text("lines.txt") == "1001\n"


# ── what is needed ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_needed_ends_the_job_where_it_is_not_there(one: System, talk: Any) -> None:
    server = talk(says("Needs: the file sales.csv with your sales."), says(run("wc -l < sales.csv > lines.txt")))
    found = one.ended(submit(one, "Count my sales into lines.txt"))
    assert (found["status"], found["reason"]) == ("failed", "plan_failed")
    assert "needs something from you: the file sales.csv" in found["detail"] and len(server.asked) == 1


def test_what_is_needed_does_not_end_the_job_where_it_is_there(one: System, talk: Any) -> None:
    server = talk(says("Needs: sales.csv"), says(run("wc -l < sales.csv > lines.txt")))
    found = one.completed(submit(one, "Count my sales into lines.txt", ("sales.csv", b"a\nb\n")))
    assert "sales.csv is there" in server.asked[1].last
    assert one.zip(found["job_id"]).text("lines.txt") == "2\n"


# ── thinking that can be watched ─────────────────────────────────────────────────────────────────────────────────────


def test_what_the_model_writes_can_be_watched(one: System, talk: Any) -> None:
    talk(says("I write it.\n\n", file("a.txt", "1\n"), thought="Let me think about it."))
    found = one.completed(submit(one, "Write a.txt"))
    thoughts = [event["data"] for event in one.events(found["job_id"]) if event["event"] == "thought"]
    assert "".join(one["text"] for one in thoughts if not one["reasoning"]).startswith("I write it.\n\n### file a.txt")
    assert "".join(one["text"] for one in thoughts if one["reasoning"]) == "Let me think about it."
    assert {one["purpose"] for one in thoughts} == {"plan"}
    assert "Let me think" not in one.zip(found["job_id"]).text("a.txt")


def test_a_secret_in_what_the_model_writes_is_hidden(one: System, talk: Any) -> None:
    talk(says("The value is hunter2-hunter2.\n\n", file("a.txt", "1\n")))
    found = one.completed(submit(one, "Write a.txt", secrets={"TOKEN": "hunter2-hunter2"}))
    events = one.events(found["job_id"])
    assert "hunter2" not in json.dumps(events)
    told = "".join(event["data"]["text"] for event in events if event["event"] == "thought")
    assert told.startswith("The value is [secret TOKEN].")


def test_waiting_for_a_turn_is_said_and_counts_against_no_limit(make_system: Callable[..., System]) -> None:
    slow, fast = says(run("echo 1 > a"), delay=6.0), says(run("echo 1 > a"))
    with OpenAIServer((slow, fast)) as server:
        settings = {"REVIEW": "never", "LLM_CONCURRENCY": "1", "MAX_CONCURRENT_JOBS": "2"}
        system = make_system(**server.settings, **settings).start()
        first = system.submit(prompt="Make something")
        until(lambda: server.asked, "the model is asked")
        second = system.submit(prompt="Make something", limits={"seconds": 3})
        waiting = until(lambda: (found := system.status(second))["waiting_for"] == "model" and found, "it waits")
        assert "waits for its turn" in waiting["detail"]
        system.completed(first)
        assert system.completed(second)["detail"] == ""


def test_a_cancellation_stops_an_answer_while_it_is_written(one: System, talk: Any) -> None:
    server = talk(says("I begin to write and go on for a while.", fault="stall"))
    job_id = submit(one, "Write for ever")
    until(lambda: any(event["event"] == "thought" for event in seen(one, job_id)), "its first words are told")
    assert one.status(job_id)["usage"]["tokens"] > 0  # counted while it is written
    one.cancel(job_id)
    assert one.ended(job_id)["status"] == "cancelled"
    until(server.asked[0].hung_up.is_set, "the stream is closed")


def seen(system: System, job_id: str) -> list[dict[str, Any]]:
    """The events so far."""
    found = list[dict[str, Any]]()
    with system.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        kind = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found.append({"event": kind, "data": json.loads(line.removeprefix("data: "))})
            if kind == "thought" and not line:
                break
    return found


def test_what_was_not_taken_literally_is_told(one: System, talk: Any) -> None:
    talk(says(run("pip install leftpad"), run("echo 1 > a.txt")))
    found = one.completed(submit(one, "Write a.txt"))
    (plan,) = (thought["data"] for thought in found["thinking"] if thought["kind"] == "planned")
    assert plan["notes"] == ["Left out, because the job has no network: pip install leftpad"]
    assert [step["title"] for step in found["steps"]] == ["echo 1 > a.txt"]


def test_data_that_only_the_person_has_is_not_invented(one: System, talk: Any) -> None:
    invents = says(file("old.csv", "n\n1\n"), run("echo 7 > growth.txt"))
    server = talk(invents, says("Needs: old.csv"))
    found = one.ended(submit(one, "Compare old.csv and new.csv and write growth.txt", ("new.csv", b"n\n2\n")))
    assert (found["status"], found["reason"]) == ("failed", "plan_failed") and "old.csv" in found["detail"]
    assert "only the person has it: old.csv" in server.asked[0].last and "must not be invented" in server.asked[1].last


def test_a_table_without_the_columns_of_the_prompt_goes_back(one: System, talk: Any) -> None:
    wrong, right = ("category,amount\nx,1\n", "category,total\nx,1\n")
    server = talk(says(file("totals.csv", wrong)), says(file("totals.csv", right)))
    found = one.completed(submit(one, "Write totals.csv with the columns category and total."))
    assert purposes(found) == ["plan", "facts"] and found["verified_by"] == "facts"
    assert "has the columns category, amount, but the request says category, total" in server.asked[1].last
