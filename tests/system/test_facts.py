"""Facts about files, saved files and pictures: the agent's own functions in a container of the agent's image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.box import BOMBS, CALLS, HELPERS, NOTHING, Box, boxed


@pytest.fixture(scope="module")
def box(engine: None) -> Iterator[Box]:
    with boxed() as one:
        yield one


# ── each rule: a file that breaks it, and one that only seems to ─────────────────────────────────────────────────────

REAL = "def total(items):\n    return sum(items)\n\ndef later():\n    pass\n"
EMPTY_STUB = (
    'def a():\n    pass\n\nclass B:\n    def c(self):\n        """Says."""\n        raise NotImplementedError("c")\n'
)
ABSTRACT = """
import abc
from typing import Protocol

class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...

class Reads(Protocol):
    def read(self): ...
"""
AXES = "lambda axes: axes.set_title('Sales')"
LINE = "lambda axes: axes.plot([1, 2], [2, 1])"
OBJECT_STREAM = b"%PDF-1.5\n1 0 obj<</Type /ObjStm /N 1>>stream\nxx\nendstream"

BAD: dict[str, tuple[str, str, str]] = {
    "nothing.bin": ("write(path, '')", "empty", "is empty."),
    "blank.txt": ("write(path, ' \\n\\n')", "empty", "only white space"),
    "open.py": ("write(path, 'x = 1\\ndef f(:\\n')", "syntax", "in line 2"),
    "outside.py": ("write(path, 'return 1')", "syntax", "outside function"),
    "comments.py": ("write(path, '# TODO: all of it\\n')", "stub", "only comments"),
    "stub.py": (f"write(path, {EMPTY_STUB!r})", "stub", "none of its functions does anything"),
    "todo.py": ("write(path, 'def f(x):\\n    # TODO: compute\\n    return None\\n')", "stub", "Implement them"),
    "guarded.py": (
        "write(path, 'import sys\\ndef main():\\n    ...\\nif __name__ == \"__main__\":\\n    main()\\n')",
        "stub", "is a stub",
    ),
    "half.js": ("write(path, 'const a = 1;\\nfunction f( {')", "syntax", "in line 2: Unexpected"),
    "half.mjs": ("write(path, 'import a from \"a\"; a = = 1')", "syntax", "Unexpected token '='"),
    "half.sh": ("write(path, 'if true; then\\n  echo\\n')", "syntax", "unexpected end of file"),
    "token.sh": ("write(path, 'f() ' + 'x' * 100_000)", "syntax", "in line 1: near unexpected token `xxx"),
    "no.png": ("write(path, 'no picture')", "invalid", "cannot be opened as a picture"),
    "cut.png": (
        "picture(path, (3, 3), size=(900, 900)); write(path, open(path, 'rb').read()[:900])", "invalid", "opened",
    ),
    "white.png": ("picture(path)", "blank", "one colour (#ffffff)"),
    "clear.png": ("picture(path, mode='RGBA', color=(9, 9, 9, 0))", "blank", "(transparent)"),
    "black.jpg": ("picture(path, color='black')", "blank", "(#000000)"),
    "white.gif": ("picture(path)", "blank", "one colour"),
    "white.webp": ("picture(path)", "blank", "one colour"),
    "axes.png": ("figure(path)", "blank", "has axes, but nothing is drawn"),
    "titled.png": (f"figure(path, {AXES}, dpi=200)", "blank", "has axes, but nothing is drawn"),
    "no.svg": ("write(path, '<svg><path></svg>')", "invalid", "not valid XML"),
    "page.svg": ("write(path, '<html><path/></html>')", "invalid", "root element"),
    "none.svg": ("write(path, '<svg xmlns=\"http://www.w3.org/2000/svg\"><g/></svg>')", "blank", "nothing is drawn"),
    "header.csv": ("write(path, 'day,sales\\n\\n')", "no rows", "no rows of data"),
    "header.tsv": ("write(path, 'day\\tsales\\n')", "no rows", "no rows of data"),
    "commas.csv": ("write(path, ',,\\n,,\\n')", "empty", "has no rows"),
    "none.xlsx": ("book(path)", "empty", "every cell is empty"),
    "no.xlsx": ("write(path, 'PK no')", "invalid", "an Excel workbook"),
    "odd.xlsx": ("packed(path, a='b')", "invalid", "an Excel workbook"),
    "half.json": ("write(path, '{\"a\": ')", "invalid", "not valid JSON: Expecting value"),
    "none.json": ("write(path, '{}')", "empty", "contains only {}"),
    "list.json": ("write(path, '[]')", "empty", "contains only []"),
    "null.json": ("write(path, 'null')", "empty", "contains only null"),
    "half.jsonl": ("write(path, '{}\\n{')", "invalid", "in line 2"),
    "no.ipynb": ("write(path, '{\"nbformat\": 4}')", "invalid", "no list of cells"),
    "none.ipynb": ("write(path, '{\"cells\": [{\"source\": []}]}')", "empty", "every cell is empty"),
    "none.html": ("write(path, '<title>T</title><style>a{}</style><body><p> </p></body>')", "blank", "visible text"),
    "no.pdf": ("write(path, '<html>')", "invalid", "does not begin with %PDF"),
    "none.pdf": ("write(path, '%PDF-1.4\\n/Type /Pages /Count 0')", "empty", "without pages"),
    "no.zip": ("write(path, 'PK no')", "invalid", "as a ZIP archive"),
    "none.zip": ("packed(path)", "empty", "empty archive"),
    "no.tar.gz": ("write(path, 'no')", "invalid", "as a tar archive"),
    "none.tar": ("tarfile.open(path, 'w').close()", "empty", "empty archive"),
    "none.log.gz": ("write(path, gzip.compress(b''))", "empty", "empty when decompressed"),
    "pipe.csv": ("os.mkfifo(path)", "invalid", "not a regular file"),
    "passwd.csv": ("os.symlink('/etc/passwd', path)", "missing", "a link to /etc/passwd, which is not"),
    "closed.csv": ("write(path); os.chmod(path, 0)", "invalid", "Permission denied"),
    "folder": ("os.mkdir(path)", "empty", "an empty folder"),
    "parens.py": ("write(path, '(' * 100_000 + ')' * 100_000)", "syntax", "too many nested"),
    "minus.py": ("write(path, 'x = ' + '-' * 100_000 + '1')", "syntax", "too deeply for Python"),
    "nul.py": ("write(path, b'x = 1\\0')", "syntax", "null bytes"),
    "laughs.svg": ("write(path, LAUGHS)", "invalid", "amplification"),
    "deep.json": ("write(path, '[' * 100_000)", "invalid", "not valid JSON"),
}  # fmt: skip

GOOD: dict[str, str] = {
    "any.bin": "write(path)",
    "__init__.py": "write(path, '')",
    ".gitkeep": "write(path, '')",
    "totals.py": f"write(path, {REAL!r})",
    "shapes.py": f"write(path, {ABSTRACT!r})",
    "script.py": "write(path, 'def quiet(*a):\\n    pass\\nprint(sum(range(9)))\\n')",
    "constants.py": "write(path, 'LIMIT = 3\\n')",
    "escape.py": "write(path, 'x = \"\\\\d\"\\n')",  # Python warns of it
    "common.js": "write(path, 'const fs = require(\"fs\"); return')",
    "module.js": "write(path, 'import fs from \"fs\"; await 1; export default fs')",
    "page.jsx.js": "write(path, 'const a = () => <p>text</p>')",
    "good.sh": "write(path, '#!/bin/bash\\nfor x in 1 2; do echo $x; done\\n')",
    "fish.sh": "write(path, '#!/usr/bin/fish\\nif true\\n  echo\\nend\\n')",
    "dot.png": "picture(path, (7, 7))",
    "grey.png": "picture(path, (1, 1)) or __import__('PIL.Image').Image.linear_gradient('L').save(path)",
    "wide.png": "__import__('PIL.Image').Image.frombytes('I;16', (2, 1), bytes(4 * [1, 2, 3, 4])[:4]).save(path)",
    "chart.png": f"figure(path, {LINE})",
    "bars.jpg": "figure(path, lambda axes: axes.bar([1, 2], [2, 1]))",
    "off.png": "figure(path, lambda axes: (axes.axis('off'), axes.text(0.5, 0.5, 'Hello')))",
    "square.png": (  # a frame is no pair of axes, unless Matplotlib drew it
        "from PIL import Image, ImageDraw; one = Image.new('RGB', (400, 400), 'white');"
        " ImageDraw.Draw(one).rectangle((50, 50, 350, 350), outline='black'); one.save(path)"
    ),
    "moves.gif": (
        "from PIL import Image; a, b = (Image.new('RGB', (9, 9), one) for one in ('red', 'blue'));"
        " a.save(path, save_all=True, append_images=[b])"
    ),
    "dot.svg": 'write(path, \'<svg xmlns="http://www.w3.org/2000/svg"><g><circle r="1"/></g></svg>\')',
    "rows.csv": "write(path, 'day,sales\\n1,2\\n')",
    "bare.csv": "write(path, '1,2,3\\n')",
    "wide.csv": "write(path, 'day;sales\\n1;2\\n'.encode('utf-16'))",
    "cells.xlsx": "book(path, 'C7')",
    "value.json": "write(path, '[0]')",
    "zero.json": "write(path, '0')",
    "tsconfig.json": "write(path, '{ // comments are fine here\\n}')",
    "lines.jsonl": "write(path, '{}\\n\\n{}\\n')",
    "cells.ipynb": 'write(path, \'{"cells": [{"source": ["x = 1"]}]}\')',
    "text.html": "write(path, '<p>Hello')",
    "script.html": "write(path, '<body><div id=app></div><script src=app.js></script>')",
    "styled.html": "write(path, '<style>.a{width:9px}</style><body><div class=a></div>')",
    "page.pdf": "write(path, '%PDF-1.4\\n1 0 obj<</Type/Page/Parent 2 0 R>>')",
    "packed.pdf": f"write(path, {OBJECT_STREAM!r})",
    "full.zip": "packed(path, a='b')",
    "full.docx": "packed(path, a='b')",
    "full.tar.gz": "write('in')\nwith tarfile.open(path, 'w:gz') as tar: tar.add('in')",
    "full.log.gz": "write(path, gzip.compress(b'x'))",
    "link.csv": "write('rows.csv', 'a,b\\n1,2\\n'); os.symlink('rows.csv', path)",
    "filled": "write('filled/one/two.txt')",
    "bomb.png": "write(path, BOMB)",
    "sparse.csv": "write(path); os.truncate(path, 1 << 30)",
    "big.py": "write(path, 'x = 1\\n' * 600_000)",
    "zeros.xlsx": "packed(path, **{'xl/workbook.xml': bytes(300 << 20)})",
}


@pytest.fixture(scope="module")
def told(box: Box) -> dict[str, dict[str, Any]]:
    """What is told of each file of BAD and GOOD; a few at a time, because that has a limit of time."""
    makes = {**{path: case[0] for path, case in BAD.items()}, **GOOD}
    paths, found = list(makes), {}
    for first in range(0, len(paths), 12):
        part = paths[first : first + 12]
        made = BOMBS + "".join(f"path = {path!r}\n{makes[path]}\n" for path in part)
        found |= {fact["path"]: fact for fact in box.facts(made, *part)}
    return found


@pytest.mark.parametrize("path", BAD)
def test_a_useless_file_fails_with_the_reason(told: dict[str, dict[str, Any]], path: str) -> None:
    _, about, words = BAD[path]
    assert (told[path]["about"], told[path]["ok"]) == (about, False), told[path]
    assert told[path]["detail"].startswith(f"{path} ") and words in told[path]["detail"], told[path]


@pytest.mark.parametrize("path", GOOD)
def test_a_plausible_file_passes(told: dict[str, dict[str, Any]], path: str) -> None:
    assert told[path]["ok"], told[path]
    assert "not checked" not in told[path]["detail"]


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("there", "named", "detail"),
    [
        ("out/Result.txt", "result.txt", "result.txt is not there, but out/Result.txt is."),
        ("RESULT.txt", "result.txt", "result.txt is not there, but RESULT.txt is."),
        ("out/result.txt", "other/result.txt", "other/result.txt is not there, but out/result.txt is."),
        ("out/a.csv", "*.csv", "*.csv is not there, but out/a.csv is."),
        ("a.txt", "result.txt", "result.txt is not there."),
        ("a.txt", "../a.txt", "../a.txt is not there, but a.txt is."),
    ],
)
def test_a_missing_file_names_one_of_the_same_name(box: Box, there: str, named: str, detail: str) -> None:
    found = box.fact(f"write({there!r})", named)
    assert (found["about"], found["path"], found["detail"]) == ("missing", named, detail)


@pytest.mark.parametrize("named", ["./out/a.csv", "/workspace/out/a.csv", "out//a.csv"])
def test_paths_are_normalized(box: Box, named: str) -> None:
    found = box.fact("write('out/a.csv', 'a\\n1\\n')", named)
    assert (found["path"], found["ok"]) == ("out/a.csv", True)


def test_a_glob_passes_if_one_file_passes(box: Box) -> None:
    made = "picture('a.png'); picture('b.png'); picture('c.png', (1, 1))"
    found = box.fact(made, "*.png")
    assert (found["path"], found["ok"]) == ("*.png", True) and "matches 3 files. c.png is there" in found["detail"]
    assert [fact["path"] for fact in box.facts("picture('a.png'); picture('b.png')", "*.png")] == ["a.png", "b.png"]


def test_facts_come_once_each_in_the_order_of_the_names(box: Box) -> None:
    found = box.facts("write('a.txt')", "b.txt", "a.txt", "./a.txt", "")
    assert [(fact["path"], fact["about"]) for fact in found] == [("b.txt", "missing"), ("a.txt", "ok")]


def test_odd_and_long_names_fit_on_one_bounded_line(box: Box) -> None:
    found = box.fact("write(b'odd\\xff\\nname.csv'.decode('utf-8', 'surrogateescape'), '')", "*.csv")
    assert found["detail"] == "odd\\xff name.csv is empty."
    name = "n" * 250
    assert len(box.fact(f"write('{name}/{name}/{name}.csv', '')", f"{name}/*/*.csv")["detail"]) == 500


def test_too_many_facts_are_cut_and_the_first_ones_stay(box: Box) -> None:
    made = "for n in range(200):\n    for m in range(5): write(f'd{n:03}/{m}', '')"
    found = box.facts(made, *(f"d{n:03}/*" for n in range(200)))
    assert len(found) == 400 and found[-1]["path"] == "d079/4"
    names = [f"d{n:03}/{'n' * 3_900}" for n in range(200)]
    assert [fact["path"] for fact in box.facts("", *names)] == names[:50]


def test_facts_hide_the_values_of_secrets(box: Box) -> None:
    value = "hunter2-hunter2"
    made = f"write('{value}.py', 'x = 1'); write('a.py', 'x = \"{value}'); write('a.sh', '(( {value}')"
    found = box.facts(made, f"{value[:3]}*.py", "a.py", "a.sh", f"{value}.txt", PASSWORD=value)
    assert value not in json.dumps(found) and "[secret PASSWORD].py is there" in found[0]["detail"]
    assert found[3]["path"] == "[secret PASSWORD].txt"


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_time_left_only_presence_is_checked(box: Box) -> None:
    code = "inspection.CHILDS_SECONDS = 0.0; answer = inspection.facts(job, ['a.json', 'b.json'])"
    found = box.do("write('a.json', '{')", code)
    assert [fact["about"] for fact in found] == ["ok", "missing"] and "not checked" in found[0]["detail"]


def test_in_a_very_large_workspace_no_file_counts_as_missing(box: Box) -> None:
    made = "write('a.json', '{')\nfor n in range(25_000): open(f'f{n}', 'w').close()"
    code = "began = time.monotonic(); answer = inspection.facts(job, ['a.json', 'x/y']), time.monotonic() - began"
    found, seconds = box.do(made, code)
    assert seconds < 10 and not any(fact["about"] == "missing" for fact in found)


@pytest.mark.parametrize("end", ["stop('cancelled')", "kill_for_packing()"])
def test_no_child_starts_once_the_job_is_stopped_or_packed(box: Box, end: str) -> None:
    code = f"kept = snapshots.Kept(); assert kept.save(job, []); job.processes.{end}\n{CALLS}"
    assert box.do("write('up.csv')", code, uploads=("up.csv",)) == NOTHING


def test_if_a_job_breaks_pillow_only_the_checks_of_pictures_stop(box: Box) -> None:
    made = "picture('a.png'); write('b.json', '{'); write('c.xlsx', 'no')"
    code = """
broken = "/opt/venv/lib/python3.13/site-packages/PIL/Image.py"
user(f"import os; os.rename('{broken}', '{broken}.away'); open('{broken}', 'w').write('1 / 0')")
answer = inspection.facts(job, ["a.png", "b.json", "c.xlsx"]), inspection.pictures(job, ["a.png"])
user(f"import os; os.rename('{broken}.away', '{broken}')")
"""
    facts, pictures = box.do(made, code)
    assert [fact["about"] for fact in facts] == ["ok", "invalid", "invalid"] and pictures == []


# ── saved files ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_saved_files_are_restored_with_their_modes_and_later_files_stay(box: Box) -> None:
    made = "write('out/a.txt', 'one'); os.chmod('out/a.txt', 0o755); os.utime('out/a.txt', (9, 9)); write('b.txt', 'b')"
    code = """
kept = snapshots.Kept()
assert kept.save(job, ["out/*.txt"])
user("for path in ('out/a.txt', 'b.txt', 'c.txt'): open(path, 'w').write('later')")
answer = kept.restore(job), read("out/a.txt"), read("b.txt"), read("c.txt")
status = os.stat("/workspace/out/a.txt")
assert (status.st_mode & 0o7777, status.st_mtime, status.st_uid) == (0o755, 9, 10001)
"""
    assert box.do(made, code) == [["out/a.txt"], "one", "later", "later"]


def test_naming_a_folder_or_a_link_saves_the_files_behind_it(box: Box) -> None:
    made = "write('out/deep/a.txt'); write('real.txt'); os.symlink('real.txt', 'link.txt'); os.symlink('/etc', 'etc')"
    code = """
kept = snapshots.Kept()
assert kept.save(job, ["out", "link.txt", "etc"])
user("import shutil, os; shutil.rmtree('out'); os.remove('real.txt')")
answer = kept.restore(job)
"""
    assert box.do(made, code) == ["out/deep/a.txt", "real.txt"]


def test_without_a_match_all_files_but_unchanged_uploads_and_junk_are_saved(box: Box) -> None:
    code = """
import io, tarfile
from agent.nodes.analyze import UNPACK
tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w") as file:
    for name in order.uploads:
        member = tarfile.TarInfo(name)
        member.size, member.mtime = 1, 1_700_000_000.25
        file.addfile(member, io.BytesIO(b"x"))
job.processes.feed(UNPACK).communicate(tar.getvalue())
user("open('changed.csv', 'a').write('y')")
kept = snapshots.Kept()
assert kept.save(job, ["nothing.*"])
answer = kept.restore(job)
"""
    made = "write('made.txt'); write('node_modules/x.js')"
    assert box.do(made, code, uploads=("same.csv", "changed.csv")) == ["changed.csv", "made.txt"]


def test_a_new_save_replaces_the_earlier_one(box: Box) -> None:
    code = """
kept = snapshots.Kept()
assert kept.save(job, [])
user("open('a.txt', 'w').write('two'); open('b.txt', 'w').write('two')")
assert kept.save(job, [])
user("open('a.txt', 'w').write('three'); import os; assert os.listdir(os.path.expanduser('~/.kept')) == ['2']")
answer = kept.restore(job), read("a.txt")
"""
    assert box.do("write('a.txt', 'one')", code) == [["a.txt", "b.txt"], "two"]


@pytest.mark.parametrize(
    "made",
    [
        "write('big'); os.truncate('big', 300 << 20)",
        "for n in range(2_001): write(f'f{n}')",
        "os.mkfifo('pipe')",
        "os.symlink('/etc/passwd', 'link')",
    ],
)
def test_too_much_or_nothing_is_not_saved_and_the_earlier_save_stays(box: Box, made: str) -> None:
    code = f"""
kept = snapshots.Kept()
first = kept.save(job, ["first"])
user("import os; os.remove('first')")
user({HELPERS + made!r})
saved = kept.save(job, [])
user("import os; assert os.listdir(os.path.expanduser('~/.kept')) == ['1']")
answer = first, saved, kept.restore(job)
"""
    assert box.do("write('first')", code) == [True, False, ["first"]]


def test_a_slow_save_stops_in_time_and_leaves_nothing(box: Box) -> None:
    code = """
snapshots.CHILDS_SECONDS = -1.0
answer = snapshots.Kept().save(job, [])
user("import os; assert os.listdir(os.path.expanduser('~/.kept')) == []")
"""
    assert box.do("write('a')", code) is False


def test_a_restored_file_replaces_links_pipes_and_empty_folders(box: Box) -> None:
    made = "[write(name, 'kept') for name in ('a/b/c.txt', 'd.txt', 'e.txt', 'f.txt', 'g.txt', 'h/i.txt', 'j/k.txt')]"
    later = """
import os, pathlib, shutil
outside = pathlib.Path.home() / "outside"
outside.mkdir(exist_ok=True)
for name in ("a", "h", "j"):
    shutil.rmtree(name)
for name in ("d.txt", "e.txt", "f.txt", "g.txt"):
    os.remove(name)
os.symlink(outside, "a")
os.symlink(outside / "d.txt", "d.txt")
os.mkfifo("e.txt")
os.mkdir("f.txt")
os.makedirs("g.txt/full")  # this one stays
open("h", "w").close()
"""
    code = f"""
kept = snapshots.Kept()
assert kept.save(job, ["**"])
user({later!r})
answer = kept.restore(job), [read(path) for path in ("a/b/c.txt", "d.txt", "e.txt", "f.txt", "h/i.txt", "j/k.txt")]
user("import os; assert os.listdir(os.path.expanduser('~/outside')) == [], 'it went through a link'")
user("import os; assert not any(name.endswith('.kept') for name in os.listdir('.')), 'a new file is left'")
"""
    restored, contents = box.do(made, code)
    assert restored == ["a/b/c.txt", "d.txt", "e.txt", "f.txt", "h/i.txt", "j/k.txt"]
    assert contents == ["kept"] * 6


def test_saved_files_are_neither_in_the_zip_nor_in_the_survey(box: Box) -> None:
    code = r"""
import io, zipfile
from agent import model_client
assert snapshots.Kept().save(job, [])
read_end, write_end = os.pipe()
command = [sys.executable, "-I", "-m", "agent.children.pack", str(write_end)]
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "pass_fds": (write_end,)}
packing = {"root": "/workspace", "outputs": [], "budget": 1 << 20, "seconds": 9}
lines = "".join(json.dumps(line) + "\n" for line in (packing, {"manifest": {}, "documents": {}}))
content, _ = job.processes.spawn(command, **pipes).communicate(lines.encode())
answer = model_client.survey(job)[1], zipfile.ZipFile(io.BytesIO(content)).namelist()
"""
    told, names = box.do("write('a.txt')", code)
    assert "has 1 entries" in told and "kept" not in told
    assert [name for name in names if name.startswith("workspace/")] == ["workspace/a.txt"]
    assert not any("kept" in name for name in names)


def test_an_upload_is_set_aside_once_under_a_free_name(box: Box) -> None:
    made = "write('data.csv', 'given'); os.chmod('data.csv', 0o640); write('in/b', 'b'); write('in/b.original')"
    code = """
user("open('other.csv', 'w').close()")
answer = [snapshots.set_aside(job, ["./data.csv", "/workspace/in/b", "gone.csv", "other.csv", "etc/passwd"])]
user("open('data.csv', 'w').write('new')")
answer += [snapshots.set_aside(job, ["data.csv"]), job.aside]
user("assert open('data.original.csv').read() == 'given' and open('in/b.original-2').read() == 'b'")
assert os.stat("/workspace/data.original.csv").st_mode & 0o7777 == 0o640
"""
    pairs = [["data.csv", "data.original.csv"], ["in/b", "in/b.original-2"]]
    uploads = ("data.csv", "in/b", "gone.csv", "etc/passwd")
    assert box.do(f"{made}; os.symlink('/etc', 'etc')", code, uploads) == [pairs, [], dict(pairs)]


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────

#: Tells of a picture what it is, its sizes, and its first pixel.
SIZES = '''
code = """
import base64, io, sys
from PIL import Image
one = Image.open(io.BytesIO(base64.b64decode(sys.stdin.read())))
print(*one.size, one.convert("RGB").getpixel((0, 0)))
"""
def size(one):
    command = ["/opt/venv/bin/python", "-c", code]
    done = subprocess.run(command, input=one.data, capture_output=True, text=True, check=True)
    return [one.name, one.media_type, *done.stdout.strip().split(maxsplit=2)]
'''


def test_pictures_are_shrunk_to_a_png_or_a_jpeg(box: Box) -> None:
    made = """
from PIL import Image
picture("dots.png", (0, 5), size=(3000, 1500))
Image.frombytes("RGB", (2400, 2400), os.urandom(3 * 2400 * 2400)).save("noise.png")
picture("clear.gif", mode="P", color=0, transparency=0)
exif = Image.Exif()
exif[0x0112] = 6  # it is to be turned
picture("turned.jpg", size=(40, 20), exif=exif)
Image.new("I;16", (30, 10), 700).save("deep.png")
"""
    named = ["dots.png", "noise.png", "clear.gif", "turned.jpg", "deep.png"]
    code = f"""{SIZES}
found = inspection.pictures(job, {named}, 9)
assert all(len(one.data) <= 400 << 10 for one in found)
answer = [size(one) for one in found]
"""
    found = box.do(made, code)
    assert [one[:4] for one in found] == [
        ["dots.png", "image/png", "1024", "512"],
        ["noise.png", "image/jpeg", "1024", "1024"],
        ["clear.gif", "image/png", "400", "300"],
        ["turned.jpg", "image/png", "20", "40"],
        ["deep.png", "image/png", "30", "10"],
    ]
    assert found[2][4] == "(255, 255, 255)"  # as most viewers show what is clear


def test_named_pictures_come_first_then_figures_then_the_newest(box: Box) -> None:
    made = """
for number, path in enumerate(["old.png", "new.jpg", "figures/figure-1.png", "named.png", "same.png"]):
    picture(path, (3, 3) if path == "same.png" else (number, number))
    os.utime(path, (number, number))
picture("white.png.txt", format="PNG")
"""
    code = "answer = [one.name for one in inspection.pictures(job, ['named.png'], {})]"
    names = ["named.png", "figures/figure-1.png", "same.png", "new.jpg", "old.png"]
    assert box.do(made, code.format(9)) == [name for name in names if name != "same.png"]  # named.png once more
    assert box.do(made, code.format(2)) == names[:2]
    assert box.do(made, code.format(0)) == []


def test_broken_and_too_large_pictures_are_skipped(box: Box) -> None:
    made = f"""{BOMBS}
write("bomb.png", BOMB)
write("no.png", "no")
os.mkfifo("pipe.png")
os.symlink("/etc/passwd", "link.png")
write("sparse.png"), os.truncate("sparse.png", 1 << 30)
picture("good.png", (1, 1))
"""
    found = box.pictures(made, "bomb.png", "no.png", "pipe.png", "link.png", "sparse.png")
    assert [one["name"] for one in found] == ["good.png"]
    assert box.pictures("write('a.txt')", "a.png") == []


def test_the_screen_is_included_if_it_runs_and_is_never_started(box: Box) -> None:
    made = r"""
import shutil
picture("shot.png", (1, 1))
write("/opt/venv/bin/screenshot", "#!/bin/sh\ntouch /workspace/called; cp /workspace/shot.png \"$1\"")
os.chmod("/opt/venv/bin/screenshot", 0o755)
shutil.copy("/bin/sleep", "Xtigervnc")
"""
    code = r"""
before = inspection.screenshot(job), os.path.exists("/workspace/called")
screen = job.processes.spawn(["/workspace/Xtigervnc", "60"])
while open(f"/proc/{screen.pid}/comm").read() != "Xtigervnc\n":
    time.sleep(0.01)
after = [[one.name for one in inspection.pictures(job, [], most)] for most in (2, 1)]
user("import os; os.remove('/opt/venv/bin/screenshot')")
answer = before, after, inspection.screenshot(job)
screen.kill(), screen.wait()
"""
    before, after, gone = box.do(made, code)
    assert before == [[], False] and gone == []
    assert after == [["shot.png", "screen"], ["screen"]]


def test_a_table_without_the_columns_that_the_request_says_is_told(box: Box) -> None:
    made = "open('a.csv', 'w').write('Category;Amount\\nx;1\\n'); open('b.csv', 'w').write('id,total_sum\\n1,2\\n')"
    code = (
        "order.columns = {'a.csv': ['category', 'total'], 'b.csv': ['total sum', 'ID']}; "
        "answer = inspection.facts(job, ['a.csv', 'b.csv'])"
    )
    wrong, right = box.do(made, code)
    assert (wrong["ok"], wrong["about"], right["ok"]) == (False, "invalid", True)
    assert "Category, Amount" in wrong["detail"] and "category, total" in wrong["detail"]
