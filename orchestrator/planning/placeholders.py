"""Inserts values into a template's steps. ``{{name}}`` becomes a quoted word in a shell script, or a literal in Python
code.

A placeholder is allowed only where the inserted value cannot become code. All others are refused when the template is
read.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Collection, Mapping, Sequence

from orchestrator.planning.template_inputs import Value

PLACEHOLDER = re.compile(r"\{\{ *(\w+) *\}\}")

#: The placeholder for the names of the input files.
FILES = "files"

HERE_DOCUMENT = re.compile(r"<<(-?)[ \t]*(['\"]?)([\w.-]+)\2(?=[\s;|&)<>]|$)")


def names(source: str) -> set[str]:
    """Return the inputs that a source uses."""
    return set(PLACEHOLDER.findall(source))


def fill_shell(script: str, values: Mapping[str, Value], files: Sequence[str]) -> str:
    """Fill in a script: each placeholder becomes a quoted word, ``{{files}}`` one word per file."""

    def word(found: re.Match[str]) -> str:
        if found[1] == FILES:
            return " ".join(shlex.quote(_no_option(name)) for name in files)
        value = values[found[1]]
        return shlex.quote(str(value).lower() if isinstance(value, bool) else str(value))

    return PLACEHOLDER.sub(word, script)


def fill_python(code: str, values: Mapping[str, Value], files: Sequence[str]) -> str:
    """Fill in code: each placeholder becomes a literal, ``{{files}}`` a list of strings."""

    def literal(found: re.Match[str]) -> str:
        value = [_no_option(name) for name in files] if found[1] == FILES else values[found[1]]
        # ascii() gives the same text in any encoding. The parentheses are for negative numbers: -1 ** 2 is not (-1) **
        # 2.
        return f"({value})" if isinstance(value, int | float) and value < 0 else ascii(value)

    return PLACEHOLDER.sub(literal, code)


def _no_option(name: str) -> str:
    """Return a file name that programs cannot mistake for an option."""
    return f"./{name}" if name.startswith("-") else name


def check_shell(script: str, known: Collection[str]) -> None:
    """Raise ValueError for an unknown placeholder, or for one in a place that quoting does not protect."""
    _known(script, known)
    plain = _plain_parts(script)
    for found in PLACEHOLDER.finditer(script):
        if not plain[found.start()] or script[: found.start()].endswith(("$", "\\")):
            raise ValueError(
                f"{found[0]} must stand outside of quotes, comments, here-documents and (( )): it becomes a quoted word"
            )
        around = script[: found.start()][-1:] + script[found.end() :][:1]
        if found[1] == FILES and around.strip(" \t\n;|&()<>"):
            raise ValueError(f"{found[0]} must stand alone, between spaces: it becomes one word for each file")


def check_python(code: str, known: Collection[str]) -> None:
    """Raise ValueError for invalid Python, an unknown placeholder, or a placeholder that is not an expression."""
    _known(code, known)
    count = len(PLACEHOLDER.findall(code))
    name = "placeholder_" + "x" * len(code)  # longer than the code, so that it cannot clash with a name in it
    try:
        tree = ast.parse(PLACEHOLDER.sub(name, code))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"the code is not valid Python: {error}") from None
    if sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree)) != count:
        raise ValueError("a placeholder must be an expression, not part of a string or a comment")


def _known(source: str, known: Collection[str]) -> None:
    for name in sorted(names(source) - set(known)):
        raise ValueError(
            f"{{{{{name}}}}} is not an input of the template ({', '.join(sorted(known)) or 'it has none'})"
        )


def _plain_parts(script: str) -> list[bool]:
    """Return for each character whether it is outside of quotes, comments, here-documents and (( )).

    This is not a full shell parser. If it cannot tell, it answers inside.
    """
    plain = [True] * (len(script) + 1)
    waiting: list[str] = []  # end patterns of the here-documents that begin on the next line
    at, dollar = 0, False
    while at < len(script):
        character, end = script[at], at + 1
        if character == "\\":
            end = at + 2
        elif character == "'":
            end = _after(script, "'", at + 1, escapes=dollar)
        elif character == '"':
            end = _after(script, '"', at + 1, escapes=True)
            if not _balanced(script[at:end]):
                end = len(script)
        elif character == "#" and (at == 0 or script[at - 1] in " \t\n;|&()"):
            end = _after(script, "\n", at) - 1
        elif script.startswith("((", at):
            end = _after(script, "))", at)
        elif script.startswith("<<<", at):
            at += 3
            continue
        elif script.startswith("<<", at):
            found = HERE_DOCUMENT.match(script, at)
            if found:
                waiting.append(("^\t*" if found[1] else "^") + re.escape(found[3]) + "$")
            end = found.end() if found else len(script)
        elif character == "\n" and waiting:
            for mark in waiting:
                line = re.compile(mark, re.MULTILINE).search(script, end)
                end = line.end() if line else len(script)
            waiting = []
        end = max(end, at + 1)
        if end > at + 1:
            plain[at:end] = [False] * (end - at)
        dollar = character == "$"
        at = end
    return plain


def _balanced(text: str) -> bool:
    """Return whether a double-quoted text ends here. A quote inside its ``$( )`` must not end it."""
    return text.count("(") == text.count(")") and text.count("{") == text.count("}") and text.count("`") % 2 == 0


def _after(script: str, mark: str, begin: int, escapes: bool = False) -> int:
    """Return the position after a mark, or the end of the text if there is no mark."""
    pattern = rf"(?:\\.|(?!{re.escape(mark)}).)*" if escapes else rf"(?:(?!{re.escape(mark)}).)*"
    found = re.compile(pattern, re.DOTALL).match(script, begin)
    return min(len(script), (found.end() if found else begin) + len(mark))
