"""Finds the steps of a plan whose source does not parse: a child process with the identity of the job's user.

    python -I check_sources.py [alone]

It runs in the users' environment, which has IPython, and cannot import the agent's package. It executes no part of a
source. It parses a large Python source in a child of its own (``alone``), because the parser may crash on it.

stdin:  JSON: [{"number": int, "language": "shell", "cell" or the suffix of a file, "source": text,
        "before": source of the cells before this one in a fresh kernel, or null}]
stdout: JSON: [{"number": int, "line": int, 0 if unknown, "message": text, "text": the line at fault}], at most one for
        each step. A source that cannot be checked in time counts as correct.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from typing import Any, NamedTuple

#: Seconds for all sources, and for one of them.
ALL_SECONDS, ONE_SECONDS = 8.0, 5.0

#: A Python source of at most this many characters cannot overflow the stack: it nests no deeper than it has characters.
SMALL = 10_000

#: Maximum characters of a message and of the line at fault.
MESSAGE, TEXT = 300, 200

#: Signals that end a process after a stack overflow.
CRASHES = (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT)

#: Environment variables that the programs need. Others, such as BASH_ENV and NODE_OPTIONS, could execute code.
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}

#: Names that the kernel defines for each cell.
KERNEL_NAMES = frozenset({"display", "get_ipython", "In", "Out", "exit", "quit", "_", "__"})

BASH_ERROR = re.compile(r"^bash: line (\d+): (.+)", re.MULTILINE)
BASH_SHEBANG = re.compile(r"#!.*\b(ba|da|k)?sh\b")
NODE_ERROR = re.compile(r"^\[stdin\]:(\d+)\n(?:.*\n)*?(SyntaxError: .+)", re.MULTILINE)
NODE_MODULE = re.compile(r"^[ \t]*(import|export)\b", re.MULTILINE)

#: Tools such as TypeScript accept comments in JSON, which the standard does not.
JSON_COMMENT = re.compile(r"^[ \t]*(//|/\*)", re.MULTILINE)


class Late(BaseException):
    """The time limit of one source was reached."""


class Problem(NamedTuple):
    """A syntax error. The line is 0 if it is unknown."""

    line: int
    message: str


def main() -> None:
    warnings.simplefilter("ignore")
    alone = sys.argv[1:] == ["alone"]
    found = []
    signal.signal(signal.SIGALRM, _late)
    deadline = time.monotonic() + ALL_SECONDS
    for step in json.load(sys.stdin):
        seconds = min(ONE_SECONDS, deadline - time.monotonic())
        if seconds <= 0:
            break
        with suppress(Late):
            try:
                signal.setitimer(signal.ITIMER_REAL, seconds)
                problem = check(step, alone)
                if problem:
                    found.append({"number": step["number"], **problem})
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    json.dump(found, sys.stdout)


def _late(*_: object) -> None:
    raise Late


def check(step: dict[str, Any], alone: bool) -> dict[str, Any] | None:
    """Return the first problem of a step's source."""
    source, language = step["source"], step["language"]
    problem: Problem | None = None
    if language in ("cell", ".py"):
        if len(source) > SMALL and not alone:
            return check_alone(step)
        problem = cell(source) if language == "cell" else script(source)
        if problem is None and language == ".py":
            problem = undefined(source)
        elif problem is None and step.get("before") is not None:
            problem = undefined(source, step["before"], KERNEL_NAMES)
    elif language == "shell" or (language in (".sh", ".bash") and (source[:2] != "#!" or BASH_SHEBANG.match(source))):
        problem = bash(source) or inline(source)
    elif language in (".js", ".mjs", ".cjs"):
        problem = javascript(source, language)
    elif language == ".json":
        problem = document(source)
    if problem is None:
        return None
    text = line_of(source, problem.line)[:TEXT]
    return {"line": problem.line, "message": problem.message[:MESSAGE], "text": text}


def line_of(source: str, number: int) -> str:
    lines = re.split(r"\r\n|\r|\n", source)
    return lines[number - 1] if 0 < number <= len(lines) else ""


def check_alone(step: dict[str, Any]) -> dict[str, Any] | None:
    """Check a source in a separate process, because the parser may crash on it."""
    done = run([sys.executable, "-I", __file__, "alone"], json.dumps([step]))
    if done is None:
        return None
    if done.returncode in CRASHES:
        return {"line": 0, "message": "Python crashes on this source: it is too complex to parse.", "text": ""}
    try:
        return next(iter(json.loads(done.stdout)), None)
    except ValueError:
        return None  # it was killed from outside


def cell(source: str) -> Problem | None:
    """Parse Python as the kernel does: with top-level ``await`` and IPython's syntax."""
    plain = parsed(source, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if plain is None or not plain.line:
        return plain
    try:
        from IPython.core.alias import default_aliases
        from IPython.core.inputtransformer2 import TransformerManager, leading_empty_lines
        from IPython.core.magics import BUILTIN_LAZY_MAGICS
    except Exception:
        return None  # a step may have changed the environment
    if len(source.strip().splitlines()) == 1:  # the kernel accepts "pip install …" and "ls" as magics without a %
        aliases = {name for name, _ in default_aliases()}
        if source.split()[0] in aliases | BUILTIN_LAZY_MAGICS["line"].keys():
            return None
    manager = TransformerManager()
    manager.cleanup_transforms.remove(leading_empty_lines)  # lines keep their numbers
    try:
        problem = parsed(manager.transform_cell(source), ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except Exception as error:
        problem = problem_of(error)
    if problem is None:
        return None
    line = line_of(source, plain.line).strip()
    with suppress(Exception):
        if manager.transform_cell(line).strip() == line:  # otherwise Python stopped at a magic before the end
            return plain
    return problem


def script(source: str) -> Problem | None:
    """Parse a Python file. It may begin with a byte order mark or a declared encoding."""
    return parsed(source.encode("utf-8", "surrogatepass"), 0)


def undefined(source: str, before: str = "", known: frozenset[str] = frozenset()) -> Problem | None:
    """Find undefined names, because small models forget imports. ``before`` runs before the source."""
    try:
        from pyflakes.checker import Checker
        from pyflakes.messages import UndefinedName

        messages = Checker(ast.parse(f"{before}\n{source}" if before else source), "source", builtins=known).messages
    except Exception:
        return None  # a step may have changed the environment, or a cell has magics
    skip = before.count("\n") + 1 if before else 0
    missing = [
        (message.lineno - skip, str(message.message_args[0]))
        for message in messages
        if type(message) is UndefinedName and message.lineno > skip
    ]
    if not missing:
        return None
    names = ", ".join(dict.fromkeys(name for _, name in sorted(missing)))
    return Problem(min(missing)[0], f"NameError: not defined: {names}. Import or define it.")


def parsed(source: str | bytes, flags: int) -> Problem | None:
    try:
        compile(source, "source", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        return problem_of(error)
    return None


def problem_of(error: Exception) -> Problem | None:
    if isinstance(error, SyntaxError):
        return Problem(error.lineno or 0, f"{type(error).__name__}: {error.msg}")
    if isinstance(error, MemoryError) and not str(error):
        return None  # the container is short of memory; the parser's own limit has a message
    return Problem(0, f"{type(error).__name__}: {error}")


def bash(source: str) -> Problem | None:
    """Parse a shell script with bash. Extended patterns parse only with the option that the script itself would set."""
    options = ["-O", "extglob"] if "extglob" in source else []
    done = run(["bash", "--noprofile", "--norc", *options, "-n"], source)
    told = BASH_ERROR.search(done.stderr) if done and done.returncode else None
    return Problem(int(told[1]), told[2]) if told else None


def inline(source: str) -> Problem | None:
    """Parse the programs of ``python -c`` in a script. Models often put a whole ``with`` block on one line."""
    if "python" not in source or len(source) > SMALL:
        return None
    try:
        words = shlex.split(source, comments=True)
    except ValueError:
        return None
    for command, option, code in zip(words, words[1:], words[2:], strict=False):
        if command in ("python", "python3") and option == "-c" and "$" not in code and (problem := script(code)):
            at = source.count("\n", 0, max(0, source.find(code.split("\n")[0][:20]))) + 1
            return Problem(at, f"in python -c: {problem.message}")
    return None


def javascript(source: str, suffix: str) -> Problem | None:
    """Parse JavaScript with Node.js. A ``.js`` file may be a script or a module."""
    likely = "module" if suffix == ".mjs" or (suffix == ".js" and NODE_MODULE.search(source)) else "commonjs"
    other = "commonjs" if likely == "module" else "module"
    first: Problem | None = None
    for kind in (likely, other) if suffix == ".js" else (likely,):
        done = run(["node", f"--input-type={kind}", "--check", "-"], source)
        told = NODE_ERROR.search(done.stderr) if done and done.returncode else None
        if told is None:
            return None
        first = first or Problem(int(told[1]), told[2])
    # many projects have JSX in .js files
    return None if first and suffix == ".js" and "Unexpected token '<'" in first.message else first


def document(source: str) -> Problem | None:
    try:
        json.loads(source)
    except json.JSONDecodeError as error:
        return None if JSON_COMMENT.search(source) else Problem(error.lineno, f"{error.msg} (column {error.colno})")
    except (ValueError, RecursionError):
        pass  # Python's own limits forbid this number or depth
    return None


def run(command: list[str], text: str) -> subprocess.CompletedProcess[str] | None:
    """Run a program with a text as its input. Returns None if it could not start."""
    with open(os.memfd_create("source"), "w+b") as file:  # bash reads a pipe byte by byte
        file.write(text.encode("utf-8", "surrogatepass"))
        file.seek(0)
        try:
            return subprocess.run(
                command,
                stdin=file,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=ENVIRONMENT,
            )
        except OSError:
            return None


if __name__ == "__main__":
    main()
