"""What a model is told of a table and of a log: columns, rare values and gaps."""

from __future__ import annotations

import pytest

from agent.children import tables

ROWS = "".join(
    f"{n},{'paid' if n % 3 else 'open'},{n * 1.5 if n % 4 else 'n/a'},{'' if n % 5 else ' x'}\n" for n in range(30)
)


def told(text: str, size: int | None = None) -> str:
    return tables.table(text, len(text.encode()) if size is None else size)


def test_a_table_is_told_by_its_columns_and_what_is_special_about_them() -> None:
    assert told(f"id,state,value,note\n{ROWS}") == (
        "a table of 31 lines with a header, delimiter ','. Its first row, by column: 'id': '0'; 'state': 'open'; "
        "'value': 'n/a'; 'note': ' x'. 'state' is one of 'open', 'paid'. 'value' has values that are no number: 'n/a'. "
        "'note' is empty in some rows and has blanks around some values"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a;b\n1,5;2\n", "delimiter ';' (pandas: sep=';'). Its first row, by column: 'a': '1,5'; 'b': '2'"),
        ("a,b\n1,2\n", "a table of 2 lines"),
        ("a,b\n" + "".join(f"{n % 3},x{n}\n" for n in range(20)), "'a': '0'; 'b': 'x0'"),
    ],
)
def test_a_plain_table_is_told_shortly(text: str, words: str) -> None:
    assert told(text).endswith(words) or words in told(text)
    assert "one of" not in told(text)


def test_the_lines_of_a_large_table_are_estimated() -> None:
    head = "a,b\n" + "1,2\n" * 99 + "1,"
    assert "a table of about 995 lines" in told(head, 4_000)


@pytest.mark.parametrize(
    "text", ["", "a,b\n", "only text\nand more\n", "a,b\n1,2,3\n", "a\n1\n", ",".join("x" * 99) + "\n1"]
)
def test_what_is_no_table_is_not_told_as_one(text: str) -> None:
    assert told(text) == ""


def test_the_words_of_a_log_are_told() -> None:
    levels = ["INFO"] * 20 + ["WARNING"] * 9 + ["ERROR"]
    log = "".join(f"2026-01-01 {n:02}:00 {level} request {n * 37}\n" for n, level in enumerate(levels))
    assert tables.lines(log) == (
        "line.split()[2] is one of 'INFO', 'WARNING', 'ERROR'; line.split(maxsplit=3)[3] is the message"
    )
    assert tables.lines("All sorts of text.\n" * 3) == tables.lines("") == ""
