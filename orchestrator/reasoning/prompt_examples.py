"""Finds the examples of a prompt: calls with their results, such as ``>>> f(2)`` or "f(2) returns 4".

An example in a prompt is a test. The agent runs it when a file defines the functions.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from protocol import messages

#: Maximum number of examples from a prompt, and maximum characters of an example and of the searched prompt.
MOST, LONGEST, LOOKED_AT = 20, 600, 40_000

#: Text between a call and its result in a sentence.
_SAYS = re.compile(
    r"`?\s*(?:#\s*)?(?:-+>|=+>|→|➞|⇒|==|=|(?:(?:should|must|will|would)\s+)?"
    r"(?P<verb>returns?|gives?|be|equals?|yields?|evaluates\s+to|is|raises?)\b)\s*:?\s*(?:an?\s+)?`?"
)
_CALL = re.compile(r"(?<![\w.'\"])(?P<name>[A-Za-z_]\w*)\(")
_DEFINES = re.compile(r"(?:def|class|function)\s+$")

#: Text that may follow a result in a sentence. Anything else would make "returns 3 items" an example.
_AFTER = re.compile(r"`?\s*(?:$|[.,;)#]|(?:and|but|because|since|as|while|whereas|for|when|if|not|or)\b)")
_NEXT = re.compile(r'>>>|assert |"""|\'\'\'|```|~~~')
_PRINTS = re.compile(r"print\((.+)\)", re.DOTALL)
_ERROR = re.compile(r"[A-Z]\w*(?:Error|Exception|Interrupt|Iteration|Exit)\b")

_BUILTIN = frozenset(dir(__builtins__) if not isinstance(__builtins__, dict) else __builtins__)
_PLAIN = (ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop,
          ast.expr_context, ast.keyword, ast.Call, ast.Name, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop,
          ast.Subscript, ast.Slice, ast.Starred)  # fmt: skip


def examples_of(prompt: str) -> list[messages.Example]:
    """Return the examples of a prompt, each once, in order."""
    found: dict[tuple[str, str], messages.Example] = {}
    lines = prompt[:LOOKED_AT].splitlines()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the prompt may contain code that Python only warns about
        for example in (*_sessions(lines), *_asserts(lines), *_sentences(lines)):
            found.setdefault((example.call, example.result), example)
            if len(found) == MOST:
                break
    return list(found.values())


def _sessions(lines: list[str]) -> Iterator[messages.Example]:
    """Yield the calls of a Python session: ``>>> call`` and its result on the next lines."""
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        at += 1
        if not line.startswith(">>>"):
            continue
        source = [line[3:].strip()]
        while at < len(lines) and lines[at].strip().startswith("..."):
            source.append(lines[at].strip()[3:].removeprefix(" "))
            at += 1
        shown = []
        while at < len(lines) and (told := lines[at].strip()) and not _NEXT.match(told):
            shown.append(told)
            at += 1
        call, result = "\n".join(source), "\n".join(shown).removesuffix('"""').removesuffix("'''").strip()
        if shown[:1] and shown[0].startswith("Traceback"):
            result = shown[-1].split(":")[0].rsplit(".", 1)[-1]
        if not result and (one := next(_sentences([call]), None)):  # ">>> f(2) -> 4"
            yield messages.Example(one.call, one.result, one.names, True)
            continue
        if (printed := _PRINTS.fullmatch(call)) and _names(f"str({printed[1]})"):
            call, result = f"str({printed[1]})", repr(result)
        if result and (names := _names(call)) and _is_result(result):
            yield messages.Example(call, result, names, True)


def _asserts(lines: list[str]) -> Iterator[messages.Example]:
    """Yield the ``assert`` lines."""
    for line in lines:
        source = line.strip().strip("`")
        if source.startswith("assert ") and (names := _names(source)):
            yield messages.Example(source, "", names, True)


def _sentences(lines: list[str]) -> Iterator[messages.Example]:
    """Yield calls in sentences that state the result on the same line."""
    for line in lines:
        if line.strip().startswith((">>>", "assert ")):
            continue
        for match in _CALL.finditer(line):
            if _DEFINES.search(line, 0, match.start()):
                continue
            call = _call_at(line, match.start())
            names = _names(call) if call else []
            says = _SAYS.match(line, match.start() + len(call)) if names else None
            result = _result_at(line[says.end() :], says["verb"] or "") if says else ""
            if result:
                yield messages.Example(call, result, names, False)


def _call_at(line: str, start: int) -> str:
    """Return the call that begins here, up to the first bracket that closes it."""
    end = start
    for _ in range(60):
        end = line.find(")", end) + 1
        if not end or end - start > LONGEST:
            return ""
        if _expression(line[start:end]) is not None:
            return line[start:end]
    return ""


def _result_at(rest: str, verb: str) -> str:
    """Return the value at the start of a text: the longest one after which the sentence ends or continues."""
    if verb.startswith("raise"):
        error = _ERROR.match(rest)
        return error[0] if error else ""
    best = ""
    for end in _ends(rest[:LONGEST]):
        value = rest[:end].strip()
        if value and value[-1] not in ",." and _is_literal(value) and _AFTER.match(rest, end):
            best = value
    if not best and (error := _ERROR.match(rest)):
        return error[0]
    return best


def _ends(text: str) -> Iterator[int]:
    """Yield positions at which a value may end."""
    for end in range(1, min(len(text), LONGEST) + 1):
        if end == len(text) or (text[end - 1].isalnum() != text[end].isalnum()) or not text[end].isalnum():
            yield end


def _names(source: str) -> list[str]:
    """Return the functions that an example calls and that the job must define. Empty if the example cannot run."""
    try:
        tree = ast.parse(source[:LONGEST])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    if len(tree.body) != 1 or len(source) > LONGEST:
        return []
    top = tree.body[0]
    value = top.value if isinstance(top, ast.Expr) else top.test if isinstance(top, ast.Assert) else None
    if value is None or not all(isinstance(node, _PLAIN) for node in ast.walk(value)):
        return []
    called = [
        node.func.id for node in ast.walk(value) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    others = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)} - set(called) - _BUILTIN
    plain = all(isinstance(node.func, ast.Name) for node in ast.walk(value) if isinstance(node, ast.Call))
    return [] if others or not plain else sorted({name for name in called if name not in _BUILTIN})


def _expression(source: str) -> ast.expr | None:
    try:
        return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return False
    return True


def _is_result(text: str) -> bool:
    return len(text) <= LONGEST and (_is_literal(text) or _ERROR.fullmatch(text) is not None)
