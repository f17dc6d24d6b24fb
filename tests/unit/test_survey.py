"""The model is told the beginning of a file, in any encoding, and the fields of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.children import tables
from agent.children.survey import survey
from protocol.redaction import Needles

LOG = "".join(
    json.dumps({"time": n, "level": "error" if n == 9 else "info", "http": {"status": 200}}) + "\n" for n in range(12)
)
CSV = "id,größe\n" + "".join(f"{n},x{n}\n" for n in range(9))


def told(tmp_path: Path, name: str, content: bytes, **secrets: str) -> str:
    """Return the text about a file, without the list of files."""
    (tmp_path / name).write_bytes(content)
    return survey(str(tmp_path), 50_000, Needles(secrets), [], [], [])[1].partition("\n")[2].partition("\n")[2]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", CSV, "is a table of 10 lines with a header, delimiter ','. Its first row, by column: 'id': '0'"),
        ("a.txt", "größer\n", "is 'größer\\n'"),
        ("a.jsonl", LOG, "begins with '{\"time\": 0, \"level\""),
        ("a.jsonl", LOG, "It has one JSON object a line, with the fields 'time', 'level', 'http.status'"),
        ("a.log", LOG, "'level' is one of 'info', 'error'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8", ""),
        ("utf-8-sig", " (with a byte order mark: encoding='utf-8-sig')"),
        ("utf-16", " (in UTF-16: encoding='utf-16')"),
        ("utf-16-le", " (in UTF-16: encoding='utf-16-le')"),
    ],
)
def test_a_text_is_told_in_every_encoding(
    tmp_path: Path, name: str, text: str, words: str, encoding: str, note: str
) -> None:
    found = told(tmp_path, name, text.encode(encoding))
    assert found.startswith(f"{name}{note} ")
    assert words in found
    assert "\ufeff" not in found


def test_a_text_in_a_code_page_keeps_its_letters(tmp_path: Path) -> None:
    found = told(tmp_path, "a.txt", ("Die Straße ist größer. " * 9).encode("cp1252"))
    assert found.startswith("a.txt (not in UTF-8; perhaps encoding='cp1252') is 'Die Straße ist größer. Die ")


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(range(256)), bytes(999), b"\xff\xfe\xfd" * 99])
def test_a_binary_file_is_not_told(tmp_path: Path, content: bytes) -> None:
    assert told(tmp_path, "a.txt", content) == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_a_secret_is_hidden_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    content = ("größer " * 9 + "the key is s3cr3t-välue!\n").encode(encoding)
    found = told(tmp_path, "a.txt", content, KEY="s3cr3t-välue!")
    assert "[secret KEY]" in found
    assert "s3cr3t" not in found


def test_objects_are_told_by_their_fields_and_by_what_is_special_about_them() -> None:
    journal = "".join(
        json.dumps({"PRIORITY": "3" if n == 2 else "6", "MESSAGE": f"m{n}", **({"_PID": "1"} if n else {})}) + "\n"
        for n in range(9)
    )
    assert tables.objects(journal, True) == (
        "one JSON object a line, with the fields 'PRIORITY', 'MESSAGE', '_PID'. '_PID' is missing in some objects"
    )
    assert tables.objects('[{"a": 1}, {"a": 2}]', True) == "an array of JSON objects, with the fields 'a'"


@pytest.mark.parametrize(
    ("text", "whole"),
    [("", True), ('{"a": 1}\n', True), ("1\n2", True), ("{\n}\n", True), ('[{"a": 1}, {', False), ("[" * 9999, True)],
)  # fmt: skip
def test_a_text_without_several_objects_is_not_told_as_objects(text: str, whole: bool) -> None:
    assert tables.objects(text, whole) == ""
