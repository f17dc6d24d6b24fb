"""What clients and editors wrap around a source: byte order marks, line ends of Windows, fences of Markdown."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.api.schemas import ScheduleRequest
from orchestrator.planning.kinds import Step
from orchestrator.planning.planner import fenced_steps
from orchestrator.planning.steps import Outputs


def step(**fields: Any) -> Any:
    return TypeAdapter(Step).validate_python(fields)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("for i in 1 2; do\r\n  echo $i\r\ndone\r\n", "for i in 1 2; do\n  echo $i\ndone\n"),
        ("echo 1\recho 2\r", "echo 1\necho 2\n"),
        ("printf 'a\rb'\n", "printf 'a\rb'\n"),
        ("\ufeffecho 1\n", "echo 1\n"),
        ("\ufeff\ufeffecho 1\r\n", "echo 1\n"),
        ("```bash\necho hi\n```", "echo hi\n"),
        ("```bash\r\necho hi\r\n```\r\n", "echo hi\n"),
        ("\ufeff```sh\necho hi\n```", "echo hi\n"),
        ("\n\n```\necho hi\n```\n\n", "echo hi\n"),
        ("~~~shell\necho hi\n~~~", "echo hi\n"),
        ("````bash\necho '```'\n````", "echo '```'\n"),
        ("```bash\necho hi\n", "echo hi\n"),
        ("``` Bash title=x\necho hi\n```", "echo hi\n"),
        ("echo '\n```\n'\n", "echo '\n```\n'\n"),
        ("cat <<'END' > a.md\n```bash\ntrue\n```\nEND\n", "cat <<'END' > a.md\n```bash\ntrue\n```\nEND\n"),
    ],
)
def test_a_script_and_a_check_are_tidied(given: str, kept: str) -> None:
    assert step(kind="shell", script=given).script == kept
    assert ScheduleRequest(steps=[step(kind="shell", script="true")], check=given).check == kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("```python\nprint(1)\n```", "is fenced as 'python'; this kind of step runs bash"),
        ("```bash\ntrue\n```\nand then\n```bash\nfalse\n```", "has text after its ``` fence"),
    ],
)
def test_a_script_in_a_fence_that_cannot_run_is_refused_with_the_reason(given: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace("(", "\\(")):
        step(kind="shell", script=given)


@pytest.mark.parametrize("language", ["console", "zsh", "terminal"])
def test_every_name_of_the_shell_is_its_fence(language: str) -> None:
    assert step(kind="shell", script=f"```{language}\ntrue\n```").script == "true\n"


@pytest.mark.parametrize("language", ["python", "py", "python3", "", "Python", "ipython"])
def test_the_code_of_python_and_javascript_is_tidied(language: str) -> None:
    assert step(kind="python", code=f"```{language}\r\nprint(1)\r\n```").code == "print(1)\n"
    assert step(kind="node", code="```javascript\nlet a = 1\n```").code == "let a = 1\n"


@pytest.mark.parametrize(
    ("path", "content", "kept"),
    [
        ("run.sh", "#!/bin/sh\r\necho 1\r\n", "#!/bin/sh\necho 1\n"),
        ("run", "\ufeff#!/bin/sh\r\necho 1\r\n", "#!/bin/sh\necho 1\n"),
        ("Makefile", "all:\r\n\ttrue\r\n", "all:\n\ttrue\n"),
        ("a.py", "```python\nprint(1)\n```", "print(1)\n"),
        ("a.html", "```html\n<p>\n```\n", "<p>\n"),
        ("a.csv", "\ufeffa;b\r\n1;2\r\n", "\ufeffa;b\r\n1;2\r\n"),
        ("a.bat", "echo 1\r\n", "echo 1\r\n"),
        ("README.md", "```bash\ntrue\n```", "```bash\ntrue\n```"),
        ("a.py", "'''\n```\n'''\n", "'''\n```\n'''\n"),
    ],
)
def test_a_file_that_is_a_program_is_tidied_and_others_keep_their_bytes(path: str, content: str, kept: str) -> None:
    assert step(kind="file", path=path, content=content).content == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [("out/", "out"), ("./out/", "out"), ("/workspace/out/a.txt", "out/a.txt"), ("a/**/", "a/**"), ("out//", "out")],
)
def test_an_output_names_a_folder_with_and_without_its_slash(given: str, kept: str) -> None:
    assert TypeAdapter(Outputs).validate_python([given]) == [kept]


@pytest.mark.parametrize("given", ["/", "/etc/passwd", "../a", "a/../../b", "/workspace/", "/workspace/../a"])
def test_an_output_outside_the_workspace_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="inside the workspace"):
        TypeAdapter(Outputs).validate_python([given])


def test_a_prompt_that_begins_with_a_byte_order_mark_has_its_blocks() -> None:
    prompt = ScheduleRequest(prompt="\ufeff```bash\necho hi\n```").prompt
    assert [step.source for step in fenced_steps(prompt or "")] == ["echo hi\n"]


@pytest.mark.parametrize(
    ("block", "made"),
    [
        ("```python\n# filename: x.py\nprint(1)\n```", [("x.py", "# filename: x.py\nprint(1)\n"), ("", "python")]),
        ("```js\n// File: lib/x.js\n1\n```", [("lib/x.js", "// File: lib/x.js\n1\n"), ("", "node")]),
        ("```sh\n#!/bin/sh\n# filename: a.sh\n:\n```", [("a.sh", "#!/bin/sh\n# filename: a.sh\n:\n"), ("", "shell")]),
        ("```html\n<!-- filename: a.html -->\n<p>\n```", [("a.html", "<p>\n")]),
        ("```csv\n# filename: ./a.csv\nx,y\n```", [("a.csv", "x,y\n")]),
        ("```\n# path: /workspace/a.txt\nhello\n```", [("a.txt", "hello\n")]),
        ("```python\n# reads the file: x.py\nprint(1)\n```", [("", "python")]),
    ],
)  # fmt: skip
def test_a_block_whose_first_line_names_a_file_is_saved_as_it_too(block: str, made: list[tuple[str, str]]) -> None:
    found = fenced_steps(f"Do this:\n{block}\n")
    assert [(step.writes, step.source if step.writes else step.kind) for step in found] == made


@pytest.mark.parametrize(
    ("first", "title"),
    [
        ("echo \x07ding", "echo ding"),
        ("\x1b[1;31mecho red\x1b[0m", "echo red"),
        ("\x1b]0;title\x07echo 1", "echo 1"),
        ("echo a\tb\x7f", "echo a b"),
    ],
)
def test_a_title_has_no_bell_and_no_colours(first: str, title: str) -> None:
    assert " ".join(step(kind="shell", script=first).default_title().split()) == title
