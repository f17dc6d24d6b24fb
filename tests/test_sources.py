"""Sources that do not parse: what a step ends with and what its kernel keeps."""

from __future__ import annotations

import json
import subprocess

import pytest
from conftest import IMAGE, System
from test_steps import python

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
    ["python", "-P", "/opt/agent/site-packages/agent/cells.py", str(its.fileno()), "1000", "1000", "1000"],
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
