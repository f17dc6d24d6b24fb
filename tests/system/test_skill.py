"""The skill suite judges right: a judge passes a right result, and neither an empty workspace nor a wrong one."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

from skill import alone
from skill.__main__ import do, judged
from skill.container import Result, Verdict, judge
from skill.product import Product
from skill.report import page
from skill.task import Script, written
from skill.tasks import GROUPS, TASKS
from tests.support.providers import OpenAIServer, Turn
from tests.support.system import IMAGE, System

#: The first test that needs the verdicts waits for all of them.
pytestmark = pytest.mark.timeout(300)

JUDGED = {name: task for name, task in TASKS.items() if task.judge}
IMPOSSIBLE = {name: task for name, task in TASKS.items() if task.need}


@pytest.fixture(scope="module")
def verdicts(engine: None) -> dict[tuple[str, str], Verdict]:
    """Of every task the verdict on its reference, on its uploads alone and on each wrong result; one container."""
    cases = {}
    for name, task in JUDGED.items():
        cases[name, "reference"] = Result(name, task, made=task.reference)
        cases[name, "empty"] = Result(name, task)
        for number, wrong in enumerate(task.wrong):
            cases[name, f"wrong {number}"] = Result(name, task, made=wrong)
    return dict(zip(cases, judge(list(cases.values()), IMAGE), strict=True))


Verdicts = dict[tuple[str, str], Verdict]


def test_there_are_seventy_tasks_of_which_ten_are_everyday() -> None:
    everyday = [name for name in TASKS if name.startswith("everyday/")]
    assert len(everyday) == 10
    assert len(TASKS) - len(everyday) >= 60
    assert {name.split("/")[0] for name in TASKS} == set(GROUPS)


def test_names_and_prompts_are_unique() -> None:
    names = [name.split("/")[1] for name in TASKS]
    assert len(names) == len(set(names)), "a name alone chooses a task"
    assert len({task.prompt for task in TASKS.values()}) == len(TASKS)


def test_each_task_has_a_judge_or_a_need_a_reference_and_a_wrong_result() -> None:
    for name, task in TASKS.items():
        assert (task.judge is None) == bool(task.need), name
        assert not task.judge or (task.reference and task.wrong), name


def test_each_judge_passes_the_reference(verdicts: Verdicts) -> None:
    failed = {
        name: verdict.why for (name, case), verdict in verdicts.items() if case == "reference" and not verdict.passed
    }
    assert not failed


def test_no_judge_passes_an_empty_workspace(verdicts: Verdicts) -> None:
    assert all(verdict.passed is False for (_, case), verdict in verdicts.items() if case == "empty")


def test_each_judge_says_what_is_wrong_with_each_wrong_result(verdicts: Verdicts) -> None:
    wrong = {key: verdict for key, verdict in verdicts.items() if key[1].startswith("wrong")}
    passed = [key for key, verdict in wrong.items() if verdict.passed is not False]
    assert not passed
    assert all(verdict.why for verdict in wrong.values())


def test_no_prompt_has_an_expression_of_its_hidden_tests() -> None:
    for name, task in JUDGED.items():
        assert task.judge
        source: str = getattr(task.judge, "tests", "") or inspect.getsource(task.judge)
        hidden = re.findall(r"""(?:check|throws|raises)\((?:\w+, )?(["'`])(.+?)\1""", source)
        for _, expression in hidden:
            assert "(" not in expression or expression not in task.prompt, name


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_be_done_passes_only_as_failed_with_its_need_named(name: str) -> None:
    def ending(status: str, reason: str | None, detail: str) -> bool:
        found = judged(name, TASKS[name], {"status": status, "reason": reason, "detail": detail}, Path("/nonexistent"))
        return bool(found["passed"])

    reference = TASKS[name].reference
    assert isinstance(reference, dict)
    assert ending("failed", "plan_failed", str(reference["detail"]))
    assert not ending("failed", "plan_failed", "The model gave no plan that could be read.")
    assert not ending("failed", "model_unavailable", str(reference["detail"]))
    assert not ending("completed", None, str(reference["detail"]))


def test_a_job_is_judged_by_what_is_in_its_zip(system: System, tmp_path: Path) -> None:
    name = "data/median-salaries"
    task = TASKS[name]
    assert isinstance(task.reference, Script)
    with Product(str(system.http.base_url), "") as product:
        for source, passed, how in ((task.reference.source, True, ""), ("print('done')", False, "false success")):
            # Without a model, a prompt of code blocks is the plan.
            given = replace(task, prompt=f"```python\n{source}\n```")
            found = do(name, given, product, tmp_path, None)
            assert (found["status"], found["passed"], found["how"]) == ("completed", passed, how), found["why"]
            assert (tmp_path / "result.zip").exists()
        refused = do(name, task, product, tmp_path, None)
        assert refused["how"] == "refused or not answered"


def test_a_question_is_put_once_and_then_known(tmp_path: Path) -> None:
    task = TASKS["programs/slugs"]
    turn = Turn(text=f"Here it is:\n```python\n{written(task.reference)['slugs.py'].decode()}```\n")
    with OpenAIServer([turn]) as server:
        where = alone.Server(server.settings["LLM_BASE_URL"], server.settings["LLM_MODEL"], server.key)
        answers = [alone.Asked(where, tmp_path / "alone.json").ask(task) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0].tokens == 127
    assert alone.made(task, answers[0]) == task.reference


def test_the_page_has_the_rates_and_how_each_loss_happened() -> None:
    def product(passed: bool, how: str = "") -> dict[str, object]:
        return {
            "passed": passed,
            "how": how,
            "why": "because",
            "model": "a-model",
            "calls": 2,
            "tokens": 300,
            "seconds": 9.0,
        }

    answer = {"passed": True, "why": "", "tokens": 100, "seconds": 1.0}
    results = {
        "everyday/quicksort": {"product": product(True)},
        "programs/slugs": {"alone": answer, "product": product(False, "false success")},
        "programs/sizes": {"alone": answer | {"passed": False}, "product": product(True)},
    }
    found = page(results, "1.2.3")
    assert "| programs | 2 | 1/2 (50 %) | 1/2 (50 %) | 1/2 (50 %) | 1/2 (50 %) | 2.0 | 100 | 300 | 3.0 | 9 |" in found
    assert "| all | 3 | 1/2 (50 %) | 2/3 (67 %) | 1/2 (50 %) | 1/2 (50 %) |" in found
    assert "| model | a-model |" in found
    assert "did: 1 of 1." in found
    assert "| false success | 1 |" in found
    assert "| programs/slugs | false success | because |" in found
