"""Checks whether a file holds what its suffix promises. A check returns None for a good file, else what is wrong.

A check reports only certain faults. A file that it cannot judge passes.
"""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import stat
import subprocess
import warnings
import zipfile
import zlib

from agent.children import thumbnails
from agent.children.isolation import Lost, apart
from agent.children.walk import OPEN_FLAGS
from protocol.file_names import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO

    from PIL import Image

#: The largest file that is checked, the largest source, and how much of a table is read, in bytes.
FILE_BYTES, SOURCE_BYTES, HEAD_BYTES = 64 * 2**20, 2 * 2**20, 1 << 20

#: The largest workbook that is opened: the sum of its unpacked parts, in bytes.
UNPACKED_BYTES = 256 * 2**20

#: The time limit for one file, in seconds.
EACH = 3.0

#: Files that are usually empty on purpose.
MAY_BE_EMPTY = frozenset({"__init__.py", "py.typed", ".gitkeep", ".keep", ".nojekyll"})

#: A word of ``messages.About``, and the rest of a sentence that begins with the path.
Wrong = tuple[str, str]


def wrong_with(path: str, name: str, seconds: float) -> Wrong | None:
    """Check one file. ``path`` is where it is, ``name`` is its base name."""
    try:
        file = open(path, "rb", opener=lambda path, _: os.open(path, OPEN_FLAGS))  # noqa: SIM115
    except OSError as error:
        return "invalid", f"cannot be read: {words(error)}."
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return "invalid", "is not a regular file."
        if status.st_size == 0:
            return None if name in MAY_BE_EMPTY else ("empty", "is empty.")
        if status.st_size > FILE_BYTES:
            return None
        suffix = _suffix(name)
        try:
            if suffix in PROGRAMS:
                return PROGRAMS[suffix](file, suffix, min(seconds, EACH)) if status.st_size <= SOURCE_BYTES else None
            check = CHECKS.get(suffix)
            found = apart(lambda: check(file), min(seconds, EACH)) if check else None
        except (Lost, OSError, subprocess.SubprocessError):
            return None  # it cannot be judged
    return (found[0], found[1]) if found else None


def _suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name.lower())
    return ".tar" if stem.endswith(".tar") else suffix


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def python(file: BinaryIO) -> Wrong | None:
    source = file.read(SOURCE_BYTES + 1)
    if len(source) > SOURCE_BYTES:
        return None
    warnings.simplefilter("ignore")
    try:
        tree = ast.parse(source)
        compile(tree, "file", "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        return "syntax", f"has a syntax error{where}: {error.msg}."
    except ValueError as error:
        return "syntax", f"is not valid Python: {error}."
    except (RecursionError, MemoryError):
        return "syntax", "is nested too deeply for Python to parse."
    if not tree.body:
        return "stub", "contains only comments, no code."
    if _is_stub(tree, source.decode("utf-8", "replace").splitlines()):
        return "stub", "is a stub: none of its functions does anything. Implement them."
    return None


def _is_stub(tree: ast.Module, lines: list[str]) -> bool:
    """Tell whether a module has functions, none of them does anything, and neither does its other code."""
    meant = {id(method) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for method in _of_protocol(node)}
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and id(node) not in meant
        and not any(_last_name(mark).startswith(("abstract", "overload")) for mark in node.decorator_list)
    ]
    if not functions or not all(_does_nothing(function, lines) for function in functions):
        return False
    return not any(_does_something(node, {function.name for function in functions}) for node in tree.body)


def _of_protocol(node: ast.ClassDef) -> Iterable[ast.stmt]:
    return node.body if any(_last_name(base) == "Protocol" for base in node.bases) else ()


def _last_name(node: ast.expr) -> str:
    """Return the last name of an expression: ``abc.abstractmethod`` gives ``abstractmethod``."""
    if isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _does_nothing(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> bool:
    text = "\n".join(lines[function.lineno - 1 : function.end_lineno])
    unfinished = re.search(r"#.*\b(TODO|FIXME|implement)", text, re.IGNORECASE)
    for node in function.body:
        if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        if isinstance(node, ast.Raise) and node.exc:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if _last_name(raised) == "NotImplementedError":
                continue
        if isinstance(node, ast.Return) and unfinished and (not node.value or isinstance(node.value, ast.Constant)):
            continue
        return False
    return True


def _does_something(node: ast.stmt, stubs: set[str]) -> bool:
    """Tell whether a module's statement does more than define, assign or call the module's own stubs."""
    plain = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Pass
    if isinstance(node, plain | ast.Assign | ast.AnnAssign):
        return False
    if isinstance(node, ast.Expr):
        called = _last_name(node.value.func) if isinstance(node.value, ast.Call) else ""
        return not isinstance(node.value, ast.Constant) and called not in stubs
    if isinstance(node, ast.If) and "__name__" in ast.dump(node.test):
        return any(_does_something(inner, stubs) for inner in node.body)
    return True


def javascript(file: BinaryIO, suffix: str, seconds: float) -> Wrong | None:
    """Parse a source as a script, then as a module: the file itself does not say which it is."""
    source, wrong = file.read(), None
    for kind in ("module",) if suffix == ".mjs" else ("commonjs", "module"):
        command = ["/usr/bin/node", "--max-old-space-size=256", f"--input-type={kind}", "--check", "-"]
        done = subprocess.run(command, input=source, capture_output=True, timeout=seconds / 2)
        said = done.stderr.decode("utf-8", "replace")
        error = re.search(r"^SyntaxError: (.*)", said, re.MULTILINE)
        if done.returncode == 0 or not error or "token '<'" in error[1]:  # JSX, which Node.js cannot parse
            return None
        line = re.match(r"\[stdin\]:(\d+)|.*?:(\d+)\n", said)
        where = f" in line {line[1] or line[2]}" if line else ""
        if wrong is None or "outside a module" in wrong[1]:
            wrong = "syntax", f"has a syntax error{where}: {error[1]}."
    return wrong


def shell(file: BinaryIO, suffix: str, seconds: float) -> Wrong | None:
    first = file.readline(200)
    if first.startswith(b"#!") and not re.search(rb"\b(ba|da|k)?sh\b", first):
        return None
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    done = subprocess.run(["/bin/bash", "-n"], stdin=file, capture_output=True, timeout=seconds)
    said = done.stderr.decode("utf-8", "replace").splitlines()
    error = re.search(r"line (\d+): (?:syntax error:? )?(.*)", said[0]) if said else None
    return ("syntax", f"has a syntax error in line {error[1]}: {error[2]}.") if done.returncode and error else None


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def picture(file: BinaryIO) -> Wrong | None:
    try:
        from PIL import Image, ImageSequence  # noqa: F401
    except Exception:
        return None  # the job has broken its own packages
    try:
        image = thumbnails.opened(file)
        colours = set()
        for number, frame in enumerate(ImageSequence.Iterator(image)):
            colours.add(_only_colour(frame))
            if None in colours or number == 20:
                break
    except (thumbnails.TooLarge, MemoryError, ImportError):
        return None
    except Exception as error:
        return "invalid", f"cannot be opened as a picture: {_first_line(error)}."
    if len(colours) == 1 and (colour := colours.pop()):
        return "blank", f"is a picture of one colour ({colour}): nothing is drawn in it."
    if _is_empty_figure(image):
        return "blank", "has axes, but nothing is drawn in them."
    return None


def _only_colour(image: Image.Image) -> str | None:
    """Return the colour of a picture that has only one."""
    lossy = 2 if image.format in ("JPEG", "WEBP") else 0
    if image.mode not in thumbnails.PLAIN_MODES:
        low, high = image.getextrema()
        return f"{low}" if low == high else None
    bands = image.convert("RGBA").getextrema()
    if bands[3] == (0, 0):
        return "transparent"
    if any(high - low > lossy for low, high in bands):
        return None
    return "#" + "".join(f"{low:02x}" for low, _ in bands[:3])


def _is_empty_figure(image: Image.Image) -> bool:
    """Tell whether Matplotlib made this picture with one pair of axes and drew nothing between them."""
    if "matplotlib" not in str(image.info.get("Software", "")).lower():
        return False
    plain = image.convert("RGB")
    dark = plain.convert("L").point(lambda value: 255 if value < 100 else 0)
    # shrunk to one column and to one row, a pixel is a mean; an axis makes its mean larger than half
    rows = _runs(dark.resize((1, dark.height), 4).tobytes())  # 4 is BOX
    columns = _runs(dark.resize((dark.width, 1), 4).tobytes())
    if len(rows) != 2 or len(columns) != 2:
        return False
    edge = 3  # pixels: an axis may be blurred over its neighbours
    box = (columns[0][1] + edge, rows[0][1] + edge, columns[1][0] - edge, rows[1][0] - edge)
    if box[2] - box[0] < 50 or box[3] - box[1] < 50:
        return False
    return all(low == high for low, high in plain.crop(box).getextrema())


def _runs(means: bytes) -> list[tuple[int, int]]:
    """Return the runs of values above half, each as [begin, end)."""
    return [found.span() for found in re.finditer(rb"[\x80-\xff]+", means)]


def svg(file: BinaryIO) -> Wrong | None:
    from xml.etree import ElementTree

    try:
        root = ElementTree.parse(file).getroot()  # noqa: S314 - in a process of its own, with limits
    except ElementTree.ParseError as error:
        return "invalid", f"is not valid XML: {error}."
    if not str(root.tag).endswith("svg"):
        return "invalid", "is not an SVG: its root element is not <svg>."
    for element in root.iter():
        if str(element.tag).rpartition("}")[2] in DRAWN:
            return None
    return "blank", "contains no shape, text or picture: nothing is drawn."


DRAWN = {
    "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "image", "use", "foreignObject",
}  # fmt: skip


# ── data and documents ───────────────────────────────────────────────────────────────────────────────────────────────


def table(file: BinaryIO) -> Wrong | None:
    head = file.read(HEAD_BYTES)
    if len(head) == HEAD_BYTES:
        return None
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    rows = [line for line in text.splitlines() if line.strip(" \t,;|")]
    if not rows:
        return "empty", "has no rows."
    if len(rows) > 1:
        return None
    delimiter = max(",;\t|", key=rows[0].count)
    cells = next(csv.reader([rows[0]], delimiter=delimiter))
    if any(re.fullmatch(r"\s*[-+]?[\d.,]*\d%?\s*", cell) for cell in cells):
        return None  # one row, and no header
    return "no rows", "has a header, but no rows of data."


def jsons(file: BinaryIO) -> Wrong | None:
    return None if WITH_COMMENTS.search(file.name) else _as_json(file.read())


def _as_json(content: bytes) -> Wrong | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        return "invalid", f"is not valid JSON: {_first_line(error)}."
    if value in ({}, [], None, ""):
        return "empty", f"contains only {json.dumps(value)}."
    return None


#: JSON files that may contain comments.
WITH_COMMENTS = re.compile(r"/((ts|js)config[^/]*|devcontainer)\.json\Z")


def json_lines(file: BinaryIO) -> Wrong | None:
    number = 0
    for number, line in enumerate(filter(bytes.strip, file), 1):
        try:
            json.loads(line)
        except (ValueError, RecursionError) as error:
            return "invalid", f"is not valid JSON in line {number}: {_first_line(error)}."
    return None if number else ("empty", "has no lines.")


def notebook(file: BinaryIO) -> Wrong | None:
    content = file.read()
    if (wrong := _as_json(content)) and wrong[0] == "invalid":
        return wrong
    found = json.loads(content)
    cells = found.get("cells") if isinstance(found, dict) else None
    if not isinstance(cells, list):
        return "invalid", "is not a notebook: it has no list of cells."
    if not any(isinstance(cell, dict) and "".join(cell.get("source") or []).strip() for cell in cells):
        return "empty", "is a notebook in which every cell is empty."
    return None


def workbook(file: BinaryIO) -> Wrong | None:
    import sys

    try:
        with zipfile.ZipFile(file) as parts:
            if sum(part.file_size for part in parts.infolist()) > UNPACKED_BYTES:
                return None
    except (zipfile.BadZipFile, EOFError) as error:
        return "invalid", f"is not an Excel workbook: {error}."
    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl imports it if it can, which is slow
    try:
        from openpyxl import load_workbook
    except Exception:
        return None  # the job has broken its own packages
    warnings.simplefilter("ignore")
    try:
        book = load_workbook(file, read_only=True)
        for sheet in book.worksheets:
            for row in sheet.iter_rows(values_only=True):
                if any(cell is not None for cell in row):
                    return None
    except MemoryError:
        return None
    except Exception as error:
        return "invalid", f"cannot be opened as an Excel workbook: {_first_line(error)}."
    return "empty", "is a workbook in which every cell is empty."


def page(file: BinaryIO) -> Wrong | None:
    from html.parser import HTMLParser

    class Page(HTMLParser):
        seen, hidden, styled, named = False, 0, False, False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names = {name for name, _ in attrs}
            self.styled = self.styled or tag in ("style", "link") or "style" in names
            self.named = self.named or (tag not in ("html", "body") and bool(names & {"class", "id", "style"}))
            self.seen = self.seen or tag in SHOWS or (self.styled and self.named)
            self.hidden += tag in HIDES

        def handle_endtag(self, tag: str) -> None:
            self.hidden -= tag in HIDES and self.hidden > 0

        def handle_data(self, data: str) -> None:
            self.seen = self.seen or (not self.hidden and bool(data.strip()))

    found, content = Page(), file.read(SOURCE_BYTES)
    found.feed(content.decode("utf-8", "replace"))
    if len(content) < SOURCE_BYTES:
        found.close()
    return None if found.seen or len(content) == SOURCE_BYTES else ("blank", "shows nothing: it has no visible text.")


#: Elements that show something without text or may create it, and elements whose text is not shown.
SHOWS = {"script", "canvas", "svg", "img", "picture", "video", "audio", "iframe", "object", "embed", "input", "button"}
HIDES = {"title", "style", "template", "noscript"}


def pdf(file: BinaryIO) -> Wrong | None:
    content = file.read()
    if b"%PDF" not in content[:1024]:
        return "invalid", "is not a PDF: it does not begin with %PDF."
    # compressed objects may contain the pages
    if not re.search(rb"/Type\s*/Page\b|/ObjStm\b|/Encrypt\b", content):
        return "empty", "is a PDF without pages."
    return None


def archive(file: BinaryIO) -> Wrong | None:
    try:
        with zipfile.ZipFile(file) as parts:
            return None if parts.namelist() else ("empty", "is an empty archive.")
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        return "invalid", f"cannot be opened as a ZIP archive: {_first_line(error)}."


def tarball(file: BinaryIO) -> Wrong | None:
    import tarfile

    try:
        with tarfile.open(fileobj=file) as tar:
            return ("empty", "is an empty archive.") if tar.next() is None else None
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        return "invalid", f"cannot be opened as a tar archive: {_first_line(error)}."


def compressed(file: BinaryIO) -> Wrong | None:
    import gzip

    try:
        with gzip.open(file) as inner:
            return None if inner.read(1) else ("empty", "is empty when decompressed.")
    except (EOFError, OSError, zlib.error) as error:
        return "invalid", f"cannot be opened as a gzip file: {_first_line(error)}."


def text(file: BinaryIO) -> Wrong | None:
    return None if file.read(HEAD_BYTES).strip() else ("empty", "contains only white space.")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


#: Checks that run a program. The other checks run in a forked process.
PROGRAMS: dict[str, Callable[[BinaryIO, str, float], Wrong | None]] = {
    ".js": javascript, ".mjs": javascript, ".cjs": javascript, ".sh": shell, ".bash": shell,
}  # fmt: skip
CHECKS: dict[str, Callable[[BinaryIO], Wrong | None]] = {
    ".py": python, ".svg": svg, ".csv": table, ".tsv": table, ".json": jsons, ".geojson": jsons, ".jsonl": json_lines,
    ".ndjson": json_lines, ".ipynb": notebook, ".xlsx": workbook, ".xlsm": workbook, ".docx": archive,
    ".pptx": archive, ".html": page, ".htm": page, ".pdf": pdf, ".zip": archive, ".tar": tarball, ".tgz": tarball,
    ".gz": compressed, ".txt": text, ".md": text,
    **dict.fromkeys(thumbnails.SUFFIXES, picture),
}  # fmt: skip
