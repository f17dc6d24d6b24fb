"""The examples of a prompt are tests: what is read of them, and what the agent finds when it tries them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from box import Box, boxed

from orchestrator.reasoning.named_files import tests_of as uploaded_tests
from orchestrator.reasoning.prompt_examples import examples_of

SESSION = '''Complete this function in solution.py:

def double(items):
    """Double each item.
    >>> double([1, 2])
    [2, 4]
    >>> double(
    ...     [])
    []
    >>> print(double("a"))
    aa
    >>> double(None)
    Traceback (most recent call last):
      ...
    TypeError: no
    """
'''

READ: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "a Python session": (
        SESSION,
        [
            ("double([1, 2])", "[2, 4]"), ("double(\n    [])", "[]"), ("str(double(\"a\"))", "'aa'"),
            ("double(None)", "TypeError"),
        ],
    ),
    "a session with an arrow": (">>> double(2) ➞ 4", [("double(2)", "4")]),
    "asserts": (
        "assert double(2) == 4\nassert not double(0)", [("assert double(2) == 4", ""), ("assert not double(0)", "")]
    ),
    "an arrow": ("double([1, 2]) -> [2, 4]", [("double([1, 2])", "[2, 4]")]),
    "an equals sign": ("    double(2) == 4\n    double(3) = 6", [("double(2)", "4"), ("double(3)", "6")]),
    "a verb": ("double(2) returns 4, and double(3) should return 6.", [("double(2)", "4"), ("double(3)", "6")]),
    "backticks": ("`double('a')` gives `'aa'`.", [("double('a')", "'aa'")]),
    "an error": ("double(None) raises a TypeError.", [("double(None)", "TypeError")]),
    "brackets in a text": ('double("a)") is "a)a)"', [('double("a)")', '"a)a)"')]),
    "nested calls": ("halve(double(2)) is 2", [("halve(double(2))", "2")]),
    "a call around it": ("len(double([1])) == 2", [("len(double([1]))", "2")]),
}  # fmt: skip


@pytest.mark.parametrize("form", READ)
def test_an_example_is_read_in_every_form(form: str) -> None:
    prompt, expected = READ[form]
    assert [(one.call, one.result) for one in examples_of(prompt)] == expected


NO_EXAMPLES = (
    "Write a function double(items).",
    "def double(n=2): return 4",
    "double(2) returns 3 items",
    "double(n) returns 4",
    "open('a.txt').read() == 'x'",
    "stock.count('a') is 3",
    "len([1]) == 1",
    "double(2) is fast",
    "lambda: double(2) == [x for x in y]",
    ">>> s = Stock()\n>>> s",
    "assert x",
    "double(2",
    "(" * 5_000 + "double(" * 500 + "1 == 2",
    ">>> " + "double(" * 200,
)


@pytest.mark.parametrize("prompt", NO_EXAMPLES)
def test_what_only_looks_like_an_example_is_none(prompt: str) -> None:
    assert examples_of(prompt) == []


def test_examples_are_bounded_and_come_once() -> None:
    assert len(examples_of("double(2) is 4\n" * 30)) == 1
    assert len(examples_of("\n".join(f"double({n}) is {2 * n}" for n in range(1000)))) == 20


def test_only_sessions_and_asserts_are_firm() -> None:
    firm = [one.firm for one in examples_of(">>> f(1)\n1\nassert f(2) == 2\nf(3) is 3")]
    assert firm == [True, True, False]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("The tests fail: mend it.", ["test_a.py", "b_test.py", "c.test.js"]),
        ("Mend a.py so that test_a.py passes.", ["test_a.py", "b_test.py", "c.test.js"]),
        ("Describe these files.", []),
    ],
)
def test_uploaded_tests_are_run_if_the_prompt_is_about_tests(prompt: str, expected: list[str]) -> None:
    assert (
        uploaded_tests(prompt, ["test_a.py", "b_test.py", "c.test.js", "a.py", "testing.txt", "x/latest.py"])
        == expected
    )


# ── tried in a container ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with boxed() as one:
        yield one


def tried(box: Box, made: str, prompt: str, tests: list[str] | None = None, **secrets: str) -> list[dict[str, Any]]:
    examples = [{"call": e.call, "result": e.result, "names": e.names, "firm": e.firm} for e in examples_of(prompt)]
    code = (
        f"order.examples = [messages.Example(**one) for one in {examples!r}]\norder.tests = {tests or []!r}\n"
        "answer = inspection.tried(job)"
    )
    return list(box.do(made, code, **secrets))


DOUBLE = """
from typing import List
def double(items: List[int]):
    if items == "late":
        while True: pass
    if items is None:
        raise ValueError("nothing to double")
    return items + items if items != 3 else 7
open("side-effect", "w")
"""


@pytest.mark.parametrize(
    ("example", "about", "words"),
    [
        ("double(2) is 4", "ok", "double(2) is right"),
        ("double(0.1) is 0.2", "ok", ""),
        ("double(None) raises ValueError", "ok", ""),
        ("double(3) is 6", "example", "double(3) gives 7, but the request says 6."),
        ("assert double(3) == 6", "test", "double(3) gives 7"),
        (">>> double(3)\n6", "test", "double(3) gives 7, but the request says 6."),
        ("double(2) raises ValueError", "example", "double(2) gives 4, but the request wants ValueError."),
        ("double(None) is 4", "example", "double(None) raises ValueError: nothing to double, but the request says 4."),
        ("double('late') is 4", "example", "does not end within 3 s."),
    ],
)
def test_an_example_is_tried_on_the_file_that_defines_its_function(
    box: Box, example: str, about: str, words: str
) -> None:
    (fact,) = tried(box, f"write('a.py', 'x = 1'); write('double.py', {DOUBLE!r})", example)
    assert (fact["path"], fact["about"], fact["ok"]) == ("double.py", about, about == "ok"), fact
    assert words in fact["detail"]
    assert box.do("", "answer = os.path.exists('/workspace/side-effect')") is False


def test_an_example_without_its_function_tells_nothing(box: Box) -> None:
    assert tried(box, "write('a.py', 'x = 1')", "double(2) is 4") == []


def test_a_file_that_cannot_be_imported_is_told_once(box: Box) -> None:
    made = "write('a.py', 'def double(n: List[int]) -> int:\\n    return 2 * n\\n')"
    (fact,) = tried(box, made, "double(2) is 4, double(3) is 6")
    assert fact["detail"] == "a.py: cannot be imported: NameError: name 'List' is not defined."


@pytest.mark.parametrize(
    "source",
    [
        "import os\ndef double(n):\n    os._exit(0)",
        "import os, signal\ndef double(n):\n    os.kill(os.getppid(), signal.SIGKILL)",
        "def double(n):\n    return double(n)",
        "class Odd:\n    def __eq__(self, other):\n        raise SystemExit\n    __repr__ = __eq__\n"
        "def double(n):\n    return Odd()",
        "import os\nos.write(1, b'[]')\ndef double(n):\n    print('x' * 10_000_000)\n    return 'x' * 300_000_000",
        "import os\ndef double(n):\n    for fd in range(3, 20):\n        os.write(fd, b'[{]')",
    ],
)
def test_hostile_code_is_bounded(box: Box, source: str) -> None:
    for fact in tried(box, f"write('a.py', {source!r})", "double(2) is 4"):
        assert not fact["ok"] and len(fact["detail"]) <= 500


def test_tests_that_came_with_the_job_are_run(box: Box) -> None:
    made = """
write('a.py', 'def f():\\n    return 1')
write('test_good.py', 'from a import f\\ndef test_f():\\n    assert f() == 1')
write('test_bad.py', 'from a import f\\ndef test_f():\\n    assert f() == 2')
write('good.test.js', 'process.exit(0)')
write('bad.test.js', 'throw new Error("no such item")')
write('test_none.py', 'x = 1')
"""
    found = tried(
        box, made, "", ["test_good.py", "test_bad.py", "good.test.js", "bad.test.js", "test_none.py", "test_gone.py"]
    )
    assert [(fact["path"], fact["about"]) for fact in found] == [
        ("test_good.py", "ok"), ("test_bad.py", "test"), ("good.test.js", "ok"), ("bad.test.js", "test"),
    ]  # fmt: skip
    assert "assert 1 == 2" in found[1]["detail"] and "no such item" in found[3]["detail"]


def test_what_is_told_of_examples_hides_secrets(box: Box) -> None:
    made = "write('a.py', 'import os\\ndef double(n):\\n    return \"hunter2-hunter2\"')"
    found = tried(box, made, "double(2) is 4", PASSWORD="hunter2-hunter2")
    assert "hunter2" not in json.dumps(found) and "[secret PASSWORD]" in found[0]["detail"]
