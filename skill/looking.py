"""Tools for judges, inside the judge's container. They use only the standard library, except for pictures."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

from skill.task import Judge, Wrong

#: Seconds for one run of a job's program.
RUN_SECONDS = 20

#: Precedes hidden tests in Python. ``check`` compares the value of an expression, ``raises`` expects an error.
PYTHON = """
import sys, os
sys.path.insert(0, os.getcwd())
_token, _real = sys.stdin.readline().strip(), os.dup(1)
def _fail(why):
    os.write(2, ("\\nWRONG " + why[:300].replace("\\n", " ") + "\\n").encode())
    os._exit(1)
def check(expression, expected):
    try:
        got = eval(expression, globals())
    except BaseException as error:
        _fail(f"{expression} raised {type(error).__name__}: {error}")
    if isinstance(expected, float) and isinstance(got, (int, float)):
        good = abs(got - expected) < 1e-6
    else:
        good = got == expected and isinstance(got, bool) == isinstance(expected, bool)
    if not good:
        _fail(f"{expression} gave {got!r}, not {expected!r}")
def raises(error, expression):
    try:
        got = eval(expression, globals())
    except error:
        return
    except BaseException as other:
        _fail(f"{expression} raised {type(other).__name__}, not {error.__name__}")
    _fail(f"{expression} gave {got!r} and raised no {error.__name__}")
"""

#: The same for JavaScript. ``it`` is the file's module.exports.
NODE = """
const assert = require('assert'), fs = require('fs');
const _token = fs.readFileSync(0, 'utf8').trim();
const _fail = why => {
  fs.writeSync(2, '\\nWRONG ' + why.slice(0, 300).replace(/\\n/g, ' ') + '\\n'); process.exit(1);
};
let it;
try { it = require(process.cwd() + '/FILE'); } catch (error) { _fail('FILE cannot be loaded: ' + error.message); }
const check = (expression, expected) => {
  let got;
  try { got = eval(expression); } catch (error) { _fail(expression + ' threw ' + error); }
  try { assert.deepStrictEqual(got, expected); }
  catch { _fail(expression + ' gave ' + JSON.stringify(got) + ', not ' + JSON.stringify(expected)); }
};
const throws = expression => {
  let got;
  try { got = eval(expression); } catch { return; }
  _fail(expression + ' gave ' + JSON.stringify(got) + ' and threw no error');
};
const done = () => fs.writeSync(1, '\\n' + _token + '\\n');
"""


def need(condition: object, why: str) -> None:
    """Raise Wrong with this sentence unless the condition is true."""
    if not condition:
        raise Wrong(why)


def fail(why: str) -> NoReturn:
    raise Wrong(why)


def text(here: Path, name: str) -> str:
    """Return the text of a file from the job."""
    path = here / name
    need(path.is_file(), f"{name} is missing")
    need(path.stat().st_size < 20 << 20, f"{name} has {path.stat().st_size:,} bytes")
    found = path.read_text(encoding="utf-8-sig", errors="replace")
    need(found.strip(), f"{name} is empty")
    return found


def from_json(here: Path, name: str) -> Any:
    try:
        return json.loads(text(here, name))
    except ValueError as error:
        fail(f"{name} is no JSON: {error}")


def rows(here: Path, name: str, *columns: str) -> list[dict[str, str]]:
    """Return a CSV file with these columns as dictionaries, with values stripped."""
    found = csv.DictReader(io.StringIO(text(here, name)))
    has = [column.strip() for column in found.fieldnames or ()]
    need(set(columns) <= set(has), f"the columns of {name}: {has}, not {list(columns)}")
    return [{(k or "").strip(): (v or "").strip() for k, v in row.items() if isinstance(v, str)} for row in found]


def numbers(found: str) -> list[float]:
    """Return all numbers in a text, also in the form 1,234.50."""
    return [float(one.replace(",", "")) for one in re.findall(r"-?\d[\d,]*(?:\.\d+)?", found)]


def near(found: object, expected: float, why: str, within: float = 0.011) -> None:
    """Raise Wrong if a number differs."""
    try:
        value = float(str(found).replace(",", "").strip().lstrip("$€"))
    except ValueError:
        fail(f"{why}: {found!r} is no number")
    need(math.isclose(value, expected, abs_tol=within), f"{why}: {value:g}, not {expected:g}")


def same(found: object, expected: object, why: str) -> None:
    """Raise Wrong if the values differ."""
    if isinstance(found, set) and isinstance(expected, set):
        found, expected = sorted(found, key=str), sorted(expected, key=str)
    need(found == expected, f"{why}: {str(found)[:150]}, not {str(expected)[:150]}")


def run(here: Path, command: Sequence[str], stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a job's program in its folder."""
    try:
        return subprocess.run(
            command, cwd=here, input=stdin, capture_output=True, text=True, errors="replace", timeout=RUN_SECONDS,
            env={**os.environ, **environment},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        fail(f"{' '.join(command)[:100]} took more than {RUN_SECONDS} s")


def well(here: Path, command: Sequence[str], stdin: str = "") -> str:
    """Run a program that must exit with 0. Returns its output."""
    done = run(here, command, stdin)
    last = (done.stderr.strip().splitlines() or ["no error message"])[-1]
    need(done.returncode == 0, f"{' '.join(command)[:100]} ended with exit code {done.returncode}: {last[:200]}")
    return done.stdout


def tested(file: str, source: str) -> Judge:
    """Return a judge that runs hidden tests of a Python file or a JavaScript module."""

    def judge(here: Path, given: Path) -> None:
        text(here, file)
        token = secrets.token_hex(8)
        with tempfile.TemporaryDirectory() as folder:
            if file.endswith(".js"):
                script = Path(folder, "hidden.js")
                script.write_text(NODE.replace("FILE", file) + source + ("" if "done()" in source else "\ndone();\n"))
                done = run(here, ["node", str(script)], token)
            else:
                script = Path(folder, "hidden.py")
                script.write_text(PYTHON + source + "\nos.write(_real, f'\\n{_token}\\n'.encode())\n")
                done = run(here, ["python3", str(script)], token)
        if token in done.stdout.splitlines():
            return
        lines = done.stderr.strip().splitlines() or [f"the tests did not end; exit code {done.returncode}"]
        told = [line[6:] for line in lines if line.startswith("WRONG ")]
        fail(told[0] if told else lines[-1])

    judge.tests = source  # type: ignore[attr-defined]
    return judge


def picture(here: Path, name: str, width: int = 200, height: int = 150) -> Any:
    """Return a picture that can be opened, is not small, and has several colours."""
    from PIL import Image

    need((here / name).is_file(), f"{name} is missing")
    try:
        with Image.open(here / name) as opened:
            opened.load()
            found = opened.convert("RGB")
    except OSError as error:
        fail(f"{name} cannot be opened as a picture: {error}")
    need(found.width >= width and found.height >= height, f"{name} has only {found.width} × {found.height} pixels")
    colours = found.getcolors(1 << 24) or []
    most = max((count for count, _ in colours), default=0)
    need(len(colours) > 1 and most < 0.998 * found.width * found.height, f"{name} is blank")
    return found


def svg(here: Path, name: str) -> tuple[Any, str]:
    """Return an SVG's root and all its text, with matplotlib's comments (they contain the text of glyph paths)."""
    source = text(here, name)
    try:
        root = ElementTree.fromstring(source)  # noqa: S314 - in a container without network, with a memory limit
    except ElementTree.ParseError as error:
        fail(f"{name} is no SVG: {error}")
    need(root.tag.endswith("svg"), f"{name} has the root {root.tag}, not svg")
    words = [piece.strip() for piece in root.itertext()] + re.findall(r"<!--(.*?)-->", source, re.DOTALL)
    return root, "\n".join(words)


#: A rectangle: x, y, width, height.
Box = tuple[float, float, float, float]


def bars(root: Any) -> list[Box]:
    """Return all upright rectangles of an SVG: rect elements, and paths with four corners, as matplotlib draws bars."""
    found = []
    for element in root.iter():
        kind = str(element.tag).rpartition("}")[2]
        if kind == "rect":
            try:
                found.append(
                    tuple(float(element.get(side, "0").rstrip("px%")) for side in ("x", "y", "width", "height"))
                )
            except ValueError:
                continue
        elif kind == "path":
            points = re.findall(r"[ML]\s*(-?[\d.]+)[\s,]+(-?[\d.]+)", element.get("d", ""))
            xs, ys = sorted({float(x) for x, _ in points}), sorted({float(y) for _, y in points})
            if len(points) in (4, 5) and len(xs) == len(ys) == 2:
                found.append((xs[0], ys[0], xs[1] - xs[0], ys[1] - ys[0]))
    return found  # type: ignore[return-value]


def proportional(boxes: Sequence[Box], values: Sequence[float]) -> bool:
    """Return whether bars from a common base line are proportional to these values, in any order."""
    wanted = sorted(values)
    upright = [(round(y + height, 1), height) for _, y, _, height in boxes]
    lying = [(round(x, 1), width) for x, _, width, _ in boxes]
    for sides in (upright, lying):
        for base in {base for base, _ in sides}:
            lengths = sorted(length for other, length in sides if abs(other - base) < 0.3 and length > 0)
            # the chart's frame may start at the same line; it is longer than each bar
            for found in (lengths, lengths[:-1], lengths[:-2]):
                if len(found) == len(wanted) and all(
                    abs(a / found[-1] - b / wanted[-1]) < 0.02 for a, b in zip(found, wanted, strict=True)
                ):
                    return True
    return False


def read_csv(given: Path, name: str) -> list[dict[str, str]]:
    """Return an upload in its original form."""
    with (given / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


#: Runs a test file of unittest or with plain test functions, with or without pytest.
TESTER = """
import importlib.util, inspect, os, sys, unittest
sys.path.insert(0, os.getcwd())
name = sys.argv[1]
if importlib.util.find_spec("pytest"):
    import pytest
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", name]))
module = importlib.import_module(name.removesuffix(".py"))
done = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromModule(module))
ran = done.testsRun
for label, function in list(vars(module).items()):
    if label.startswith("test") and inspect.isfunction(function) and not inspect.signature(function).parameters:
        function()
        ran += 1
sys.exit(0 if ran and done.wasSuccessful() else 1)
"""


def tests_pass(here: Path, file: str) -> bool:
    """Return whether a file contains at least one test and all tests pass."""
    done = run(here, ["python3", "-B", "-c", TESTER, file])
    # if the asserts are at module level, the file itself is the test
    if done.returncode and not re.search(r"^\s*(def test|class )", (here / file).read_text(), re.MULTILINE):
        done = run(here, ["python3", "-B", file])
    return done.returncode == 0
