"""The skill suite judges right: a judge passes a right result, and neither an empty workspace nor a wrong one."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from conftest import IMAGE

from skill.__main__ import judged
from skill.container import Result, Verdict, judge
from skill.tasks import GROUPS, TASKS

JUDGED = {name: task for name, task in TASKS.items() if task.judge}
IMPOSSIBLE = {name: task for name, task in TASKS.items() if task.need}


@pytest.fixture(scope="module")
def verdicts() -> dict[tuple[str, str], Verdict]:
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


@pytest.mark.timeout(300)
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
