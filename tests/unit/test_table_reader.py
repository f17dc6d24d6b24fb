"""Tables in files that offices have: what the templates' reader makes of each, and what it says of the rest."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import sqlite3
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from agent.children.tables import table as told_by_the_agent
from tests.support.system import ROOT
from tests.support.tables import tables, values

FLOWER = (ROOT / "templates/thumbnails/sample/flower.png").read_bytes()
SALES = "Datum;Kunde;Menge;Betrag\n" + "".join(
    f"{day:02}.03.2024;Kunde {day};{day};{1000 + day}\n" for day in range(1, 21)
)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **options: str) -> tuple[Any, list[list[str]], str]:
    """The only table of a file, its rows, and its notes as text."""
    [table] = tables.open_tables(path, **options)
    rows = [row for _, row in table.records()]
    return table, rows, " ".join(text.format(**given) for text, given in table.all_notes())


# ── the dialect ──────────────────────────────────────────────────────────────────────────────────────────────────────

LONG = "x" * 40
#: Name → text, delimiter, names, first row, number of rows.
DIALECTS: dict[str, tuple[str, str, list[str], list[str], int]] = {
    "cells of three lines": (
        "Datum;Name;Notiz;Betrag\n" + "".join(f'2024-01-{n:02};n;"a\nb, c\nd";1.1{n:02},50\n' for n in range(1, 21)),
        ";", ["Datum", "Name", "Notiz", "Betrag"], ["2024-01-01", "n", "a\nb, c\nd", "1.101,50"], 20,
    ),
    "commas in every line of a cell": (
        "a;b\n" + "".join(f'{n};"one, two\nthree, four\nfive, six"\n' for n in range(30)),
        ";", ["a", "b"], ["0", "one, two\nthree, four\nfive, six"], 30,
    ),
    "decimal commas, no header": (
        "".join(f"{n},5;0,25\n" for n in range(20)),
        ";", ["column 1", "column 2"], ["0,5", "0,25"], 20,
    ),
    "decimal commas": ("a;b\n" + "".join(f"{n},5;{n},25\n" for n in range(20)), ";", ["a", "b"], ["0,5", "0,25"], 20),
    "one column of decimal commas": ("Betrag\n" + "".join(f"{n},5\n" for n in range(20)), "", ["Betrag"], ["0,5"], 20),
    "one column": ("name\n" + "".join(f"n{n}\n" for n in range(9)), "", ["name"], ["n0"], 9),
    "one quoted column": ('name\n"a, b"\n"c; d"\n"e"\n', "", ["name"], ["a, b"], 3),
    "commas in texts": (
        "a;b\n" + "".join(f"Meier, Hans;{n},25\n" for n in range(9)),
        ";", ["a", "b"], ["Meier, Hans", "0,25"], 9,
    ),
    "semicolons in texts": (
        "id,name,tags\n" + "".join(f"{n},foo,a;b;c\n" for n in range(9)),
        ",", ["id", "name", "tags"], ["0", "foo", "a;b;c"], 9,
    ),
    "commas between tabs": (
        "id\ttext\n" + "".join(f"{n}\ta, b; c, d\n" for n in range(9)),
        "\t", ["id", "text"], ["0", "a, b; c, d"], 9,
    ),
    "bars": ("a|b|c\n1|2|3\n4|5|6\n", "|", ["a", "b", "c"], ["1", "2", "3"], 2),
    "JSON in cells": (
        "id;json\n" + "".join(f'{n};{{"a": {n}, "b": [1, 2]}}\n' for n in range(9)),
        ";", ["id", "json"], ["0", '{"a": 0, "b": [1, 2]}'], 9,
    ),
    "JSON in quoted cells": (
        "id,json\n" + "".join(f'{n},"{{""a"": {n}, ""b"": 1}}"\n' for n in range(9)),
        ",", ["id", "json"], ["0", '{"a": 0, "b": 1}'], 9,
    ),
    "single quotes": ("a,b\n" + "".join(f"'x, {n}','y'\n" for n in range(9)), ",", ["a", "b"], ["x, 0", "y"], 9),
    "apostrophes": ("a,b\n" + "".join(f"it's {n},don't\n" for n in range(9)), ",", ["a", "b"], ["it's 0", "don't"], 9),
    "backslashes": (
        'a,b\n' + "".join(f'{n},"He said \\"hi, you\\" again"\n' for n in range(9)),
        ",", ["a", "b"], ["0", 'He said "hi, you" again'], 9,
    ),
    "all quoted": ('"a","b"\n"1,5","2"\n"3,5","4"\n', ",", ["a", "b"], ["1,5", "2"], 2),
    "blanks before quotes": ('a, b\n1, "x, y"\n2, "z"\n', ",", ["a", "b"], ["1", "x, y"], 2),
    "sep=;": ("sep=;\na;b\n1,0;2\n", ";", ["a", "b"], ["1,0", "2"], 1),
    "sep= with a rare sign": ("sep=~\na~b\n1~2\n", "~", ["a", "b"], ["1", "2"], 1),
    "quoted sep": ('"sep=,"\r\na,b\r\n1,2\r\n', ",", ["a", "b"], ["1", "2"], 1),
    "comments": ("# made by x, y, z\n# and, more\na;b\n1;2\n3;4\n", ";", ["a", "b"], ["1", "2"], 2),
    "comments as wide as the table": (
        "# made, by, me\nid,name,x\n1,foo,2\n2,bar,3\n",
        ",", ["id", "name", "x"], ["1", "foo", "2"], 2,
    ),
    "a header that begins with #": ("#id,name\n1,foo\n2,bar\n", ",", ["id", "name"], ["1", "foo"], 2),
    "old Mac line ends": ("a,b\r1,2\r3,4\r", ",", ["a", "b"], ["1", "2"], 2),
    "mixed line ends": ("a,b\r\n1,2\n3,4\r\n", ",", ["a", "b"], ["1", "2"], 2),
    "no line end": ("a,b\n1,2", ",", ["a", "b"], ["1", "2"], 1),
    "blank lines": ("\n\n  \na,b\n\n1,2\n\n\n3,4\n\n", ",", ["a", "b"], ["1", "2"], 2),
    "Ctrl-Z": ("a,b\n" + "1,2\n" * 60 + "\x1a", ",", ["a", "b"], ["1", "2"], 60),
    "formulas for texts": (
        'plz,ort\n="01067",Dresden\n="04109",Leipzig\n',
        ",", ["plz", "ort"], ["01067", "Dresden"], 2,
    ),
    "two rows": ("a;b\n1;2\n", ";", ["a", "b"], ["1", "2"], 1),
    "a title with a comma": (
        "Bericht, 2024\n\nDatum;Kunde;Betrag\n" + "".join(f"{n:02}.01.2024;K{n};1.0{n:02},50\n" for n in range(1, 20)),
        ";", ["Datum", "Kunde", "Betrag"], ["01.01.2024", "K1", "1.001,50"], 19,
    ),
    "a cell of many commas": (
        "a;b\n1;" + "x, " * 400 + "\n2;y\n3;z\n",
        ";", ["a", "b"], ["1", ("x, " * 400).strip()], 3,
    ),
}  # fmt: skip


#: The agent describes no table in single quotation marks, and none after a backslash before a mark.
NOT_TOLD = {"single quotes", "backslashes", "formulas for texts"}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_is_found_on_records_and_the_agent_agrees(tmp_path: Path, name: str) -> None:
    text, delimiter, names, first, count = DIALECTS[name]
    table, rows, _ = read(write(tmp_path / "a.csv", text))
    found = (table.delimiter, table.names, [cell.strip() for cell in rows[0]], len(rows))
    assert found == (delimiter, names, first, count)
    told = told_by_the_agent(text, len(text.encode()))
    assert not told or f"delimiter {delimiter!r}" in told
    if delimiter and "#" not in text and name not in NOT_TOLD:
        assert told
        assert f"{names[0]!r}: {first[0][:60]!r}" in told or table.has_header is False


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("bad", "cells"),
    [
        ('1001,"6 inch,4', ["1001", '"6 inch', "4"]),
        ('1001,x,"4', ["1001", "x", '"4']),
        ('"1001,x,4', ['"1001', "x", "4"]),
        ('1001,"a, b","4', ["1001", "a, b", '"4']),
    ],
)
@pytest.mark.parametrize("later", ["", '\n9,"quoted",9'])
@pytest.mark.parametrize("place", [1, 1001, 2000])
def test_a_quotation_mark_that_never_closes_costs_no_row(
    tmp_path: Path, bad: str, cells: list[str], end: str, later: str, place: int
) -> None:
    lines = ["a,b,c", *(f"{n},z{n},{n}" for n in range(1, 2001))]
    lines[place] = bad
    _, rows, notes = read(write(tmp_path / "a.csv", ("\n".join(lines) + later).replace("\n", end)))
    assert len(rows) == 2000 + bool(later)
    assert rows[place - 1] == cells
    assert rows[-1] == (["9", "quoted", "9"] if later else rows[-1])
    assert f"Quotation marks that never close: 1 (line {place + 1})" in notes


def test_long_cells_of_several_lines_stay_whole(tmp_path: Path) -> None:
    long = "\n".join(f"line {n}, with a comma" for n in range(500))
    _, rows, notes = read(write(tmp_path / "a.csv", f'a,b\n1,"{long}"\n2,x\n3,"y\nz"\n'))
    assert rows == [["1", long], ["2", "x"], ["3", "y\nz"]]
    assert notes == ""


def test_a_cell_of_12_megabytes_is_read(tmp_path: Path) -> None:
    _, rows, _ = read(
        write(tmp_path / "a.csv", "a,b\n1," + "x" * 12_000_000 + '\n2,"' + "y\n" * 1_000_000 + '"\n3,z\n')
    )
    assert [(row[0], len(row[1])) for row in rows] == [("1", 12_000_000), ("2", 2_000_000), ("3", 1)]


# ── encodings ────────────────────────────────────────────────────────────────────────────────────────────────────────

GERMAN = "Name;Straße\nMüller;Größe\nJürgen;Ärger\nKöln;schön\n"
RUSSIAN = "Город;Сумма\n" + "Москва;улица\nпривет;мир\n" * 5

#: Text, encoding, beginning, encoding as found, words of the note.
ENCODINGS = [
    (GERMAN, "utf-8", b"", "utf-8", ""),
    (GERMAN, "utf-8", codecs.BOM_UTF8, "utf-8-sig", ""),
    (GERMAN, "utf-16-le", codecs.BOM_UTF16_LE, "utf-16", ""),
    (GERMAN, "utf-16-be", codecs.BOM_UTF16_BE, "utf-16", ""),
    (GERMAN, "utf-32-le", codecs.BOM_UTF32_LE, "utf-32", ""),
    (GERMAN, "utf-16-le", b"", "utf-16-le", "no byte order mark; it was read as UTF-16-LE"),
    (GERMAN, "utf-16-be", b"", "utf-16-be", "no byte order mark; it was read as UTF-16-BE"),
    (RUSSIAN, "utf-16-le", b"", "utf-16-le", "UTF-16-LE"),
    ("名前;金額\n" + "東京;五\n大阪;六\n" * 9, "utf-16-le", b"", "utf-16-le", "UTF-16-LE"),
    (GERMAN, "cp1252", b"", "cp1252", "it was read as Windows-1252 (cp1252)"),
    (GERMAN.replace("schön", "5 €"), "cp1252", b"", "cp1252", "Windows-1252"),
    (GERMAN + "Schüler;weiß\nMädchen;hübsch\n" * 3, "cp850", b"", None, "it was read as "),
    (GERMAN + "Schüler;weiß\nMädchen;hübsch\n" * 3, "mac_roman", b"", "mac-roman", "mac-roman"),
    (
        "Miasto;Ulica\n" + "Łódź;święto\nKraków;żółć\nGdańsk;Wrocław\n" * 5,
        "cp1250",
        b"",
        "cp1250",
        "Windows-1250 (cp1250)",
    ),
    (RUSSIAN, "cp1251", b"", "cp1251", "Windows-1251 (cp1251)"),
    (RUSSIAN, "koi8_r", b"", "koi8-r", "koi8-r"),
    ("名前;金額\n" + "東京;日本語\n合計;顧客\n" * 5, "cp932", b"", "cp932", "cp932"),
    ("名称;金额\n" + "北京;客户\n合计;地址\n" * 5, "gb18030", b"", "gb18030", "gb18030"),
]


@pytest.mark.parametrize(("text", "encoding", "mark", "found", "words"), ENCODINGS)
def test_an_encoding_is_found_and_an_assumption_is_said(
    tmp_path: Path, text: str, encoding: str, mark: bytes, found: str | None, words: str
) -> None:
    table, rows, notes = read(write(tmp_path / "a.csv", mark + text.encode(encoding)))
    names, *first = (line.split(";") for line in text.splitlines()[:2])
    assert table.names == names
    assert rows[0] == first[0]
    assert found in (None, table.encoding)
    assert words in notes
    assert bool(notes) == bool(words)


def test_a_few_bad_bytes_do_not_change_the_encoding(tmp_path: Path) -> None:
    content = (GERMAN + GERMAN.partition("\n")[2] * 50).encode() + b"M\xfcller;x\n"
    table, rows, notes = read(write(tmp_path / "a.csv", content))
    assert (table.encoding, rows[0][0], rows[-1][0]) == ("utf-8", "Müller", "M\ufffdller")
    assert "Bytes that are not valid UTF-8 were replaced by a mark: 1." in notes


# ── files that are no table ──────────────────────────────────────────────────────────────────────────────────────────


def zipped(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, text in files.items():
            packed.writestr(name.replace("__", "/").replace("_", "."), text)
    return content.getvalue()


REFUSED = {
    "HTML": (b"<html>\n<head><title>502 Bad Gateway</title></head>\n</html>\n", "an HTML page"),
    "HTML with a doctype": (b"\n  <!DOCTYPE html>\n<p>a;b</p>", "an HTML page"),
    "HTML table of an old program": (b"<table><tr><td>1</td></tr></table>", "an HTML page"),
    "XML": (b'<?xml version="1.0"?>\n<a><b/></a>', "an XML document"),
    "XML of Excel 2003": (
        b'<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n<Workbook></Workbook>',
        "Excel",
    ),
    "JSON": (b'{"a": [1, 2]}\n', "JSON"),
    "JSON in lines": (b'[\n  {"a": 1},\n  {"a": 2}\n]\n', "JSON"),
    "JSON lines": (b'{"a": 1}\n{"a": 2}\n', "JSON"),
    "PNG": (FLOWER, "image/png"),
    "JPEG": ((ROOT / "templates/thumbnails/sample/mountain.jpg").read_bytes(), "image/jpeg"),
    "ZIP": (zipped(a_txt="x", b_txt="y"), "a ZIP archive (application/zip), which has a.txt, b.txt. Unpack it"),
    "a broken ZIP": (zipped(a_txt="x")[:40], "ZIP"),
    "Word": (zipped(word__document_xml="<x/>", _Content="x"), "a Word document"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "a PDF document"),
    "gzip": (gzip.compress(b"a,b\n1,2\n" * 99), "gzip"),
    "bzip2": (bz2.compress(b"a,b\n1,2\n" * 99), "bzip2"),
    "xz": (lzma.compress(b"a,b\n1,2\n" * 99), "application/x-xz"),
    "RTF": (b"{\\rtf1\\ansi a;b}", "an RTF document"),
    "OLE without a workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an Office file"),
    "random bytes": (bytes(range(256)) * 9, "a binary file"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n", "Git LFS"),
    "nothing": (b"", "It is empty."),
    "a byte order mark alone": (codecs.BOM_UTF8, "It is empty."),
    "blank lines": (b"\n \n\t\n", "It is empty."),
    "delimiters alone": (b";;;\n;;;\n", "It has no filled cell."),
    "quoted nothing": (b'"","",""\n"","",""\n', "It has no filled cell."),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("file", ["a.csv", "a.xlsx"])
def test_a_file_without_a_table_is_refused_by_its_name(tmp_path: Path, name: str, file: str) -> None:
    content, words = REFUSED[name]
    with pytest.raises(tables.NoTable) as told:
        tables.open_tables(write(tmp_path / file, content))
    assert words in str(told.value)


def test_a_database_is_refused(tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / "a.csv")
    base.execute("create table a (b)")
    base.commit()
    base.close()
    with pytest.raises(tables.NoTable, match="SQLite"):
        tables.open_tables(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "text", ["ID;Name\n1;x\n", "BMI,Name\n1,x\n", "PK,Name\n1,x\n", "<b>,x\n1,2\n", "[a],b\n1,2\n", "%,x\n1,2\n"]
)
def test_a_table_that_begins_like_another_format_is_read(tmp_path: Path, text: str) -> None:
    table, rows, _ = read(write(tmp_path / "a.csv", text))
    assert (len(table.names), len(rows)) == (2, 1)


# ── what stands among the data ───────────────────────────────────────────────────────────────────────────────────────

BODY = (
    "Datum;Kunde;Menge;Betrag\n01.03.2024;A;1;10,50\n02.03.2024;B;2;20,50\n03.03.2024;C;3;30,50\n04.03.2024;D;4;1,00\n"
)

#: Name → text, names, rows, words of the notes.
AMONG: dict[str, tuple[str, int, int, str]] = {
    "titles": ("Umsatz 2024\nFiliale Nord\n\n" + BODY, 4, 4, "Lines above the header: 2 (line 1: 'Umsatz 2024')"),
    "titles as wide as the table": ("Umsatz;;;\n;;;\n" + BODY, 4, 4, "Lines above the header: 1 (line 1: 'Umsatz')"),
    "details above": ("Firma:;Muster GmbH;;\nZeitraum:;01.03.2024;;\n" + BODY, 4, 4, "Lines above the header: 2"),
    "Summe": (BODY + "Summe;;10;62,50\n", 4, 4, "Rows of totals: 1 (line 6: 'Summe 10 62,50')"),
    "Summe:": (BODY + "Summe:;;;62,50\n", 4, 4, "Rows of totals: 1"),
    "SUMME": (BODY + "SUMME;;;62,50\n", 4, 4, "Rows of totals: 1"),
    "Gesamt": (BODY + ";Gesamt;10;62,50\n", 4, 4, "Rows of totals: 1"),
    "Insgesamt": (BODY + "Insgesamt;;10;62,50\n", 4, 4, "Rows of totals: 1"),
    "Gesamtsumme": (BODY + "Gesamtsumme;;10;62,50\n", 4, 4, "Rows of totals: 1"),
    "Total": (BODY + "Total;;10;62,50\n", 4, 4, "Rows of totals: 1"),
    "Grand Total": (BODY + "Grand Total;;10;62,50\n", 4, 4, "Rows of totals: 1"),
    "Total (EUR)": (BODY + "Total (EUR);;10;62,50\n", 4, 4, "Rows of totals: 1"),
    "Sum": (BODY + "Sum;;10;62,50\n", 4, 4, "Rows of totals: 1"),
    "Σ": (BODY + "Σ;;10;62,50\n", 4, 4, "Rows of totals: 1"),
    "an average": (BODY + "Durchschnitt;;2,5;15,63\n", 4, 4, "Rows of totals: 1"),
    "a total without a name": (BODY + ";;10;62,50\n", 4, 4, "Rows of totals: 1 (line 6: '10 62,50')"),
    "a total after a blank line": (BODY + ";;;\nSumme;;10;62,50\n", 4, 4, "Rows of totals: 1"),
    "a total with footers": (BODY + "Summe;;10;62,50\n\nErstellt am 1.4.2024\n", 4, 4, "Lines below the data: 1 (line"),
    "a total and a lone word": (BODY + "Summe;;10;62,50\nGesamt\n", 4, 4, "Rows of totals: 2"),
    "subtotals": (
        BODY + "Zwischensumme;;10;62,50\n05.03.2024;E;1;1,00\nZwischensumme;;1;1,00\nSumme;;11;63,50\n",
        4, 5, "Rows of totals: 3",
    ),
    "a total on top": (BODY.replace("Betrag\n", "Betrag\nGesamt;;10;62,50\n"), 4, 4, "Rows of totals: 1 (line 2"),
    "a customer named Total": (BODY.replace(";B;", ";Total;"), 4, 4, ""),
    "a product named Total at the end": (BODY + "05.03.2024;Total;1;1,00\n", 4, 5, ""),
    "a row without its date": (BODY + ";E;5;7,00\n", 4, 5, ""),
    "two columns": ("Monat;Betrag\nJan;1\nFeb;2\nMrz;3\nSumme;6\n", 2, 3, "Rows of totals: 1"),
    "a company at the end of a list": ("Firma;Wert\nShell;7\nBP;3\nTotal;6\n", 2, 3, ""),
    "an average at the end": ("Monat;Betrag\nJan;1\nFeb;2\nMrz;3\nMittelwert;2\n", 2, 3, "Rows of totals: 1"),
    "a company in a list": ("Firma;Wert\nTotal;5\nShell;7\nBP;3\n", 2, 3, ""),
    "a repeated header": (BODY + BODY, 4, 8, "Repeated headers: 1 (line 6"),
    "comments between": (BODY + "# Ende, bald;x\n#\n", 4, 4, "Comments that begin with #: 2"),
    "item numbers with #": ("Nr;Name;x\n#1;A;2\n#2;B;3\n#3;C;4\n", 3, 3, ""),
    "blank columns": (";;Datum;;Menge;;\n;;01.03.2024;;1;;\n;;02.03.2024;;2;;\n", 2, 2, ""),
    "a blank name": (";a;b\n1;2;3\n2;3;4\n", 3, 2, ""),
    "a named column without a cell": ("a;b;c\n1;2;\n2;3;\n", 3, 2, ""),
    "years as names": ("Land;2021;2022;2023\nDE;5;6;7\nFR;8;9;10\n", 4, 2, ""),
    "rows that are too short": ("a;b;c\n1;2;3\n1;2\n1\n1;2;3\n", 3, 4, "Rows with fewer cells than the header: 2"),
    "rows that are too long": ("a;b\n1;2\n1;2;x;y\n1;2;;\n", 2, 3, "Rows with more cells than the header: 1 (line 3)"),
    "a header alone": ("a;b;c\n", 3, 0, ""),
    "names twice": ("a;a;b\n1;2;3\n", 3, 1, "Column names that repeat were numbered: a."),
    "no header": ("1;2\n3;4\n", 2, 2, "Its first row looks like data"),
    "one cell": ("x\n", 1, 0, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", AMONG)
def test_what_is_no_data_is_left_out_and_said(tmp_path: Path, name: str) -> None:
    text, names, count, words = AMONG[name]
    table, rows, notes = read(write(tmp_path / "a.csv", text))
    assert (len(table.names), len(rows)) == (names, count), (table.names, rows, notes)
    assert words in notes
    assert bool(words) == bool(notes), notes


def test_tables_below_each_other_are_several_tables(tmp_path: Path) -> None:
    text = "Bericht\n\na;b\n1;2\n\n3;4\n\nName;Ort;Wert\nx;y;1\nz;w;2\nSumme;;3\n\na;b\n5;6\n"
    found = tables.open_tables(write(tmp_path / "a.csv", text))
    assert [table.names for table in found] == [["a", "b"], ["Name", "Ort", "Wert"], ["a", "b"]]
    assert [[row for _, row in table.records()] for table in found] == [
        [["1", "2"], ["3", "4"]], [["x", "y", "1"], ["z", "w", "2"]], [["5", "6"]],
    ]  # fmt: skip
    assert [table.name for table in found] == ["a.csv: 1", "a.csv: 2", "a.csv: 3"]
    pages = "a;b\n1;2\n3;4\n\na;b\n5;6\n\na;b\n7;8\n"
    _, rows, notes = read(write(tmp_path / "a.csv", pages))
    assert (len(rows), "Repeated headers: 2" in notes) == (4, True)


def test_the_reader_gives_lines_and_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'Bericht\n\n"a",,b,a\n1,"x\ny",3,4\n\n5,6,7,8\n')
    [table] = tables.open_tables(path)
    assert [line for line, _ in table.records()] == [4, 7]
    assert (table.names, table.title) == (["a", "column 2", "b", "a (2)"], "Bericht")
    [german] = tables.open_tables(path, language="de")
    assert german.names[1] == "Spalte 2"


@pytest.mark.parametrize("header", ["yes", "no"])
def test_the_header_and_the_delimiter_can_be_given(tmp_path: Path, header: str) -> None:
    table, rows, _ = read(write(tmp_path / "a.csv", "1,5;2\n3,5;4\n"), header=header, delimiter=",")
    assert (table.names[0], len(rows)) == (("1", 1) if header == "yes" else ("column 1", 2))


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#: Cell → the number with a decimal point, and with a decimal comma.
NUMBERS: dict[str, tuple[str | None, str | None]] = {
    "5": ("5", "5"), "-5": ("-5", "-5"), "+5": ("5", "5"), "−5": ("-5", "-5"), "–5": ("-5", "-5"), "- 5": ("-5", "-5"),
    "1.5": ("1.5", "1.5"), "1,5": ("1.5", "1.5"), ".5": ("0.5", "0.5"), ",5": ("0.5", "0.5"), "5.": ("5", "5"),
    "1.234": ("1.234", "1234"), "1,234": ("1234", "1.234"), "0.123": ("0.123", "0.123"), "0,123": ("0.123", "0.123"),
    "1234.567": ("1234.567", "1234.567"), "1234,567": ("1234.567", "1234.567"), "1.2345": ("1.2345", "1.2345"),
    "1.234,50": ("1234.50", "1234.50"), "1,234.50": ("1234.50", "1234.50"), "1.234.567": ("1234567", "1234567"),
    "1,234,567": ("1234567", "1234567"), "1.234.567,8": ("1234567.8", "1234567.8"),
    "1,23,456.00": ("123456.00", "123456.00"),
    "1 200,50": ("1200.50", "1200.50"), "1\u202f200,50": ("1200.50", "1200.50"), "1\u00a0200,5": ("1200.5", "1200.5"),
    "1\u2009200": ("1200", "1200"), "1'234.50": ("1234.50", "1234.50"), "1’234’567": ("1234567", "1234567"),
    "12 %": ("12", "12"), "12,5%": ("12.5", "12.5"), "$5": ("5", "5"), "-$5": ("-5", "-5"), "$-5": ("-5", "-5"),
    "5,00 €": ("5.00", "5.00"), "€ 5": ("5", "5"), "EUR 5": ("5", "5"), "5 EUR": ("5", "5"),
    "CHF 1'234.-": ("1234", "1234"),
    "Fr. 5.50": ("5.50", "5.50"), "5 kr": ("5", "5"), "R$ 5": ("5", "5"), "£1,234.50": ("1234.50", "1234.50"),
    "12,-": ("12", "12"), "12,--": ("12", "12"), "(3)": ("-3", "-3"), "(1.234,50)": ("-1234.50", "-1234.50"),
    "($5)": ("-5", "-5"), "(5,00 €)": ("-5.00", "-5.00"), "1.234,50-": ("-1234.50", "-1234.50"), "5-": ("-5", "-5"),
    "1e5": ("1e5", "1e5"), "1,5e3": ("1.5e3", "1.5e3"), "'5": ("5", "5"),
    "abc": (None, None), "": (None, None), "-": (None, None), "1-2": (None, None), "1.2.2024": (None, None),
    "01.02.2024": (None, None), "10:30": (None, None), "1.2.3.4": (None, None), "12 34": (None, None),
    "1.23,4,5": (None, None),
    "030 123": (None, None), "2024-01-01": (None, None), "-5-": (None, None),
    "5 Stück": (None, None), "EURO5X": (None, None),
}  # fmt: skip


@pytest.mark.parametrize("cell", NUMBERS)
def test_a_number_is_read_as_its_country_writes_it(cell: str) -> None:
    assert (values.plain_number(cell, False), values.plain_number(cell, True)) == NUMBERS[cell]


@pytest.mark.parametrize(
    ("cells", "comma"),
    [
        (["1,5", "2"], True), (["1.5", "2"], False), (["1.234,50"], True), (["1,234.50"], False), (["1.234"], None),
        (["1.234.567"], True), (["1,234,567"], False), (["1,5", "1.5", "2,5"], True), (["x"], None), ([], None),
        (["1\u202f200,50 €"], True), (["01.02.2024"], None), (["1.234", "5,00"], True), (["(1,5)"], True),
    ],
)  # fmt: skip
def test_a_column_shows_its_decimal_sign(cells: list[str], comma: bool | None) -> None:
    assert values.has_decimal_comma(cells) is comma


# ── workbooks ────────────────────────────────────────────────────────────────────────────────────────────────────────


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, lines in sheets.items():
        sheet = book.create_sheet(name)
        for line in lines:
            sheet.append(line)
    book.save(path)
    return path


DAY = datetime(2024, 3, 1)
LINES: list[list[object]] = [
    ["Umsatz 2024"], [],
    ["Datum", "Kunde", "Menge", "Preis", "bezahlt"],
    [DAY, "A", 1, 1.234, True], [DAY, "B", 2.5, "1.234,50 €", False], [DAY, None, 3, 5.0, None],
    ["Summe", None, 6.5, 1240.734],
]  # fmt: skip


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv", "a.xls"])
def test_all_sheets_of_a_workbook_are_read_whatever_its_name_is(tmp_path: Path, name: str) -> None:
    path = workbook(tmp_path / "a.xlsx", Umsatz=LINES, leer=[], **{"2023": [["a", "b"], [1, 2]]}).rename(
        tmp_path / name
    )
    first, second = tables.open_tables(path)
    assert (first.name, second.name) == (f"{name}: Umsatz", f"{name}: 2023")
    assert first.names == ["Datum", "Kunde", "Menge", "Preis", "bezahlt"]
    rows = list(first.records())
    assert rows[0] == (4, ["2024-03-01", "A", "1", "1.2340", "true"])
    assert [row[2:4] for _, row in rows[1:]] == [["2.5", "1.234,50 €"], ["3", "5"]]
    assert values.plain_number(rows[0][1][3], True) == "1.2340"
    assert "Rows of totals: 1 (line 7" in " ".join(text.format(**given) for text, given in first.all_notes())
    assert first.language == "de"


def test_an_opendocument_sheet_is_read(tmp_path: Path) -> None:
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    kinds = {"a": 'office:value-type="string"', "1.5": 'office:value-type="float" office:value="1.5"'}
    cells = {
        text: f"<table:table-cell {kind}><text:p>{text}</text:p></table:table-cell>" for text, kind in kinds.items()
    }
    rows = "".join(f"<table:table-row>{cell}</table:table-row>" for cell in cells.values())
    sheet = f'<table:table table:name="S">{rows}</table:table>'
    body = f"<office:body><office:spreadsheet>{sheet}</office:spreadsheet></office:body>"
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        packed.writestr("content.xml", f"<office:document-content {spaces}>{body}</office:document-content>")
        packed.writestr("META-INF/manifest.xml", "<manifest/>")
    table, found, _ = read(tmp_path / "a.ods")
    assert (table.source.sheet, table.names, found) == ("S", ["a"], [["1.5"]])


def test_a_table_in_the_middle_of_a_sheet_is_found_and_a_hidden_sheet_is_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for place, line in enumerate([["x", "y"], [1, 2], [3, 4]]):
        for more, cell in enumerate(line):
            book.active.cell(5 + place, 4 + more, cell)
    hidden = book.create_sheet("old")
    hidden.append(["a"])
    hidden.sheet_state = "hidden"
    book.save(tmp_path / "a.xlsx")
    first, second = tables.open_tables(tmp_path / "a.xlsx")
    assert (first.names, list(first.records())) == (["x", "y"], [(6, ["1", "2"]), (7, ["3", "4"])])
    assert second.all_notes()[0][0] == "The sheet is hidden in the workbook."


def test_an_empty_or_broken_workbook_or_one_with_a_password_says_so(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", leer=[])
    with pytest.raises(tables.NoTable, match="a workbook without a filled cell"):
        tables.open_tables(path)
    content = workbook(tmp_path / "a.xlsx", a=LINES).read_bytes()
    with pytest.raises(tables.NoTable, match="broken"):
        tables.open_tables(write(path, content[: len(content) // 2]))
    locked = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(600)
    with pytest.raises(tables.NoTable, match="a workbook with a password"):
        tables.open_tables(write(path, locked))


def test_a_text_named_like_a_workbook_is_read_as_a_text(tmp_path: Path) -> None:
    table, rows, _ = read(write(tmp_path / "a.xls", "a\tb\n1\t2\n"))
    assert (table.delimiter, rows) == ("\t", [["1", "2"]])
