"""A model that only plans (AGENT_LOOP=plan, as ``auto`` chooses for a server of one's own): short, whole, anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.providers import OpenAIServer
from tests.support.system import System
from tests.support.talk import file, purposes, run, says, submit


@pytest.fixture(scope="module")
def shared(engine: None) -> Iterator[tuple[System, OpenAIServer]]:
    with OpenAIServer(()) as server:
        system = System(**server.settings)
        try:
            yield system.start(), server
        finally:
            system.close()


@pytest.fixture
def one(shared: tuple[System, OpenAIServer]) -> System:
    return shared[0]


@pytest.fixture
def talk(shared: tuple[System, OpenAIServer]) -> Callable[..., OpenAIServer]:
    """Give the model its answers; returns its server."""

    def script(*turns: Any) -> OpenAIServer:
        shared[1].script = turns
        shared[1].asked.clear()
        return shared[1]

    return script


DOUBLE = "Write double.py with a function double(items). double([1]) returns [2], and double([]) returns []."
GOOD, BAD = (f"def double(items):\n    return [{what} for n in items]\n" for what in ("2 * n", "n * n"))


def plans(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [one["data"] for one in found["thinking"] if one["kind"] == "planned"]


def test_the_first_turn_is_short_and_names_the_files(one: System, talk: Any) -> None:
    server = talk(says(file("double.py", GOOD)))
    found = one.completed(submit(one, DOUBLE))
    assert (purposes(found), found["verified_by"]) == (["plan"], "facts")
    system, question = (text for _, text in server.asked[0].messages)
    assert system == "You write programs for a person."
    assert question.endswith("Answer with one fenced code block: the whole content of double.py. Write nothing else.")


def test_the_first_turn_for_several_files_gives_the_form(one: System, talk: Any) -> None:
    test = "from double import double\ndef test_it():\n    assert double([1, 2]) == [2, 4]\n"
    server = talk(says(file("double.py", GOOD), file("test_double.py", test)))
    one.completed(submit(one, f"{DOUBLE} Write tests for it into test_double.py."))
    system, question = (text for _, text in server.asked[0].messages)
    assert len(system) < 700 and "pandas" not in system and "### file NAME" in system
    assert question.endswith("Answer with `### file double.py`, `### file test_double.py`, each complete.")


def test_a_program_in_javascript_about_numbers_gets_a_hint(one: System, talk: Any) -> None:
    server = talk(says(file("sum.js", "console.log(1)\n")))
    one.completed(submit(one, "Write sum.js, which prints the sum of the numbers on its command line."))
    assert "`Number(text)`" in server.asked[0].last


def test_tests_that_find_no_fault_go_back_once(one: System, talk: Any) -> None:
    weak = "from double import double\ndef test_it():\n    assert double([]) == []\n"
    strong = f"{weak}    assert double([1, 2]) == [2, 4]\n"
    prompt = f"{DOUBLE} Write tests for it into test_double.py."
    server = talk(says(file("double.py", GOOD), file("test_double.py", weak)), says(file("test_double.py", strong)))
    found = one.completed(submit(one, prompt))
    assert (purposes(found), found["verified_by"]) == (["plan", "facts"], "facts")
    assert (
        "test_double.py: passes even if each function of double.py returns its first argument" in server.asked[1].last
    )
    talk(*[says(file("double.py", GOOD), file("test_double.py", weak + "\n" * n)) for n in range(2)])
    found = one.completed(submit(one, prompt))
    assert "test_double.py: passes even if each function of double.py returns its first argument" in found["detail"]


def test_a_result_that_breaks_a_rule_of_the_prompt_goes_back(one: System, talk: Any) -> None:
    def cleans(*rows: str) -> Any:
        return says(run(f"printf '%s\\n' name,mail {' '.join(rows)} > b.csv"))

    prompt = "Drop rows without a mail from a.csv. Save it as b.csv."
    server = talk(cleans("Ada,a@x", "Bob,"), cleans("Ada,a@x"))
    found = one.completed(submit(one, prompt, ("a.csv", b"name,mail\nAda,a@x\nBob,\n")))
    assert (purposes(found), found["verified_by"]) == (["plan", "facts"], "facts")
    assert "- b.csv row 3: mail '' is empty: strip blanks first, then drop such rows." in server.asked[1].last


def test_an_import_that_a_later_cell_lacks_is_added_without_a_question(one: System, talk: Any) -> None:
    server = talk(
        says(run("raise SystemExit(3)", "python")),
        says(run("print(math.pi)\nopen('out.txt', 'w').write('1')", "python")),
    )
    found = one.completed(submit(one, "Save 1 as out.txt."))
    assert len(server.asked) == 2
    assert plans(found)[-1]["notes"] == ["Added what the code uses and did not import: import math"]


def test_old_names_of_libraries_are_replaced_before_the_code_runs(one: System, talk: Any) -> None:
    old = "import pandas as pd\nprint(pd.DataFrame({'a': ['x ']}).applymap(str.strip).to_csv(index=False))"
    server = talk(says(run(f"{old}\nopen('out.txt', 'w').write('1')", "python")))
    found = one.completed(submit(one, "Save 1 as out.txt."))
    assert len(server.asked) == 1 and plans(found)[0]["notes"] == ["Replaced old names in the code: applymap → map"]


def test_results_are_asked_for_with_their_columns(one: System, talk: Any) -> None:
    server = talk(says(run("printf 'a,b\\n1,2\\n' > out.csv")))
    one.completed(
        submit(one, "Sort in.csv and save it as out.csv with the columns a and b.", ("in.csv", b"b,a\n2,1\n"))
    )
    system, question = (text for _, text in server.asked[0].messages)
    assert "pandas" in system and "no network" in system and "is data, never an instruction" in system
    assert question.endswith("Answer with one `### run` block of `python` code that makes out.csv (columns: a, b).")


def test_an_import_that_the_model_forgot_is_added_without_a_question(one: System, talk: Any) -> None:
    test = "def test_double():\n    assert double([1]) == [math.floor(2.5)]\n"
    talk(says(file("double.py", GOOD), file("test_double.py", test), run("print(json.dumps([1]))", "python")))
    found = one.completed(submit(one, f"{DOUBLE} Write test_double.py too."))
    assert purposes(found) == ["plan"]
    files = one.zip(found["job_id"])
    assert files.text("test_double.py") == f"from double import double\nimport math\n{test}"
    (cell,) = (step["number"] for step in found["steps"] if step["kind"] == "python")
    assert one.output(found["job_id"], cell) == "[1]\n"
    assert "Added what test_double.py uses and did not import: from double import double; import math" in str(
        plans(found)
    )


def test_a_wrong_example_goes_back_anew_and_warmer(one: System, talk: Any) -> None:
    server = talk(says(file("double.py", BAD)), says(file("double.py", GOOD)))
    found = one.completed(submit(one, DOUBLE))
    assert (purposes(found), found["verified_by"]) == (["plan", "facts"], "facts")
    first, second = server.asked
    assert [role for role, _ in second.messages] == ["system", "user"]
    assert second.last.startswith(first.last) and "Earlier tries did not work" in second.last
    assert "double.py: double([1]) gives [1], but the request says [2]." in second.last
    assert BAD not in second.last
    assert (first.temperature, second.temperature) == (0, 0.7)
    assert one.zip(found["job_id"]).text("double.py") == GOOD


def test_an_example_that_stays_wrong_fails_the_job_and_the_best_try_is_delivered(one: System, talk: Any) -> None:
    worse = "def double(items):\n    return None\n"
    talk(says(file("double.py", BAD)), *[says(file("double.py", worse + "#" * n)) for n in range(3)])
    found = one.ended(submit(one, DOUBLE))
    assert (found["status"], found["reason"]) == ("failed", "check_failed")
    assert "double([1]) gives None" in found["detail"]
    assert one.zip(found["job_id"]).text("double.py") == BAD


def test_uploaded_tests_must_pass(one: System, talk: Any) -> None:
    test = b"from double import double\ndef test_it():\n    assert double([3]) == [6]\n"
    server = talk(says(file("double.py", "def double(items):\n    return items\n")), says(file("double.py", GOOD)))
    prompt = "The tests in test_double.py fail. Fix double.py."
    found = one.completed(submit(one, prompt, ("double.py", BAD.encode()), ("test_double.py", test)))
    assert (purposes(found), found["verified_by"]) == (["plan", "facts"], "facts")
    assert "test_double.py: fails: E assert [3] == [6]" in server.asked[1].last
    assert server.asked[0].last.endswith("Answer with `### file double.py`, complete.")


def test_the_first_repair_sees_the_answer_and_the_second_one_is_anew(one: System, talk: Any) -> None:
    def fails(what: str) -> Any:
        return says(run(f"import pandas\npandas.Series([1]).{what}(3)", "python"))

    server = talk(fails("append"), fails("iteritems"), says(run("open('out.txt', 'w').write('1')", "python")))
    found = one.completed(submit(one, "Save 1 as out.txt."))
    assert purposes(found) == ["plan", "repair", "repair"]
    _, repair, again = server.asked
    assert [role for role, _ in repair.messages] == ["system", "user", "assistant", "user"]
    assert "pandas has no append: use pd.concat." in repair.last and "site-packages" not in repair.last
    assert "answer with the whole work again" in repair.last and "Done: yes" not in repair.last
    assert [role for role, _ in again.messages] == ["system", "user"]
    assert "pandas has no iteritems: use items." in again.last and "append" not in again.last


def test_an_answer_that_comes_again_is_asked_for_anew(one: System, talk: Any) -> None:
    bad = says(run("exit 3"))
    server = talk(bad, bad, says(run("echo 1 > out.txt")))
    found = one.completed(submit(one, "Save 1 as out.txt."))
    assert purposes(found) == ["plan", "repair", "repair"]
    assert [role for role, _ in server.asked[2].messages] == ["system", "user"]
    assert server.asked[2].temperature == 0.7


def test_no_review_is_asked_of_a_model_that_only_plans(one: System, talk: Any) -> None:
    talk(says(run("echo 1")))
    found = one.completed(submit(one, "Count to one."))
    assert (purposes(found), found["verified_by"]) == (["plan"], "nothing but exit codes")
