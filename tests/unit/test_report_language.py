"""The texts, numbers and dates of the templates' reports, in English and in German."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.system import ROOT
from tests.support.tables import language, look


def words_of(folder: str) -> dict[str, str]:
    """The German texts of a template."""
    found: dict[str, str] = runpy.run_path(str(ROOT / f"templates/{folder}/words.py"))["GERMAN"]
    return found


def texts_of(path: Path) -> Iterator[str]:
    """The texts that a script passes to the report's language, or keeps as a remark for it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "say":
            parts: list[ast.AST] = [node.args[0]]
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("text", "sentence", "DROPPED"):
            parts = [node.value]
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[1], ast.Dict):
            parts = [node.elts[0]]  # a remark with its values
        else:
            continue
        for part in parts:
            inner = (
                part.values
                if isinstance(part, ast.Dict)
                else [part.body, part.orelse]
                if isinstance(part, ast.IfExp)
                else [part]
            )
            yield from (item.value for item in inner if isinstance(item, ast.Constant) and isinstance(item.value, str))


@pytest.mark.parametrize(
    ("names", "texts", "code"),
    [
        (["Datum", "Name", "Betrag"], [], "de"),
        (["date", "name", "amount"], ["Müller", "Größe"], "en"),
        (["a", "b"], ["Die Verbindung wurde beendet"], "de"),
        (["a", "b"], ["The connection was closed"], "en"),
        (["a", "b"], ["x1", "x2"], "en"),
        ([], [], "en"),
        (["fecha", "importe"], ["el niño"], "en"),
    ],
)
def test_a_report_is_german_if_the_data_are(names: list[str], texts: list[str], code: str) -> None:
    assert language.find_language(names, texts) == code


def test_a_language_has_its_own_words_numbers_and_dates() -> None:
    words = {"{count} rows": "{count} Zeilen"}
    german, english = language.Language("de", words), language.Language("en", words)
    assert (german("{count} rows", count=1234), english("{count} rows", count=1234)) == ("1.234 Zeilen", "1,234 rows")
    assert (german.number(1234.5, ",.2f"), english.number(1234.5, ",.2f")) == ("1.234,50", "1,234.50")
    assert (german.date(datetime(1, 2, 3)), english.date(datetime(1, 2, 3))) == ("03.02.0001", "0001-02-03")
    assert german.date(datetime(2024, 12, 31, 23, 59)) == "31.12.2024 23:59"
    assert german("no translation") == "no translation"


def test_a_page_is_light_or_dark_needs_no_other_file_and_shows_markup_as_text() -> None:
    body = look.picture(b"light", b"dark", '"<b>') + look.notes(["<i>"]) + look.figures([("<u>", "&")])
    page = look.page("<script>", "de", body)
    assert '<html lang="de">' in page
    assert "color-scheme: light dark" in page
    assert page.count("prefers-color-scheme: dark") == 2
    assert not any(mark in page for mark in ("<script>", '<b>"', "<i>", "<u>", 'src="http'))


@pytest.mark.parametrize("folder", ["csv-report", "clean-data"])
def test_every_text_of_a_report_is_there_in_german_with_the_same_values(folder: str) -> None:
    german = words_of(folder)
    shared = [ROOT / f"templates/shared/{name}.py" for name in ("reading", "tables")]
    texts = {text for path in [*shared, *(ROOT / "templates" / folder).glob("*.py")] for text in texts_of(path)}
    texts.discard("")
    assert len(texts) > 25
    assert texts - set(german) == set()
    for text, translated in german.items():
        assert sorted(re.findall(r"{.*?}", text)) == sorted(re.findall(r"{.*?}", translated)), text
