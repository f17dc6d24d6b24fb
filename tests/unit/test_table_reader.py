"""Tables in files that offices have: what the templates' reader makes of each, and what it says of the rest."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest

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
    "decimal commas, no header": ("".join(f"{n},5;0,25\n" for n in range(20)), ";", ["column 1", "column 2"], ["0,5", "0,25"], 20),
    "decimal commas": ("a;b\n" + "".join(f"{n},5;{n},25\n" for n in range(20)), ";", ["a", "b"], ["0,5", "0,25"], 20),
    "one column of decimal commas": ("Betrag\n" + "".join(f"{n},5\n" for n in range(20)), "", ["Betrag"], ["0,5"], 20),
    "one column": ("name\n" + "".join(f"n{n}\n" for n in range(9)), "", ["name"], ["n0"], 9),
    "one quoted column": ('name\n"a, b"\n"c; d"\n"e"\n', "", ["name"], ["a, b"], 3),
    "commas in texts": ("a;b\n" + "".join(f"Meier, Hans;{n},25\n" for n in range(9)), ";", ["a", "b"], ["Meier, Hans", "0,25"], 9),
    "semicolons in texts": ("id,name,tags\n" + "".join(f"{n},foo,a;b;c\n" for n in range(9)), ",", ["id", "name", "tags"], ["0", "foo", "a;b;c"], 9),
    "commas between tabs": ("id\ttext\n" + "".join(f"{n}\ta, b; c, d\n" for n in range(9)), "\t", ["id", "text"], ["0", "a, b; c, d"], 9),
    "bars": ("a|b|c\n1|2|3\n4|5|6\n", "|", ["a", "b", "c"], ["1", "2", "3"], 2),
    "JSON in cells": ("id;json\n" + "".join(f'{n};{{"a": {n}, "b": [1, 2]}}\n' for n in range(9)), ";", ["id", "json"], ["0", '{"a": 0, "b": [1, 2]}'], 9),
    "JSON in quoted cells": ("id,json\n" + "".join(f'{n},"{{""a"": {n}, ""b"": 1}}"\n' for n in range(9)), ",", ["id", "json"], ["0", '{"a": 0, "b": 1}'], 9),
    "single quotes": ("a,b\n" + "".join(f"'x, {n}','y'\n" for n in range(9)), ",", ["a", "b"], ["x, 0", "y"], 9),
    "apostrophes": ("a,b\n" + "".join(f"it's {n},don't\n" for n in range(9)), ",", ["a", "b"], ["it's 0", "don't"], 9),
    "backslashes": ('a,b\n' + "".join(f'{n},"He said \\"hi, you\\" again"\n' for n in range(9)), ",", ["a", "b"], ["0", 'He said "hi, you" again'], 9),
    "all quoted": ('"a","b"\n"1,5","2"\n"3,5","4"\n', ",", ["a", "b"], ["1,5", "2"], 2),
    "blanks before quotes": ('a, b\n1, "x, y"\n2, "z"\n', ",", ["a", "b"], ["1", "x, y"], 2),
    "sep=;": ("sep=;\na;b\n1,0;2\n", ";", ["a", "b"], ["1,0", "2"], 1),
    "sep= with a rare sign": ("sep=~\na~b\n1~2\n", "~", ["a", "b"], ["1", "2"], 1),
    "quoted sep": ('"sep=,"\r\na,b\r\n1,2\r\n', ",", ["a", "b"], ["1", "2"], 1),
    "comments": ("# made by x, y, z\n# and, more\na;b\n1;2\n3;4\n", ";", ["a", "b"], ["1", "2"], 2),
    "comments as wide as the table": ("# made, by, me\nid,name,x\n1,foo,2\n2,bar,3\n", ",", ["id", "name", "x"], ["1", "foo", "2"], 2),
    "a header that begins with #": ("#id,name\n1,foo\n2,bar\n", ",", ["id", "name"], ["1", "foo"], 2),
    "old Mac line ends": ("a,b\r1,2\r3,4\r", ",", ["a", "b"], ["1", "2"], 2),
    "mixed line ends": ("a,b\r\n1,2\n3,4\r\n", ",", ["a", "b"], ["1", "2"], 2),
    "no line end": ("a,b\n1,2", ",", ["a", "b"], ["1", "2"], 1),
    "blank lines": ("\n\n  \na,b\n\n1,2\n\n\n3,4\n\n", ",", ["a", "b"], ["1", "2"], 2),
    "Ctrl-Z": ("a,b\n" + "1,2\n" * 60 + "\x1a", ",", ["a", "b"], ["1", "2"], 60),
    "formulas for texts": ('plz,ort\n="01067",Dresden\n="04109",Leipzig\n', ",", ["plz", "ort"], ["01067", "Dresden"], 2),
    "two rows": ("a;b\n1;2\n", ";", ["a", "b"], ["1", "2"], 1),
    "a title with a comma": ("Bericht, 2024\n\nDatum;Kunde;Betrag\n" + "".join(f"{n:02}.01.2024;K{n};1.0{n:02},50\n" for n in range(1, 20)), ";", ["Datum", "Kunde", "Betrag"], ["01.01.2024", "K1", "1.001,50"], 19),
    "a cell of many commas": ("a;b\n1;" + "x, " * 400 + "\n2;y\n3;z\n", ";", ["a", "b"], ["1", ("x, " * 400).strip()], 3),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_is_found_on_records_and_the_agent_agrees(tmp_path: Path, name: str) -> None:
    text, delimiter, names, first, count = DIALECTS[name]
    table, rows, _ = read(write(tmp_path / "a.csv", text))
    found = (table.delimiter, table.names, [cell.strip() for cell in rows[0]], len(rows))
    assert found == (delimiter, names, first, count)
