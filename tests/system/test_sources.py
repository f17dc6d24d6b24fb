"""Sources that do not parse: what a step ends with, what its kernel keeps, and what is found before a plan runs."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from agent.nodes.kinds import KINDS
from protocol import messages
from tests.support.steps import python
from tests.support.system import IMAGE, System

pytestmark = pytest.mark.usefixtures("engine")

OPERATORS = "-" * 100_000

#: Python sources with which Python itself ends at once.
BROKEN = {
    "an unindent to nowhere": "if True:\n    a = 1\n  b = 2\n",
    "tabs and blanks": "if True:\n\ta = 1\n        b = 2\n",
    "an unexpected indent": "a = 1\n    b = 2\n",
    "an empty block": "for i in range(3):\nprint(i)\n",
    "a hundred indents": "".join(f"{' ' * depth}if True:\n" for depth in range(102)) + " " * 102 + "pass\n",
    "an open string": "a = 'abc\nb = 1\n",
    "an open long string": 'a = """abc\nb = 1\n',
    "an open bracket": "a = (1,\n",
    "two errors": "a = = 1\nif True:\n    a = 1\n  b = 2\n",
    "no number": "a = 1__2\n",
    "a return": "return 5\n",
    "a number of 5,000 digits": f"a = {'9' * 5_000}\n",
    "300 brackets": f"a = {'(' * 300}{')' * 300}\n",
    "100,000 operators": f"a = {OPERATORS}1\n",
    "499,000 operators": f"a = {'-' * 499_000}1\n",
    "100,000 powers": f"a = 1{'**1' * 100_000}\n",
    "30,000 branches": "if 1:\n pass\n" + "elif 1:\n pass\n" * 30_000,
}


def in_image(program: list[str], text: str, *options: str) -> str:
    """Run a program in the agent's image with a text as its input; what it prints."""
    run = ["docker", "run", "--rm", "--interactive", "--network", "none", *options, "--entrypoint", program[0], IMAGE]
    done = subprocess.run([*run, *program[1:]], input=text, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


AS_USER = ("--user", "10001:10001", "--env", "HOME=/home/user")


# ── a step that does not parse ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            BROKEN["an unindent to nowhere"],
            '  File "/run/steps/step-2.py", line 3\n    b = 2\n         ^\n'
            "IndentationError: unindent does not match any outer indentation level\n",
        ),
        (
            BROKEN["tabs and blanks"],
            '  File "/run/steps/step-2.py", line 3\n    b = 2\n'
            "TabError: inconsistent use of tabs and spaces in indentation\n",
        ),
        (
            "!true\n" + BROKEN["an unindent to nowhere"],
            '  File "/run/steps/step-2.py", line 4\n    b = 2\n         ^\n'
            "IndentationError: unindent does not match any outer indentation level\n",
        ),
        (
            "!true\n" + BROKEN["an open bracket"],
            "  File \"/run/steps/step-2.py\", line 2\n    a = (1,\n        ^\nSyntaxError: '(' was never closed\n",
        ),
        (
            BROKEN["100,000 operators"],
            "MemoryError: Parser stack overflowed - Python source too complex to parse\n",
        ),
        (
            f"a = 1{'+1' * 20_000}\n",
            "RecursionError: maximum recursion depth exceeded during ast construction\n",
        ),
    ],
    ids=["unindent", "tabs", "unindent after a magic", "bracket after a magic", "operators", "sums"],
)
def test_a_source_that_does_not_parse_fails_its_step_alone(system: System, code: str, said: str) -> None:
    job = system.submit(steps=[python("kept = 41"), python(code)])
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "step_failed"), found
    assert found["steps"][1]["exit_code"] == 1
    assert system.output(job, 2) == said
    assert said.splitlines()[-1] in found["detail"] and "kernel's process" not in found["detail"]


@pytest.mark.parametrize("name", ["100,000 operators", "an unindent to nowhere"])
def test_the_agent_survives_a_source_that_no_parser_takes(system: System, name: str) -> None:
    found = system.run(steps=[python(BROKEN[name])])
    assert (found["reason"], found["steps"][0]["exit_code"]) == ("step_failed", 1), found


def test_the_agent_survives_a_source_that_needs_more_memory_than_there_is(system: System) -> None:
    found = system.run(steps=[python("-1\n" * 160_000)], limits={"memory": "192m"})
    assert (found["reason"], found["steps"][0]["exit_code"]) == ("out_of_memory", 137), found


#: Runs sources in one kernel, as the agent does. Prints for each how it ended, what it printed, and what a process of
#: its own says of it.
KERNEL = """
import json, os, socket, subprocess, sys

ours, its = socket.socketpair()
kernel = subprocess.Popen(
    ["python", "-P", "/opt/agent/site-packages/agent/children/ipython_kernel.py", str(its.fileno()), *3 * ["1000"]],
    pass_fds=[its.fileno()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
)
its.close()
os.set_blocking(kernel.stdout.fileno(), False)
heard = ours.makefile("rb")
for number, source in enumerate(json.load(sys.stdin), 1):
    path = f"/run/steps/step-{number}.py"
    with open(path, "w") as file:
        file.write(source)
    ours.sendall(json.dumps({"run": number, "source": source}).encode() + b"\\n")
    told = next((told for told in map(json.loads, heard) if "ended" in told), {"ended": "with its kernel"})
    printed = (kernel.stdout.read() or b"").decode()
    process = subprocess.run(["python", path], capture_output=True, text=True)
    print(json.dumps([told["ended"], printed, process.stderr]))
"""


def test_a_kernel_outlives_every_source_that_does_not_parse() -> None:
    sources = ["kept = 41", *BROKEN.values(), "a = 1\0", "print(kept)"]
    told = in_image(["python", "-c", KERNEL], json.dumps(sources), *AS_USER, "--tmpfs", "/run/steps:uid=10001")
    first, *broken, null, last = [json.loads(line) for line in told.splitlines()]
    assert first == [0, "", ""] and null[:2] == [1, "SyntaxError: source code string cannot contain null bytes\n"]
    for name, (code, printed, python_says) in zip(BROKEN, broken, strict=True):
        assert (code, printed) == (1, python_says), name
    assert last[:2] == [0, "41\n"]


#: Sources that take away what the kernel itself needs.
HARMS = [
    "import builtins\nbuiltins.print = builtins.isinstance = builtins.len = builtins.str = None",
    "import builtins\ndel builtins.__import__",
    "import sys\nsys.modules.clear()",
    "import sys\nsys.stdout = sys.stderr = None",
    "get_ipython().run_cell = None",
    "del get_ipython().__dict__['run_cell']",
    "class Bad(Exception):\n    def __str__(self): raise ValueError('no text')\nraise Bad",
    "class Bad:\n    def __repr__(self): raise BaseException('no text')\nBad()",
    "import sys\nsys.setrecursionlimit(60)",
    "import sys\nsys.setrecursionlimit(1000)\ndef deep(): deep()\ndeep()",
    "import ast\nast.parse = None",
    "raise KeyboardInterrupt",
]


def test_a_kernel_outlives_a_step_that_breaks_python() -> None:
    sources = ["kept = 41", *HARMS, "print(kept)"]
    told = in_image(["python", "-c", KERNEL], json.dumps(sources), *AS_USER, "--tmpfs", "/run/steps:uid=10001")
    ended = [json.loads(line)[:2] for line in told.splitlines()]
    assert ended[-1] == [0, "41\n"], "\n".join(map(str, ended))
    assert all(code in (0, 1) for code, _ in ended), ended


# ── what is found before a plan runs ─────────────────────────────────────────────────────────────────────────────────


def language(kind: str, path: str) -> str:
    """The language in which the agent has the source of a step checked."""
    return KINDS[kind]().language_of(messages.PlannedStep(1, kind, "", "", 1, path))  # type: ignore[index, arg-type]


def check(*steps: tuple[str, str, str]) -> list[dict[str, Any]]:
    """What the child finds in steps, each a kind, a path and a source."""
    asked = [
        {"number": number, "language": language(kind, path), "source": source}
        for number, (kind, path, source) in enumerate(steps, 1)
    ]
    program = "/opt/agent/site-packages/agent/children/check_sources.py"
    found: list[dict[str, Any]] = json.loads(in_image(["python", "-I", program], json.dumps(asked), *AS_USER))
    return found


@pytest.mark.parametrize(
    ("kind", "path", "sources"),
    [
        (
            "python",
            "",
            [
                "value = await f()",
                "!ls\n%matplotlib inline\nfiles = !ls\nprint?\nprint(files)",
                "%%bash\nif [ then",
                "pip install humanize",
                "ls -la /",
                "    a = 1\n    b = 2\n",
                ">>> a = 1\n>>> b = 2\n",
                "\n\n",
                f"# {'x' * 20_000}\n!ls\nprint(1)\n",
            ],
        ),
        (
            "shell",
            "",
            [
                "if true; then\n echo 'a b'\nfi\n",
                "shopt -s extglob\nrm -f !(a|b)\n",
                "cat <<EOF\n$(\nEOF\n",
                'python -c \'import sys; print(1)\' && python3 -c "print(\\"a\\")" # it\'s done',
                "code='if'; python -c \"$code x\"",
                "echo python -c",
            ],
        ),
        ("file", "a.py", ["", "a = 1\n", "\ufeffa = 1\n", "# -*- coding: latin-1 -*-\na = 'ä'\n"]),
        ("file", "a.sh", ["#!/bin/sh\necho hi\n", "#!/usr/bin/env fish\nif true; echo; end\n"]),
        (
            "file",
            "a.js",
            [
                "const a = require('a');\nreturn a;\n",
                "import a from 'a';\nawait a;\nexport default a;\n",
                "with (a) { b }\n",
                "const a = <div/>;\n",
            ],
        ),
        ("file", "a.mjs", ["await 1;\n"]),
        ("file", "a.cjs", ["const a = require('a');\n"]),
        ("file", "a.json", ['{"a": [1, NaN]}\n', '{\n  // why\n  "a": 1,\n}\n', "9" * 5_000]),
        ("file", "notes.txt", ["if if if"]),
        ("file", "Makefile", ["all:\n\tif\n"]),
    ],
)
def test_a_source_that_runs_is_no_problem(kind: str, path: str, sources: list[str]) -> None:
    assert check(*((kind, path, source) for source in sources)) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(items: List[int]) -> int:\n    return math.floor(items[0])\n", "List, math"),
        ("def f(n):\n    return [g(n) for _ in range(3)]\n", "g"),
        ("fib = [0, 1] + [fib[-1] for _ in range(3)]\n", "fib"),
        ("from math import *\nprint(floor(1.5))\n", ""),
        ("try:\n    unicode\nexcept NameError:\n    unicode = str\n", ""),
        ("def f():\n    global later\n    later = 1\ndef g():\n    return later, __file__, __name__\n", ""),
    ],
)
def test_a_name_that_a_file_does_not_define_is_a_problem(source: str, names: str) -> None:
    found = check(("file", "a.py", source))
    assert [one["message"] for one in found] == [f"NameError: not defined: {names}. Import or define it."] * bool(names)


@pytest.mark.parametrize(
    ("before", "source", "lines"),
    [
        ("", "x = 1\nprint(json.dumps(x))", [2]),
        ("import json\nx = 1\n", "print(json.dumps(x))\nos.listdir()", [2]),
        ("import json\nx = 1\n", "print(json.dumps(x))\ndisplay(x)", []),
        ("%matplotlib inline\n", "print(json)", []),
        (None, "print(json)", []),
    ],
)
def test_a_name_that_no_cell_defines_is_a_problem_in_a_fresh_kernel(
    before: str | None, source: str, lines: list[int]
) -> None:
    asked = [{"number": 1, "language": "cell", "source": source, "before": before}]
    program = ["python", "-I", "/opt/agent/site-packages/agent/children/check_sources.py"]
    assert [one["line"] for one in json.loads(in_image(program, json.dumps(asked), *AS_USER))] == lines


INDENT = "IndentationError: unindent does not match any outer indentation level"
COMPLEX = "Python source too complex to parse"


@pytest.mark.parametrize(
    ("kind", "path", "sources"),
    [
        (
            "python",
            "",
            [
                ("if True:\n    a = 1\n  b = 2\n", 3, INDENT, "  b = 2"),
                ("!ls\nif True:\n    a = 1\n  b = 2\n", 4, INDENT, "  b = 2"),
                ("!ls\na = (1,\n", 2, "SyntaxError: '(' was never closed", "a = (1,"),
                ("\n\na = 'abc\n", 3, "SyntaxError: unterminated string literal (detected at line 3)", "a = 'abc"),
                ("a = 1\nreturn a\n", 2, "SyntaxError: 'return' outside function", "return a"),
                ("a = 1\0\n", 0, "SyntaxError: source code string cannot contain null bytes", ""),
                (f"a = {OPERATORS}1\n", 0, f"MemoryError: Parser stack overflowed - {COMPLEX}", ""),
                (f"a = 1{'+1' * 50_000}\n", 0, "RecursionError: maximum recursion depth exceeded", ""),
                (f"# {'x' * 20_000}\n!ls\nprint(1\n", 3, "SyntaxError: '(' was never closed", "print(1"),
                (f"a = 1 {'b' * 400}\n", 1, "SyntaxError: invalid syntax", f"a = 1 {'b' * 194}"),
            ],
        ),
        (
            "shell",
            "",
            [
                ("if true; then\n echo\n", 3, "syntax error: unexpected end of file", ""),
                ("echo 'a\necho\n", 1, "unexpected EOF while looking for matching `''", "echo 'a"),
                ("echo\nfi\n", 2, "syntax error near unexpected token `fi'", "fi"),
                (
                    "ls\npython -c 'a = 1; with b: pass'\n",
                    2,
                    "in python -c: SyntaxError",
                    "python -c 'a = 1; with b: pass'",
                ),
            ],
        ),
        (
            "file",
            "src/a.py",
            [
                ("await a\n", 1, "SyntaxError: 'await' outside function", "await a"),
                ("a = 1\n!ls\n", 2, "SyntaxError: invalid syntax", "!ls"),
            ],
        ),
        ("file", "a.SH", [("#!/bin/bash\ndone\n", 2, "syntax error near unexpected token `done'", "done")]),
        (
            "file",
            "a.js",
            [
                ("let a = 1;\nlet b = ;\n", 2, "SyntaxError: Unexpected token ';'", "let b = ;"),
                ("import a from 'a';\na(;\n", 2, "SyntaxError: Unexpected token ';'", "a(;"),
            ],
        ),
        ("file", "a.mjs", [("export {\n", 2, "SyntaxError: Unexpected end of input", "")]),
        ("file", "a.cjs", [("import a from 'a'", 1, "SyntaxError: Cannot use import statement", "import a from 'a'")]),
        ("file", "a.json", [('{\n "a": b\n}\n', 2, "Expecting value (column 7)", ' "a": b')]),
    ],
)
def test_a_source_that_does_not_parse_is_found_with_its_line(
    kind: str, path: str, sources: list[tuple[str, int, str, str]]
) -> None:
    found = check(*((kind, path, source) for source, *_ in sources))
    assert [(one["number"], one["line"], one["text"]) for one in found] == [
        (number, line, text) for number, (_, line, _, text) in enumerate(sources, 1)
    ]
    for one, (_, _, message, _) in zip(found, sources, strict=True):
        assert one["message"].startswith(message)


def test_checking_executes_nothing() -> None:
    program = """
import json, os, subprocess, sys
os.environ.update(BASH_ENV="/tmp/env", NODE_OPTIONS="--require /tmp/env.js")
for name in ("env", "env.js"):
    open(f"/tmp/{name}", "w").write("touch /tmp/proof" if name == "env" else TOUCH)
subprocess.run(["python", "-I", "/opt/agent/site-packages/agent/children/check_sources.py"], check=True)
print(os.path.exists("/tmp/proof"))
"""
    touch = "require('fs').writeFileSync('/tmp/proof', '')"
    sources = [
        ("python", "", "open('/tmp/proof', 'w')\n(\n"),
        ("python", "", "!touch /tmp/proof\n%time open('/tmp/proof', 'w')\n"),
        ("shell", "", "touch /tmp/proof\n$(touch /tmp/proof)\n(\n"),
        ("file", "a.js", f"{touch}\n"),
        ("file", "a.mjs", f"import fs from 'fs';\n{touch}\n"),
    ]
    asked = [{"number": n, "language": language(k, p), "source": s} for n, (k, p, s) in enumerate(sources, 1)]
    program = program.replace("TOUCH", repr(touch))
    *_, last = in_image(["python", "-c", program], json.dumps(asked), *AS_USER).splitlines()
    assert last.endswith("False")


def test_sources_that_take_too_long_hold_up_nothing() -> None:
    slow = "".join(f"!echo {number}\n" for number in range(900))  # IPython goes through it 500 times
    program = """
import subprocess, sys, time
begun = time.monotonic()
subprocess.run(["python", "-I", "/opt/agent/site-packages/agent/children/check_sources.py"], check=True)
print("", time.monotonic() - begun)
"""
    asked = [{"number": n, "language": "cell", "source": slow} for n in range(1, 30)]
    told, _, seconds = in_image(["python", "-uc", program], json.dumps(asked), *AS_USER).rpartition(" ")
    assert float(seconds) < 30
    assert isinstance(json.loads(told), list)


#: Asks for the problems of steps as the agent does: as root, with the real child or another in its place.
AGENT = """
import json, sys
from agent.nodes import kinds
from agent.workspace import source_check
from protocol import messages
from agent.job import Job
from agent.runtime.processes import Processes, environment

command, seconds, stopped, sources = json.load(sys.stdin)
source_check.COMMAND, source_check.CHECK_SECONDS = command or source_check.COMMAND, seconds
job = Job(None, None, None, Processes(environment("job", 1, "none")), [], None)
if stopped:
    job.processes.stop("cancelled")
planned = messages.PlannedStep
steps = [planned(number, kind, "", source, 1, path) for number, (kind, path, source) in enumerate(sources, 3)]
found = source_check.problems(job, kinds.sources(steps))
print(json.dumps([[one.number, one.line, one.message, one.text] for one in found]))
"""


def problems(command: list[str], seconds: float = 10, stopped: bool = False) -> list[list[Any]]:
    sources = [
        ("shell", "", "echo"),
        ("python", "", "print('a'\n"),
        ("file", "a.txt", "("),
        ("python", "main.py", ""),
        ("file", "a.json", "{"),
    ]
    told = in_image(["/opt/agent/bin/python", "-Ic", AGENT], json.dumps([command, seconds, stopped, sources]))
    found: list[list[Any]] = json.loads(told)
    return found


def test_the_agent_is_told_the_problems_of_a_plan_in_their_order() -> None:
    assert problems([]) == [
        [4, 1, "SyntaxError: '(' was never closed", "print('a'"],
        [7, 1, "Expecting property name enclosed in double quotes (column 2)", "{"],
    ]


def said(*found: object) -> list[str]:
    return ["echo", json.dumps(found)]


@pytest.mark.parametrize(
    "command",
    [
        ["false"],
        ["/nowhere/python"],
        ["yes"],
        ["echo", "[" * 200_000],
        ["echo", '{"number": 3}'],
        said({"number": 3, "line": 1, "message": "no text"}, {"number": 3, "line": -1, "message": "", "text": ""}, 3),
        said({"number": 99, "line": 1, "message": "of no step", "text": ""}),
    ],
)
def test_a_checker_that_fails_finds_nothing(command: list[str]) -> None:
    assert problems(command) == []


def test_a_checker_that_hangs_and_one_of_a_job_that_was_stopped_find_nothing() -> None:
    assert problems(["sleep", "600"], seconds=0.2) == []
    assert problems([], stopped=True) == []


def test_what_a_checker_says_is_cut_and_said_once_for_each_step() -> None:
    one = {"number": 4, "line": 2, "message": "m" * 1_000, "text": "\ud800" * 1_000}
    assert problems(said(one, one)) == [[4, 2, "m" * 300, "?" * 200]]
