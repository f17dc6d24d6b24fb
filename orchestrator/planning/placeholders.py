"""How values reach a template's steps: ``{{name}}`` becomes a quoted word in a shell script, a literal in Python code.

Values are put in only where they stay values; a placeholder anywhere else is refused when the template is read.
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
    """The inputs that a source takes in."""
    return set(PLACEHOLDER.findall(source))


def fill_shell(script: str, values: Mapping[str, Value], files: Sequence[str]) -> str:
    """The script with each placeholder as a quoted word, ``{{files}}`` as one word for each file."""

    def word(found: re.Match[str]) -> str:
        if found[1] == FILES:
            return " ".join(shlex.quote(_no_option(name)) for name in files)
        value = values[found[1]]
        return shlex.quote(str(value).lower() if isinstance(value, bool) else str(value))

    return PLACEHOLDER.sub(word, script)


def fill_python(code: str, values: Mapping[str, Value], files: Sequence[str]) -> str:
    """The code with each placeholder as a literal, ``{{files}}`` as a list of strings."""

    def literal(found: re.Match[str]) -> str:
        value = [_no_option(name) for name in files] if found[1] == FILES else values[found[1]]
        # ascii: the same text in any encoding; parentheses: -1 ** 2 is not (-1) ** 2
        return f"({value})" if isinstance(value, int | float) and value < 0 else ascii(value)

    return PLACEHOLDER.sub(literal, code)


def _no_option(name: str) -> str:
    """A file's name that no program takes for an option."""
    return f"./{name}" if name.startswith("-") else name


def check_shell(script: str, known: Collection[str]) -> None:
    """Raise ValueError for a placeholder that is not known, or that stands where quoting would not protect."""
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
    """Raise ValueError for code that does not parse, and for a placeholder that is not known or no expression."""
    _known(code, known)
    count = len(PLACEHOLDER.findall(code))
    name = "placeholder_" + "x" * len(code)  # longer than the code: nothing in it is called so
    try:
        tree = ast.parse(PLACEHOLDER.sub(name, code))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"the code is no Python: {error}") from None
    if sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree)) != count:
        raise ValueError("a placeholder must stand where an expression stands, not in a string or a comment")


def _known(source: str, known: Collection[str]) -> None:
    for name in sorted(names(source) - set(known)):
        raise ValueError(f"{{{{{name}}}}} is none of its inputs ({', '.join(sorted(known)) or 'it has none'})")


def _plain_parts(script: str) -> list[bool]:
    """For each character of a shell script whether it is outside of quotes, comments, here-documents and (( )).

    This knows less of shells than a shell: what it cannot tell, it says to be inside.
    """
    plain = [True] * (len(script) + 1)
    waiting: list[str] = []  # patterns of the last lines of here-documents that begin at the next line
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
    """Whether a text in double quotes is whole: a quote within its ``$( )`` would only seem to end it."""
    return text.count("(") == text.count(")") and text.count("{") == text.count("}") and text.count("`") % 2 == 0


def _after(script: str, mark: str, begin: int, escapes: bool = False) -> int:
    """Where the text goes on after a mark; at its end, where there is none."""
    pattern = rf"(?:\\.|(?!{re.escape(mark)}).)*" if escapes else rf"(?:(?!{re.escape(mark)}).)*"
    found = re.compile(pattern, re.DOTALL).match(script, begin)
    return min(len(script), (found.end() if found else begin) + len(mark))
