"""The rules of a prompt for its results: which are found, and what the agent says if a result breaks one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from orchestrator.reasoning.promises import made_tests, promises_of
from tests.support.box import Box, boxed

FOUND: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "blanks around all values": (
        "Clean a.csv: strip blanks around all values. Save it as b.csv.", [("b.csv", "trimmed", "")]
    ),
    "blanks of a column": (
        "Trim the white space of the name column of a.csv. Save it as b.csv.",
        [("b.csv", "trimmed", "Trim the white space of the name column of a.csv")],
    ),
    "rows without a value": (
        "Drop rows without an e-mail address from a.csv, and save it as b.csv.",
        [("b.csv", "filled", "an e-mail address from a.csv")],
    ),
    "rows with any missing value": (
        "Save a.csv as b.csv. Remove all rows with missing values.", [("b.csv", "filled", "")]
    ),
    "lower case": (
        "Save a.csv as b.csv, the names in lower case.", [("b.csv", "lower", "the names in lower case")]
    ),
    "duplicates": ("Remove duplicate rows from a.csv and save it as b.csv.", [("b.csv", "unique", "")]),
    "an example in JSON": (
        'Write b.json: an object such as {"a": 1, "b": ["x"]}.', [("b.json", "like", '{"a": 1, "b": ["x"]}')]
    ),
    "a table with given columns": (
        "Save the total of each month of a.csv as b.csv with the columns month and total.",
        [("b.csv", "whole", ""), ("b.csv", "each", "month")],
    ),
    "rows of each group": (
        "Write the number of rows of each region of a.csv to b.txt.",
        [("b.txt", "count", "region"), ("b.txt", "each", "region")],
    ),
    "each group of a table": (
        "Write the total of each region of a.csv to b.txt.", [("b.txt", "each", "region")]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOUND)
def test_a_rule_is_found(kind: str) -> None:
    prompt, expected = FOUND[kind]
    assert [(one.path, one.rule, one.text) for one in promises_of(prompt, ["a.csv"])] == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "Sort a.csv by name and save it as b.csv.",
        "Strip blanks around all values of a.csv. Save b.csv and c.csv.",  # two results: which one is meant?
        "Count the duplicates of a.csv and save the count in b.csv.",
        "Write the total of each region of a.csv above 100 to b.txt.",  # selects some regions
        "Write b.json, such as {not JSON}.",
        "Write b.json like a.csv.",
        "Plot each region of a.csv as b.png.",
        "(" * 5_000 + " such as " + "[" * 5_000,
    ],
)
def test_a_prompt_that_leaves_two_readings_has_no_rule(prompt: str) -> None:
    assert promises_of(prompt, ["a.csv"]) == []


def test_tests_are_tried_if_the_prompt_asks_for_them() -> None:
    assert made_tests("Write sort.py, and tests in test_sort.py.", []) == {"test_sort.py": "sort.py"}
    assert made_tests("Write tests for sort.py in sort_test.py.", ["sort.py"]) == {"sort_test.py": "sort.py"}
    assert made_tests("Make test_sort.py pass.", ["test_sort.py", "sort.py"]) == {}
    assert made_tests("Write test_all.py.", []) == {}


@pytest.fixture(scope="module")
def box(engine: None) -> Iterator[Box]:
    with boxed() as one:
        yield one


def told(box: Box, made: str, prompt: str, uploads: list[str]) -> list[dict[str, Any]]:
    promises = [asdict(one) for one in promises_of(prompt, uploads)]
    code = (
        f"order.promises = [messages.Promise(**one) for one in {promises!r}]\n"
        f"order.tried_tests = {made_tests(prompt, uploads)!r}\nanswer = inspection.tried(job)"
    )
    return list(box.do(made, code))


CLEAN = (
    "Clean a.csv: strip blanks around all values, make the e-mail addresses lower case, drop rows without an e-mail "
    "address, remove duplicates. Save it as b.csv."
)


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ("name,email\nAda,a@x.org\nBob,b@x.org\n", []),
        ("name,email,address\nAda,a@x.org,1 Main St\nBob,b@x.org,\n", []),  # the words fit two columns
        ("name,email\n Ada,a@x.org\n", ["b.csv row 2: name ' Ada' has blanks around it; strip the values first."]),
        ("name,email\nAda,A@x.org\n", ["b.csv row 2: email 'A@x.org' is not in lower case."]),
        (
            "name;email\nAda;a@x.org\nBob;\n",
            ["b.csv row 3: email '' is empty: strip blanks first, then drop such rows."],
        ),
        (
            "name,email\nAda,a@x.org\nAda,a@x.org\n",
            ["b.csv has row 3 twice: it is the same as row 2."],
        ),
        ("name,phone\nAda,1\nAda,\n", []),  # no column fits the words
    ],
)
def test_a_table_that_breaks_a_rule_is_named_by_its_row(box: Box, table: str, wrong: list[str]) -> None:
    found = told(box, f"write('b.csv', {table!r})", CLEAN, ["a.csv"])
    assert [fact["detail"] for fact in found if not fact["ok"]] == wrong
    assert all(fact["about"] == ("ok" if fact["ok"] else "promise") for fact in found)


def test_an_empty_cell_of_a_given_column_is_a_doubt(box: Box) -> None:
    prompt = "Save the totals by month of a.csv as b.csv with the columns month and total."
    (fact,) = told(box, "write('b.csv', 'month,total\\nMay,3\\n,3\\n')", prompt, ["a.csv"])
    assert (fact["about"], fact["detail"]) == ("doubt", "b.csv row 3: month '' is empty.")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ('{"/health": 200, "/items": 200}', "keeps a rule"),
        (
            '{"/health": null}',
            'b.json at ["/health"] has null, but the example in the request has a number there.',
        ),
        ('["/health"]', "b.json has a list, but the example in the request has an object there."),
        ('{"/health": true}', "has a boolean"),
        ('{"/health": 200, "/items": [1]}', 'b.json at ["/items"] has a list'),
    ],
)
def test_a_json_result_has_the_shape_of_its_example(box: Box, result: str, words: str) -> None:
    prompt = 'Write b.json: an object with the status of each path, such as {"/health": 123}.'
    (fact,) = told(box, f"write('b.json', {result!r})", prompt, [])
    assert words in fact["detail"]


def test_each_group_of_the_data_is_in_the_result(box: Box) -> None:
    log = "".join(f"2026-01-01 {level} x{n}\n" for n, level in enumerate(["INFO", "ERROR", "WARNING"] * 4))
    made = f"write('a.log', {log!r}); write('b.txt', 'info: 4, warning: 4')"
    prompt = "Write the number of lines of each level of a.log to b.txt."
    counts, groups = told(box, made, prompt, ["a.log"])
    assert counts["ok"]
    assert groups["detail"] == "b.txt does not have the level 'ERROR', which a.log has."
    counts, groups = told(box, f"{made}; write('b.txt', 'INFO 4, WARNING 0, ERROR 0')", prompt, ["a.log"])
    assert counts["ok"] and groups["ok"]  # a 4 is there
    counts, groups = told(box, f"{made}; write('b.txt', 'INFO 3, WARNING 0, ERROR 0')", prompt, ["a.log"])
    assert counts["detail"] == "b.txt has wrong counts for the level 'INFO', 'ERROR', 'WARNING' of a.log."
    made = "write('a.csv', 'region,x\\nnorth,1\\n south ,2\\n'); write('b.txt', 'North 1, South 2')"
    (fact,) = told(box, made, "Write the total of each region of a.csv to b.txt.", ["a.csv"])
    assert fact["ok"]


def test_a_distorted_thumbnail_is_named(box: Box) -> None:
    prompt = "Make a thumbnail of each picture, 100 pixels on the longer side, in thumbs."
    made = "picture('a.png', size=(400, 300)); picture('thumbs/a.png', size={size})"
    (fact,) = told(box, made.format(size=(100, 300)), prompt, ["a.png"])
    assert fact["detail"] == "a.png is distorted in thumbs/a.png: 400 × 300 became 100 × 300."
    (fact,) = told(box, made.format(size=(100, 75)), prompt, ["a.png"])
    assert fact["ok"]
    assert promises_of("Make square thumbnails of each picture.", ["a.png"]) == []


def test_a_result_that_cannot_be_read_breaks_no_rule(box: Box) -> None:
    assert told(box, "write('b.csv', b'\\xff\\xfe\\x00')", CLEAN, ["a.csv"]) == []
    assert told(box, "", CLEAN, ["a.csv"]) == []
    assert told(box, "os.symlink('/proc/1/environ', 'b.csv')", CLEAN, ["a.csv"]) == []


SORT = "def sort(items):\n    return sorted(items)\n"
TESTS = "Write sort.py with a function sort(items), and tests in test_sort.py."


@pytest.mark.parametrize(
    ("test", "about", "words"),
    [
        ("def test_it():\n    assert sort([2, 1, 3]) == [1, 2, 3]", "ok", "fails for wrong functions"),
        ("def test_it():\n    assert sort", "doubt", "returns None"),
        ("def test_it():\n    assert sort([1, 2]) == [1, 2]", "doubt", "returns its first argument unchanged"),
        ("def test_it():\n    assert sort([2, 1]) == [1, 2]", "doubt", "in reverse order"),
    ],
)
def test_a_test_file_that_finds_no_fault_is_named(box: Box, test: str, about: str, words: str) -> None:
    test = f"from sort import sort\n{test}\n"
    made = f"write('sort.py', {SORT!r}); write('test_sort.py', {test!r})"
    (fact,) = told(box, made, TESTS, [])
    assert (fact["path"], fact["about"]) == ("test_sort.py", about)
    assert words in fact["detail"]


def test_a_made_test_file_that_fails_is_named(box: Box) -> None:
    made = f"write('sort.py', {SORT!r}); write('test_sort.py', 'def test_it():\\n    assert 1 == 2')"
    (fact,) = told(box, made, TESTS, [])
    assert (fact["about"], fact["detail"]) == (
        "test",
        "test_sort.py: fails: E assert 1 == 2; FAILED test_sort.py::test_it - assert 1 == 2",
    )
    assert told(box, f"write('sort.py', {SORT!r}); write('test_sort.py', 'x = 1')", TESTS, []) == []
