"""Tries the examples of a prompt, and tests, in a child process with the identity of the job's user.

    python -I try_examples.py

The child runs in the users' environment, and cannot import the agent's package. It runs the job's code, as a step does.

stdin:  JSON: {"root": folder, "seconds": number, "tests": [path of an uploaded test file that must pass],
        "tried_tests": {path of a test file that the job made: the file that it tests},
        "examples": [{"call": expression or ``assert``, "result": its value or the name of an error,
        "names": [function that it calls]}]}
stdout: JSON: [{"path": file, "ok": bool, "detail": sentence after the path, "example": number, TEST or WEAK}].
        An example without a file that defines its functions has no entry.

A test file that the job made is tried with functions that are wrong on purpose. At least one test must then fail.
"""

from __future__ import annotations

import ast
import contextlib
import json
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from typing import Any

#: Maximum number of files examined, and maximum bytes of a file.
FILES, SOURCE_BYTES = 50, 1 << 20

#: Maximum seconds for an example, and for a test file.
EXAMPLE_SECONDS, TEST_SECONDS = 3.0, 20.0

#: Maximum bytes of memory for the process that tries a file, and maximum characters of a reported value.
MEMORY, SHOWN = 1 << 30, 200

#: The place of an example's number in a verdict on an uploaded test, and on a test file that the job made.
TEST, WEAK = -1, -2

#: Module statements with an effect, such as a call of ``main()``. ``load`` skips them, because the job has run them.
DOING = (ast.Expr, ast.For, ast.While, ast.With, ast.If, ast.Assert, ast.Delete, ast.Raise)


class Late(BaseException):
    """The time limit of one example was reached."""


def main() -> None:
    if sys.argv[1:] == ["file"]:
        try_file()
        return
    request = json.load(sys.stdin)
    os.chdir(request["root"])
    deadline = time.monotonic() + request["seconds"]
    found: list[dict[str, Any]] = []
    for path in request["tests"]:
        if (left := deadline - time.monotonic()) > 0:
            found += run_tests(path, min(left, TEST_SECONDS))
    for path, tested in request["tried_tests"].items():
        found += try_tests(path, tested, deadline)
    defined = [(path, names_in(path)) for path in sources()] if request["examples"] else []
    groups: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, example in enumerate(request["examples"]):
        wanted = set(example["names"])
        path = next((path for path, names in defined if wanted <= names), "")
        if path:
            groups.setdefault(path, []).append((number, example))
    for path, examples in groups.items():
        if (left := deadline - time.monotonic()) > 0:
            found += tried(path, examples, left)
    json.dump(found, sys.stdout)


def sources() -> list[str]:
    """Return the Python files of the folder, newest first, tests last."""
    there = [entry for entry in os.scandir(".") if entry.name.endswith(".py") and entry.is_file(follow_symlinks=False)]
    there.sort(key=lambda entry: (entry.name.startswith("test"), -entry.stat().st_mtime_ns, entry.name))
    return [entry.name for entry in there[:FILES]]


def parsed(path: str) -> ast.Module | None:
    try:
        with open(path, "rb") as file:
            return ast.parse(file.read(SOURCE_BYTES))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def names_in(path: str) -> set[str]:
    """Return the functions and classes that a file defines."""
    tree = parsed(path)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)} if tree else set()


def tried(path: str, examples: list[tuple[int, dict[str, Any]]], seconds: float) -> list[dict[str, Any]]:
    """Try examples on one file in a separate process."""
    command = [sys.executable, "-I", "-B", __file__, "file"]
    request = json.dumps({"path": path, "examples": examples})
    try:
        done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=seconds)
        told = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return []  # no verdict: the process exited or took too long
    return [{"path": path, **one} for one in told]


def try_file() -> None:
    """Try examples on one file. Write the verdicts to standard output, and drop the code's own output."""
    request = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out, nowhere = os.dup(1), os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    signal.signal(signal.SIGALRM, late)
    sys.path.insert(0, os.getcwd())
    module = types.ModuleType(request["path"].removesuffix(".py"))
    module.__file__ = request["path"]
    sys.modules[module.__name__] = module
    told: list[dict[str, Any]] = []
    if wrong := load(module, request["path"]):
        told = [{"example": request["examples"][0][0], "ok": False, "detail": wrong}]
    else:
        for number, example in request["examples"]:
            wrong = attempt(example, vars(module))
            told.append({"example": number, "ok": not wrong, "detail": wrong or f"{shown(example['call'])} is right."})
    os.write(out, json.dumps(told).encode())
    os._exit(0)  # without the job's threads and exit handlers


def load(module: types.ModuleType, path: str) -> str:
    """Execute a file's definitions. Returns the error, or an empty text."""
    tree = parsed(path)
    assert tree is not None  # noqa: S101 - see names_in
    tree.body = [node for node in tree.body if not isinstance(node, DOING)]
    try:
        with limited(EXAMPLE_SECONDS):
            exec(compile(tree, path, "exec", dont_inherit=True), vars(module))  # noqa: S102 - that is what it is for
    except Late:
        return f"cannot be imported within {EXAMPLE_SECONDS:g} s."
    except BaseException as error:
        return f"cannot be imported: {named(error)}."
    return ""


def attempt(example: dict[str, Any], names: dict[str, Any]) -> str:
    """Try one example. Returns the fault, or an empty text."""
    call, result = example["call"], example["result"]
    says = f"the request says {result}"
    try:
        with limited(EXAMPLE_SECONDS):
            if call.startswith("assert "):
                return attempt_assert(call, names)
            value = eval(call, names)  # noqa: S307 - that is what it is for
            if is_error(result):
                return f"{shown(call)} gives {shown_value(value)}, but {says.replace('says', 'wants')}."
            return (
                ""
                if same(value, ast.literal_eval(result))
                else f"{shown(call)} gives {shown_value(value)}, but {says}."
            )
    except Late:
        return f"{shown(call)} does not end within {EXAMPLE_SECONDS:g} s."
    except BaseException as error:
        if is_error(result) and result in {kind.__name__ for kind in type(error).__mro__}:
            return ""
        return f"{shown(call)} raises {named(error)}" + (f", but {says}." if result else ".")


def attempt_assert(source: str, names: dict[str, Any]) -> str:
    """Try an ``assert``. For a failed comparison, report the left side's value."""
    test = ast.parse(source).body[0]
    assert isinstance(test, ast.Assert)  # noqa: S101 - see the caller
    if eval(compile(ast.Expression(test.test), "assert", "eval"), names):  # noqa: S307
        return ""
    said = f"`{shown(source)}` fails"
    if isinstance(test.test, ast.Compare):
        left = ast.unparse(test.test.left)
        with contextlib.suppress(Exception):
            value = eval(left, names)  # noqa: S307
            if isinstance(value, float) and len(test.test.ops) == 1 and isinstance(test.test.ops[0], ast.Eq):
                other = eval(ast.unparse(test.test.comparators[0]), names)  # noqa: S307
                if same(value, other):
                    return ""
            said += f": {shown(left)} gives {shown_value(value)}"
    return f"{said}."


def same(value: Any, expected: Any) -> bool:
    """Tell whether two values are equal. Floats may differ by rounding."""
    if isinstance(value, float) or isinstance(expected, float):
        with contextlib.suppress(TypeError, ValueError):
            return math.isclose(value, expected, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(value, (list, tuple)) and type(value) is type(expected):
        return len(value) == len(expected) and all(map(same, value, expected))
    return bool(value == expected)


def is_error(result: str) -> bool:
    return result not in ("True", "False", "None") and result.isidentifier()


def named(error: BaseException) -> str:
    text = shown(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shown_value(value: Any) -> str:
    try:
        return shown(repr(value))
    except Exception:
        return f"a {type(value).__name__}"


def shown(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


@contextlib.contextmanager
def limited(seconds: float) -> Any:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def late(*_: object) -> None:
    raise Late


# ── tests that came with the job ─────────────────────────────────────────────────────────────────────────────────────

TROUBLE = re.compile(r"^(E  .*|FAILED .*|ERROR .*|\w*Error: .*|AssertionError.*|not ok .*)", re.MULTILINE)


def run_tests(path: str, seconds: float) -> list[dict[str, Any]]:
    """Run a test file. The verdict quotes the error lines of a failure."""
    if not os.path.isfile(path):
        return []
    code, printed = ran(path, ".", seconds)
    if code is None or (path.endswith(".py") and code == NO_TESTS):
        return []
    if code == LATE:
        wrong = f"does not end within {seconds:.0f} s."
    else:
        told = "; ".join(match[0].strip() for match in TROUBLE.finditer(printed))
        wrong = f"fails: {shown(told or f'exit code {code}')}" if code else ""
    return [{"path": path, "ok": not wrong, "example": TEST, "detail": wrong or "passes."}]


#: The exit code of pytest if it found no test, and our own code for a run that took too long.
NO_TESTS, LATE = 5, -1000


def ran(path: str, folder: str, seconds: float) -> tuple[int | None, str]:
    """Run a test file in a folder. Returns its exit code, None if it cannot run, and what it printed."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "--no-header", "-x", "-p", "no:cacheprovider", "--tb=short"]
    command = [*command, path] if path.endswith(".py") else ["node", path]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=seconds,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return LATE, ""
    except OSError:
        return None, ""
    return done.returncode, f"{done.stdout}\n{done.stderr}"


#: The first argument of a wrong function.
FIRST = "(*args, *kwargs.values(), None)[0]"

#: Wrong functions for a test file: a sentence about each, and its body.
WRONG = (
    ("returns None", "return None"),
    ("returns its first argument unchanged", f"return {FIRST}"),
    ("returns its first argument in reverse order", f"return {FIRST}[::-1]"),
)


def try_tests(path: str, tested: str, deadline: float) -> list[dict[str, Any]]:
    """Run a test file, and then run it against wrong functions."""
    tree = parsed(tested)
    if tree is None or not any(isinstance(node, ast.FunctionDef) for node in tree.body) or not os.path.isfile(path):
        return []
    with tempfile.TemporaryDirectory() as folder:
        for name in sources():
            shutil.copy(name, folder)
        for name in (path, tested):
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            shutil.copy(name, os.path.join(folder, name))
        for what, body in (("", ""), *WRONG):
            if body:
                with open(os.path.join(folder, tested), "w") as file:
                    file.write(wrong_module(tree, body))
            left = min(TEST_SECONDS, deadline - time.monotonic())
            code = ran(path, folder, left)[0] if left > 0 else None
            if code is None or (not body and code == NO_TESTS):
                return []
            if not body and code:
                return [one for one in run_tests(path, left) if not one["ok"]]
            if body and not code:
                detail = f"passes even if each function of {tested} {what}. Test more cases, with varied values."
                return [{"path": path, "ok": False, "example": WEAK, "detail": detail}]
    return [{"path": path, "ok": True, "example": WEAK, "detail": "fails for wrong functions, as it should."}]


def wrong_module(tree: ast.Module, body: str) -> str:
    """Return the source of a module whose functions are wrong. Its other statements stay."""
    rest = [f"def {node.name}(*args, **kwargs):\n    {body}" if isinstance(node, ast.FunctionDef) else ast.unparse(node)
            for node in tree.body]  # fmt: skip
    return "\n".join(rest)


if __name__ == "__main__":
    main()
