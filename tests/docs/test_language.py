"""The texts are plain English: short sentences, a named actor, and none of the riddles that they once had.

The lint is cheap on purpose. It knows phrases and a few shapes of sentences. It reads the texts for users: README,
docs/, CHANGELOG, the OpenAPI document, `.env.example`, `make help`, and the templates' descriptions. It also reads the
code's docstrings, comments, errors and log lines.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.system import ROOT, System

#: Words of a sentence, at most. Write for 25; a list of names may need more.
MOST_WORDS = 35

#: What a sentence must not have, with the reason. Each is searched in one sentence, with code and links taken out.
RIDDLES = {
    r"^Who\b(?!.*\?$)|[;:] who\b|\bwho (?:has|looks|calls|asks|reads|comes)\b(?=.* (?:gets|is|are|hears|has)\b)":
        "name the actor instead of who",
    r"\bwhoever\b|\bwhom\b": "name the actor instead of whoever and whom",
    r"^What\b(?!.*\?$)|[;:] what\b": "a sentence does not begin with a clause of what",
    r"\b(?:of|with|from|than|by) what (?:is|are|was|has|have|had|can|may|came|comes)\b": "name it instead of what",
    r"\b(?:one|ones|that|those) (?:that|who)\b|\bthat one(?= (?:is|has|gets|does|was|can)\b|[.,;])|\bto such\b(?! an )":
        "repeat the noun instead of one",
    r"\b(?:he|him|his|himself|she|her)\b": "a process or a client is no person",
    r"\b(?:some|any|no)body\b": "name the actor instead of somebody and nobody",
    r"^It is (?:the|an?) \w+ (?:that|which|who)\b": "say it directly instead of: it is … that",
    r"\bwhere (?:there (?:is|are) (?:none|no)|none is|nothing|that is|it is not|(?:it|this|that) cannot)\b":
        "a condition begins with if",
    r"\b(?:told of|is such|are such|came of it|comes of it)\b": "say what happens",
    r"\banew\b|\bso (?:does|do|is|are) (?:it|one)\b": "use the plain word, such as again",
    r"^(?:Nor|Neither) (?:do|does|is|are|can|will|has|have)\b": "begin with the subject",
    r"\b(?:no|none|nothing) \w+ but\b": "say what there is instead of nothing but",
    r"\bholds? up\b.*\bby its form\b|\bends no job\b|\bwithout (?:an )?end\b": "say what happens to it",
    r"(?<!there )\bis no (?:HTTP|JSON|file|text|glob)\b": "say what it is not",
}  # fmt: skip


# ── finding sentences ────────────────────────────────────────────────────────────────────────────────────────────────


def plain(text: str) -> str:
    """Text without Markdown's marks: code is one word, a link is its text."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"[\w/.-]+\.md\b", "PAGE", text)
    text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "CODE", text)
    return " ".join(re.sub(r"\*\*|(?<!\w)[*_]|[*_](?!\w)", "", text).split())


def sentences(text: str) -> list[str]:
    found = re.split(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]?[A-Z0-9\N{LATIN CAPITAL LETTER A WITH DIAERESIS}])", plain(text))
    return [sentence.strip() for sentence in found if re.search(r"[a-z]", sentence)]


def blocks(markdown: str) -> Iterator[str]:
    """The paragraphs, items of lists and cells of tables; without headings, code and diagrams."""
    paragraph: list[str] = []
    fence = ""
    for line in [*markdown.splitlines(), ""]:
        stripped = line.strip()
        mark = re.match(r"`{3,}", stripped)
        if fence:
            fence = "" if stripped == fence else fence
            continue
        begins = bool(mark) or not stripped or re.match(r"[-*] |\d+\. |[|#>]", stripped) is not None
        if begins and paragraph:
            yield " ".join(paragraph)
            paragraph = []
        if mark:
            fence = mark[0]
        elif stripped.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", stripped.strip("|"))]
            yield from (cell for cell in cells if not re.fullmatch(r"[-: ]*", cell))
        elif stripped and not stripped.startswith("#"):
            paragraph.append(re.sub(r"^(?:[-*]|\d+\.|>) ", "", stripped))


def described(value: Any) -> Iterator[str]:
    """All that an OpenAPI document says in words."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("summary", "description") and isinstance(inner, str):
                yield from blocks(inner)
            elif name not in ("example", "examples", "default"):
                yield from described(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from described(inner)


def comments(name: str) -> Iterator[str]:
    """The comments of a file, each block of lines as one text."""
    text = (ROOT / name).read_text()
    for block in re.findall(r"(?:^[ \t]*#(?!!).*\n)+", text, re.MULTILINE):
        yield " ".join(line.strip().lstrip("# ") for line in block.splitlines())
    yield from re.findall(r"\S[ \t]+# (.+)$", text, re.MULTILINE)


#: Comments for tools, and headings of sections.
NO_SENTENCE = re.compile(r"#!|#+:? ?(?:noqa|type:|fmt:|pragma|──)")

#: Calls whose texts users or operators read, beside all errors that are raised.
SPEAKING = {"Finding", "print", "debug", "info", "warning", "error", "exception"}


def of_code(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the docstrings, comments, errors and log lines of a Python file, each with its line."""
    source = path.read_text()
    last = (0, 0)
    block: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not NO_SENTENCE.match(token.string):
            if (token.start[0] - 1, token.start[1]) != last and block:
                yield block[0][0], " ".join(text for _, text in block)
                block = []
            last = token.start
            block.append((token.start[0], token.string.lstrip("#: ")))
    if block:
        yield block[0][0], " ".join(text for _, text in block)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # indented lines and tables show formats
            lines = (ast.get_docstring(node) or "").splitlines()
            said = "\n".join("" if re.search(r"^ {2,}|\S {2,}\S", line) else line for line in lines)
            yield from ((getattr(node, "lineno", 1), block) for block in blocks(said))
        elif isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _name(node.func) in SPEAKING):
            yield from ((node.lineno, text) for text in _strings(node))


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _strings(node: ast.AST) -> Iterator[str]:
    """Yield the strings below a node. A value in an f-string is one word."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "`x`" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from _strings(child)


def wrong(text: str) -> list[str]:
    """What is wrong with a text, with the sentence."""
    found = []
    for sentence in sentences(text):
        words = len(re.findall(r"[\w'’]+(?:[-./][\w'’]+)*", sentence))
        if words > MOST_WORDS:
            found.append(f"{words} words: {sentence}")
        for shape, instead in RIDDLES.items():
            if match := re.search(shape, sentence, re.IGNORECASE if not shape.startswith("^") else 0):
                found.append(f"{match[0]!r} ({instead}): {sentence}")
    return found


# ── the lint ─────────────────────────────────────────────────────────────────────────────────────────────────────────

PAGES = sorted(["README.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_are_plain_english(page: str) -> None:
    text = (ROOT / page).read_text()
    if page == "docs/skill.md":  # its tables have the words of programs
        text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    found = [line for block in blocks(text) for line in wrong(block)]
    assert not found, "\n".join(found)


def test_the_openapi_document_is_plain_english(parked: System) -> None:
    texts = dict.fromkeys(described(parked.http.get("/openapi.json").json()))
    assert len(texts) > 100
    found = [line for text in texts for line in wrong(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", [".env.example", "docker-compose.yml"])
def test_the_comments_of_the_settings_and_of_compose_are_plain_english(name: str) -> None:
    texts = list(comments(name))
    assert len(texts) > 10
    found = [line for text in texts for line in wrong(text)]
    assert not found, "\n".join(found)


def test_make_help_is_plain_english() -> None:
    texts = re.findall(r"^[a-z-]+:.*## (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(texts) > 8
    assert not [line for text in texts for line in wrong(text)]


def test_templates_speak_of_themselves_in_plain_english() -> None:
    texts = []
    for path in sorted((ROOT / "templates").glob("*/template.toml")):
        read = tomllib.loads(path.read_text())
        texts += [read["about"], read.get("files", {}).get("about", "")]
        texts += [kind["about"] for kind in read.get("inputs", {}).values()]
    assert len(texts) > 20
    assert not [line for text in texts for line in wrong(text)]


CODE = sorted(
    str(path.relative_to(ROOT))
    for folder in ("agent", "bench", "orchestrator", "protocol", "scripts", "skill", "templates")
    for path in (ROOT / folder).rglob("*.py")
)


def test_docstrings_comments_and_errors_are_plain_english() -> None:
    assert len(CODE) > 100
    found = [
        f"{name}:{number}: {line}" for name in CODE for number, text in of_code(ROOT / name) for line in wrong(text)
    ]
    assert not found, "\n".join(found)


def test_a_function_s_docstring_says_what_the_function_does() -> None:
    found = []
    for name in CODE:
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list:
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                if re.match(r"(?:Whether|What|Who|Where|Why|How|The|As|So|Of|Its?)\b", first):
                    found.append(f"{name}:{node.lineno}: begin with a verb: {first}")
    assert not found, "\n".join(found)


def test_the_texts_of_code_are_found(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        '"""One.\n\n    format of input\n\nTwo.\n"""\n'
        '#: Three,\n#: four.\nA = "no"  # Five.\n# noqa: ERA001\n\n\n'
        'def f(x):\n    """Six."""\n    log.info("seven %s", x)\n    raise ValueError(f"eight {x}: " "nine")\n'
    )
    assert sorted(of_code(tmp_path / "code.py")) == [
        (1, "One."), (1, "Two."), (7, "Three, four."), (9, "Five."), (13, "Six."), (15, "seven %s"),
        (16, "eight `x`: nine"),
    ]  # fmt: skip


# ── what the lint finds, and what it lets pass ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "sentence",
    [
        "who has that one gets a 204",
        "a folder is one with files, a link one to such",
        "Whoever looks is a short-lived process.",
        "Who watches comes through the gateway.",
        "An answer that the model does not give ends no job that your own check has passed.",
        "One that the model does not answer ends no job that your own `check` has passed.",
        "What is no HTTP, or two readings of it, is refused.",
        "What never ends is cut off.",
        "No answer of a model and no prompt holds up the orchestrator by its form.",
        "Into job X nobody can look now.",
        "Who has no such token is not read: what he sends meets a closed connection.",
        "The views have links, made anew for each who asks.",
        "Nor does it answer one put together of two.",
        "A container holds no folder but its own.",
        "The page asks again where there is none.",
        "The engine may be away; what waits then is started later.",
        "It is the kernel that decides.",
        "The disk hangs, and the health check is told of it.",
        "The manifest is made of what is left.",
        "A " + "very " * 35 + "long sentence.",
    ],
)
def test_the_lint_finds_riddles(sentence: str) -> None:
    assert wrong(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "After the final event, reconnecting returns 204.",
        "A folder counts if it contains files; a symlink counts if its target does.",
        "A short-lived process in the sandbox reads the file.",
        "Open pages reconnect to the current kernel.",
        "If no file was lost, the job still counts as completed.",
        "If the review gets no answer, a job whose check passed still completes.",
        "Minimum free disk space. Below it, old results are deleted and new jobs wait.",
        "Malformed or ambiguous HTTP is rejected.",
        "Fixed: long runs of blanks in a prompt or answer could stall the orchestrator.",
        "The files of job X are temporarily unavailable; try again.",
        "What leaves the machine?",
        "The page says so.",
        "The report says what was asked, what was done, and how to run the job again.",
        "Post `{\"who\": 1}` where `he` is the name of a file.",
    ],
)  # fmt: skip
def test_the_lint_lets_plain_english_pass(sentence: str) -> None:
    assert not wrong(sentence)


def test_code_tables_and_lists_are_taken_apart() -> None:
    page = "# Who\n\nOne two.\nThree.\n\n- a b\n  c\n- d\n\n```\nwho\n```\n\n| x | y |\n|---|---|\n| `a` | b c. D. |\n"
    assert list(blocks(page)) == ["One two. Three.", "a b c", "d", "x", "y", "`a`", "b c. D."]
    assert sentences("One `a.b c` is 2.5 here. [Two](x.md) follow.") == ["One CODE is 2.5 here.", "Two follow."]
