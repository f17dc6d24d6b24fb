"""From a prompt to a plan, without a model: given steps, fenced code blocks, templates."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.answers import nothing_stored, problem
from tests.support.system import System

HELLO = "Create a Python script that prints hello world"
FIBONACCI = "Create a Python script that calculates fibonacci numbers"
QUICKSORT = "Implement quicksort in Python"


def planned(parked: System, prompt: str, **body: Any) -> tuple[str, list[dict[str, Any]]]:
    """Who planned a job, and the steps, as the manifest has them."""
    job_id = parked.submit(prompt=prompt, **body)
    assert parked.cancel(job_id).json()["status"] == "cancelled"
    manifest = parked.zip(job_id).manifest
    assert manifest["plan"]["prompt"] == prompt
    return manifest["planned_by"], manifest["plan"]["steps"]


def sources(parked: System, prompt: str) -> list[tuple[str, str]]:
    """Kind and source of each step of a prompt's code blocks."""
    planned_by, steps = planned(parked, prompt)
    assert planned_by == "code-blocks"
    return [(step["kind"], step.get("script") or step["code"]) for step in steps]


def no_plan(system: System, prompt: str, *words: str) -> dict[str, Any]:
    with nothing_stored(system):
        found = problem(system.http.post("/schedule", json={"prompt": prompt}), 422, *words)
    assert found["type"] == "/problems/no-plan"
    return found


# ── given steps ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_given_steps_are_the_plan_whatever_the_prompt_says(parked: System) -> None:
    given = [
        {"kind": "file", "path": "a/b.txt", "content": "ü\n"},
        {"kind": "shell", "script": "cat a/b.txt", "title": "Show it", "seconds": 5.0},
        {"kind": "python", "code": "print(1)", "background": True},
    ]
    planned_by, steps = planned(parked, f"{HELLO}\n```bash\ntrue\n```", steps=given)
    assert planned_by == "request"
    assert [{name: step[name] for name in wanted} for step, wanted in zip(steps, given, strict=True)] == given


def test_a_step_without_a_title_is_called_after_its_first_line(parked: System) -> None:
    steps = [
        {"kind": "shell", "script": "\n\n  echo one\necho two"},
        {"kind": "file", "path": "x.txt", "content": ""},
        {"kind": "python", "code": "#" * 200},
    ]
    found = parked.status(parked.submit(steps=steps))["steps"]
    assert [step["title"] for step in found] == ["echo one", "Write x.txt", "#" * 79 + "…"]


# ── fenced code blocks ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("language", "kind"),
    [("bash", "shell"), ("sh", "shell"), ("shell", "shell"), ("python", "python"), ("python3", "python"),
     ("py", "python"), ("Bash", "shell"), ("PYTHON", "python"), ("  py", "python"), ('python title="x.py"', "python")],
)  # fmt: skip
def test_a_code_block_is_a_step_of_its_language(parked: System, language: str, kind: str) -> None:
    assert sources(parked, f"Do this:\n\n```{language}\nx = 1\n```\nThanks.") == [(kind, "x = 1\n")]


def test_code_blocks_run_in_order_with_the_prose_between_them_left_out(parked: System) -> None:
    prompt = "First\n```bash\necho 1\n```\nthen\n~~~py\nprint(2)\n\nprint(3)\n~~~\nlast\n```sh\necho 4\n```"
    assert sources(parked, prompt) == [
        ("shell", "echo 1\n"),
        ("python", "print(2)\n\nprint(3)\n"),
        ("shell", "echo 4\n"),
    ]


@pytest.mark.parametrize(
    ("prompt", "source"),
    [
        ("````bash\necho '```'\n```python\n```\n````", "echo '```'\n```python\n```\n"),
        ("```bash\necho 1\n~~~\n```", "echo 1\n~~~\n"),
        ("~~~bash\necho '\n```\n'\n~~~", "echo '\n```\n'\n"),
        ("```bash\necho 1\n``````", "echo 1\n"),
        ("```bash\necho 1\n```   ", "echo 1\n"),
        ("```   bash  \necho 1\n```\t", "echo 1\n"),
        ("```bash\necho 1 ```\n```", "echo 1 ```\n"),
        ("```bash\r\necho 1\r\necho 2\r\n```\r\n", "echo 1\necho 2\n"),
        ("```bash\necho 'a\u2028b\fc\x85'\n```", "echo 'a\u2028b\fc\x85'\n"),
        ("   ```bash\n   if true; then\n     echo 1\n   fi\n   ```", "if true; then\n  echo 1\nfi\n"),
        ("10. In a list:\n\n    ```bash\n    echo 1\n    ```", "echo 1\n"),
    ],
    ids=["longer fence", "the other fence inside", "nested fence", "longer end", "spaces after the end",
         "spaces around", "no end in a line", "windows lines", "other separators stay", "indented", "in a list"],
)  # fmt: skip
def test_a_code_block_is_what_commonmark_says(parked: System, prompt: str, source: str) -> None:
    assert sources(parked, prompt) == [("shell", source)]


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("```bash\necho 1\n```\n\n```bash\necho 2\n", "The code block at line 5 of the prompt is not closed"),
        ("```bash\necho 1\n~~~", "The code block at line 1 of the prompt is not closed"),
        ("````bash\necho 1\n```", "The code block at line 1 of the prompt is not closed"),
        ("x\n```rust\nfn main() {}\n```", "The code block at line 2 of the prompt has the language 'rust'"),
        ("```\necho 1\n```", "The code block at line 1 of the prompt names no language"),
        ("```bash\n```", "The code block at line 1 of the prompt is empty"),
        ("```bash\n \n\t\n```", "The code block at line 1 of the prompt is empty"),
        ("```bash\ntrue\n```\n" * 101, "101 code blocks; the maximum is 100"),
        ("Run ```bash``` now", "No plan fits the prompt"),
        ("Write me a poem", "LLM_MODEL for any other, in `.env`, then `make up`"),
        ("```bash echo 1```", "No plan fits the prompt"),
        ("```" + " " * 90_000 + "`", "No plan fits the prompt"),
        ("```bash" + "\t" * 90_000, "is not closed"),
    ],
    ids=lambda value: value[:20],
)
def test_a_code_block_that_cannot_be_run_is_refused_with_its_line(parked: System, prompt: str, words: str) -> None:
    no_plan(parked, prompt, words)


def test_a_hundred_code_blocks_are_a_hundred_steps(parked: System) -> None:
    assert len(sources(parked, "```bash\ntrue\n```\n" * 100)) == 100


def test_code_blocks_run_in_a_real_container(system: System) -> None:
    prompt = "Write\n```python\nopen('n.txt', 'w').write('42')\n```\nand show\n```bash\ncat n.txt\n```"
    job_id = system.submit(prompt=prompt, outputs=["n.txt"])
    assert system.completed(job_id)["planned_by"] == "code-blocks"
    assert system.output(job_id) == "42"


# ── templates ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_hello_world_prompt_makes_a_script_that_prints_it(system: System) -> None:
    job_id = system.submit(prompt=HELLO)
    found = system.completed(job_id)
    assert found["planned_by"] == "template:hello-world"
    assert [step["status"] for step in found["steps"]] == ["completed", "completed"]
    assert system.output(job_id) == "Hello, world!\n"
    archive = system.zip(job_id)
    assert archive.paths == {"hello.py"}
    assert run_python(archive.text("hello.py")) == "Hello, world!\n"


def test_the_fibonacci_prompt_calculates_the_right_numbers(system: System) -> None:
    job_id = system.submit(prompt=FIBONACCI)
    assert system.completed(job_id)["planned_by"] == "template:fibonacci"
    archive = system.zip(job_id)
    assert {"fibonacci.py", "fibonacci.txt"} <= archive.paths
    lines = archive.text("fibonacci.txt").splitlines()
    assert lines[:8] == [f"F({n}) = {value}" for n, value in enumerate([0, 1, 1, 2, 3, 5, 8, 13])]
    assert lines[-1] == "F(19) = 4181"
    assert run_python(archive.text("fibonacci.py"), "91").splitlines()[-1] == "F(90) = 2880067194370816120"


def test_the_quicksort_prompt_comes_with_a_test_that_passes(system: System, tmp_path: Path) -> None:
    job_id = system.submit(prompt=QUICKSORT)
    assert system.completed(job_id)["planned_by"] == "template:quicksort"
    archive = system.zip(job_id)
    assert {"quicksort.py", "test_quicksort.py"} <= archive.paths
    for name in ("quicksort.py", "test_quicksort.py"):
        (tmp_path / name).write_text(archive.text(name))
    unittest = [sys.executable, "-m", "unittest", "test_quicksort"]
    found = subprocess.run(unittest, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Ran 4 tests" in found.stderr


def run_python(code: str, *arguments: str) -> str:
    run = [sys.executable, "-", *arguments]
    return subprocess.run(run, input=code, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "prompt", [HELLO.upper(), HELLO.lower(), f"  {HELLO}.\n", HELLO.replace(" ", "\n\t "), f"{HELLO} !", "hello world?"]
)
def test_case_white_space_and_the_mark_at_the_end_do_not_matter(parked: System, prompt: str) -> None:
    planned_by, steps = planned(parked, prompt)
    assert planned_by == "template:hello-world"
    assert [step["kind"] for step in steps] == ["file", "shell"]


def test_outputs_of_the_request_go_before_those_of_the_template(parked: System) -> None:
    job_id = parked.submit(prompt=HELLO, outputs=["*.py"])
    parked.cancel(job_id)
    assert parked.zip(job_id).manifest["plan"]["outputs"] == ["*.py"]


@pytest.mark.parametrize(
    "prompt", [f"{HELLO} in French", f"Please {HELLO}", "prints hello world", "hello", "Fix my printer", "x" * 100_000]
)
def test_half_a_phrase_is_no_plan_and_the_answer_says_what_would_be_one(parked: System, prompt: str) -> None:
    found = no_plan(parked, prompt, "GEMINI_API_KEY", "`steps`", "```bash", "hello-world", "GET /templates")
    assert found["templates"]["hello-world"] == HELLO
    assert found["templates"]["fibonacci"] == FIBONACCI
    assert found["templates"]["quicksort"] == QUICKSORT
    assert len(found["detail"]) < 900


def test_the_answer_names_the_nearest_phrase(parked: System) -> None:
    no_plan(parked, "create python script which prints hello world", f'The nearest is "{HELLO}" (hello-world).')
    assert "nearest" not in no_plan(parked, "Fix my printer")["detail"]


def test_with_a_model_a_prompt_is_for_it_and_its_key_is_told_to_nobody(make_parked: Callable[..., System]) -> None:
    system = make_parked(GEMINI_API_KEY="key-of-nobody").start()
    job_id = system.submit(prompt=HELLO)
    assert system.status(job_id)["planned_by"] == "model"
    by_name = system.http.post("/schedule", json={"template": "hello-world"}).json()
    assert by_name["planned_by"] == "template:hello-world"
    for path in ("/", "/health", f"/status/{job_id}", "/jobs"):
        assert "key-of-nobody" not in system.http.get(path).text
