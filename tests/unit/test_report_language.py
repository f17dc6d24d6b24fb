"""The texts, numbers and dates of the templates' reports, in English and in German."""

from __future__ import annotations

import importlib.util
from datetime import datetime
from types import ModuleType

import pytest

from tests.support.system import ROOT


def shared(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"templates/shared/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


language = shared("language")
look = shared("look")


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
