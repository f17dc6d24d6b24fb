"""The sentences that say what a failed step lacks, and which command of a script failed."""

from __future__ import annotations

import os
import subprocess

import pytest

from agent.nodes.failure_hints import hints
from agent.runtime.failing_command import Failed, FailingCommand

PATH = os.environ["PATH"]


def hint(printed: str, source: str = "", code: int = 1, network: str = "none", failed: Failed | None = None) -> str:
    return " ".join(hints(source, printed, code, network, failed, PATH))


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("ModuleNotFoundError: No module named 'polars'", "`pip install polars`"),
        ("ModuleNotFoundError: No module named 'cv2'", "`pip install opencv-python-headless`"),
        ("ModuleNotFoundError: No module named 'google.cloud'", "Python finds no module `google`"),
        ("Error: Cannot find module 'express'\nRequire stack:", "`npm install express`"),
        ("Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@a/b' imported from x", "`npm install @a/b`"),
        ("/run/steps/step-1.sh: line 1: sudo: command not found", "Leave `sudo` out"),
        ("E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?", "Use pip or npm"),
        ("List directory /var/lib/apt/lists/partial is missing. - Acquire (13: Permission denied)", "Use pip or npm"),
        ("step-1.sh: line 1: ffmpeg: command not found", "The image has no command `ffmpeg`."),
        ("sh: 1: pyhton3: not found", "Did you mean `python3`?"),
        (
            "in _execute_child\n    raise x\nFileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'",
            "no command `ffmpeg`",
        ),
        ("Error: spawn ffmpeg ENOENT", "no command `ffmpeg`"),
        ("npm ERR! getaddrinfo EAI_AGAIN registry.npmjs.org", '"network": "internet"'),
        ("ERROR: No matching distribution found for polars", '"network": "internet"'),
        ("locale.Error: unsupported locale setting", "`locale -a`"),
        ("bash: warning: setlocale: LC_ALL: cannot change locale (xx_YY)", "`locale -a`"),
        ("PermissionError: [Errno 13] Permission denied: '/output'", "but not in /output"),
        ("step-1.sh: line 1: /etc/x: Permission denied", "but not in /etc/x"),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: '/home/bob/a.csv'",
            "/home/bob/a.csv is not in the job",
        ),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'C:\\\\Users\\\\a.csv'", "is not in the job"),
        ("cat: /data/a.csv: No such file or directory", "/data/a.csv is not in the job"),
    ],
)
def test_a_message_of_a_program_gets_its_hint(printed: str, words: str) -> None:
    assert words in hint(f"Traceback\n{printed}\n")


@pytest.mark.parametrize(
    "printed",
    [
        "FileNotFoundError: [Errno 2] No such file or directory: 'data.csv'",
        "PermissionError: [Errno 13] Permission denied: '/workspace/a'",
        "cat: /workspace/a.csv: No such file or directory",
        "ValueError: not found",
        "",
    ],
)
def test_a_message_without_a_cause_outside_the_job_gets_no_hint(printed: str) -> None:
    assert hint(printed) == ""


def test_with_network_a_missing_package_is_only_installed() -> None:
    said = hint("ModuleNotFoundError: No module named 'polars'", network="internet")
    assert "`pip install polars`" in said and "network" not in said


@pytest.mark.parametrize(
    ("source", "printed", "words"),
    [
        ("ls –la", "ls: cannot access '–la': No such file", "Line 1 of the source has the character U+2013 (en dash)"),
        ("true\necho\u00a0hi", "line 2: echo\u00a0hi: command not found", "Line 2 of the source has the character"),
        ("x = “a”", "SyntaxError: invalid character '“' (U+201C)", "U+201C (left double quotation mark)"),
        ("x=1\nbreakpoint()", "----> 2 breakpoint()", "No user can answer the debugger"),
        ("open(__file__ + '.csv')", "No such file or directory: '/run/steps/x'", "not from __file__"),
    ],
)  # fmt: skip
def test_a_source_with_a_known_fault_gets_its_hint(source: str, printed: str, words: str) -> None:
    assert words in hint(printed, source)


def failed(script: str) -> tuple[int, Failed | None]:
    """Run a script as a shell step does; its exit code, and the command that ended it."""
    told = FailingCommand()
    command = told.told_by(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script])
    code = subprocess.run(command, pass_fds=[told.fd], capture_output=True).returncode
    found = told.read()
    return code, found.within(script) if found else None


@pytest.mark.parametrize(
    ("script", "code", "line", "command"),
    [
        ("true\n\ngrep -q x /dev/null", 1, 3, "grep -q x /dev/null"),
        ("f() {\n  grep -q x /dev/null\n}\nf", 1, 2, "grep -q x /dev/null"),
        ("true\necho a | grep b | cat", 1, 2, "echo a | grep b | cat"),
        ("x=$(grep x /dev/null)", 1, 1, "x=$(grep x /dev/null)"),
        ("if grep -q x /dev/null; then :; fi\nfalse || true\ntest 1 = 2", 1, 3, "test 1 = 2"),
        ("for i in 1 2; do\n  test $i = 1\ndone", 1, 2, "test $i = 1"),
        ("(exit 7)", 7, 1, "( exit 7 )"),
        ("nosuchcommand 2> /dev/null", 127, 1, "nosuchcommand 2> /dev/null"),
        ("bash -c 'false; true'\nfalse", 1, 2, "false"),
    ],
)
def test_the_command_that_ends_a_script_is_known_with_its_line(script: str, code: int, line: int, command: str) -> None:
    ended, found = failed(script)
    assert found is not None and (ended, found.line, found.command) == (code, line, command)


@pytest.mark.parametrize("script", ["exit 3", "set +e\nfalse\nexit 3", "trap 'exit 3' ERR\nfalse", "true"])
def test_a_script_that_ends_itself_has_no_failing_command(script: str) -> None:
    assert failed(script) == (3 if script != "true" else 0, None)


def test_the_environment_of_a_script_has_nothing_of_this() -> None:
    told = FailingCommand()
    run = subprocess.run(told.told_by(["bash", "-c", "env"]), pass_fds=[told.fd], capture_output=True, text=True)
    assert "BASH_ENV" not in run.stdout and "FAILING_COMMAND" not in run.stdout


@pytest.mark.parametrize("said", [b"", b"x\0", b"1 2 x\n\0", b"99999999999 1, x\n\0", b"\xff\xfe\0", b"1 1, \n\0"])
def test_nonsense_from_a_script_is_no_failing_command(said: bytes) -> None:
    told = FailingCommand()
    os.write(told.fd, said)
    assert told.read() is None


@pytest.mark.parametrize(
    ("command", "words"),
    [("grep b x", "nothing matches"), ("cat x | grep -c b", "nothing matches"), ("diff a b", "the files differ")],
)
def test_a_command_whose_exit_code_is_an_answer_is_explained(command: str, words: str) -> None:
    assert words in hint("", failed=Failed(1, [1], command))
    assert hint("", code=2, failed=Failed(1, [2], command)) == ""
