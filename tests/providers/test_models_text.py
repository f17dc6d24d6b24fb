"""What a model writes: its thoughts are told apart, and that it repeats itself is noticed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.llm import repetition
from orchestrator.llm.thoughts import Sieve
from tests.support.system import PATIENCE, ROOT

CODE = "Use this:\n\n```html\n<p>\n</think>\n</p>\n```\n"

PLAN, DRAFT = "### run\n```bash\necho 2\n```\n", "### run\n```bash\necho draft\n```\n"

CHANNELS = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"


def sieved(text: str, size: int) -> tuple[str, str, str]:
    """The answer, the thoughts, and what somebody sees who follows, of a text in pieces of this size."""
    sieve, shown = Sieve(), ""
    pieces = [piece for at in range(0, len(text), size) for piece in sieve.take(text[at : at + size])]
    for piece in [*pieces, *sieve.end()]:
        shown = "" if piece.restart else shown
        shown += "" if piece.reasoning else piece.text
    return sieve.answer, sieve.reasoning, shown


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("text", "answer", "thoughts"),
    [
        ("Just text.\n", "Just text.\n", ""),
        ("<think>Hm.</think>\n\nYes.", "Yes.", "Hm."),
        ("\n <Thinking>Hm.</THINKING>Yes.", "Yes.", "Hm."),
        ("<reasoning>Hm.</reasoning>Yes.", "Yes.", "Hm."),
        ("[THINK]Hm.[/THINK]Yes.", "Yes.", "Hm."),
        ("Hm.\n</think>\nYes.", "Yes.", "Hm.\n"),
        ("Hm.[/THINK]Yes.", "Yes.", "Hm."),
        ("First:\n```\nx\n```\nNo.</think>```\nx\n```", "```\nx\n```", "First:\n```\nx\n```\nNo."),
        ("<think>```\nopen</think>Yes.", "Yes.", "```\nopen"),
        ("<think>I write </think> and a draft.</think>Yes.", "Yes.", "I write and a draft."),
        ("<think>One.</think><think>Two.</think>Yes.", "Yes.", "One.Two."),
        ("Yes.\n</think>\n", "Yes.\n", ""),
        ("<think>Hm.", "", "Hm."),
        ("<think>Hm.</think>", "", "Hm."),
        (CODE, CODE, ""),
        (f"<think>Hm.</think>{CODE}", CODE, "Hm."),
        (f"Hm.</think>{CODE}", CODE, "Hm."),
        ("~~~\n```\n</think>\n~~~\n", "~~~\n```\n</think>\n~~~\n", ""),
        ("````\n```\n</think>\n````\n", "````\n```\n</think>\n````\n", ""),
        ("Write `</think>` there.", "Write `</think>` there.", ""),
        ("a < b, <b>bold</b> [1] <thin", "a < b, <b>bold</b> [1] <thin", ""),
        ("<table>\n", "<table>\n", ""),
        ("<", "<", ""),
        (f"{CHANNELS}Yes.", "Yes.", "Hm."),
        (f"<|start|>assistant{CHANNELS}Yes.<|return|>", "Yes.", "Hm."),
        ("<|channel|>final <|constrain|>json<|message|>{}<|end|>", "{}", ""),
        ("<|channel|>commentary<|message|>Hm.", "", "Hm."),
        ("The token <|channel|> begins a message.", "The token <|channel|> begins a message.", ""),
    ],
)
def test_thoughts_are_told_apart(text: str, answer: str, thoughts: str, size: int) -> None:
    assert sieved(text, size) == (answer, thoughts, answer)


#: Marks of reasoning by their opening and closing form.
WRAPPERS = [
    *((f"<{name}>", f"</{name}>") for name in (
        "think", "Thinking", "thought", "thoughts", "reasoning", "reason", "reflection", "analysis", "scratchpad",
        "antThinking", "inner_monologue", "chain_of_thought", "seed:think", "longcat_think",
    )),
    ("<think>", "</thinking>"), ("<thinking>", "</think>"), ('<think budget="9">', "</think >"),
    ("[THINK]", "[/THINK]"), ("[thinking]", "[/thinking]"), ("◁think▷", "◁/think▷"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|think|>", "<|/think|>"), ("<|inner_prefix|>", "<|inner_suffix|>"), ("<unused94>thought\n", "<unused95>"),
    ("<|channel>thought\n", "<channel|>"),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(("open_", "close"), WRAPPERS, ids=lambda mark: repr(mark))
def test_a_draft_in_any_wrapper_is_no_part_of_the_plan(open_: str, close: str, size: int) -> None:
    for text, answer in (
        (f"{open_}{DRAFT}{close}\n{PLAN}", PLAN),
        (f"{DRAFT}{close}\n\n{PLAN}", PLAN),
        (f"{open_}{DRAFT}", ""),
        (f"{open_}{DRAFT}{close}\n", ""),
        (f"Hm, wait.\n{DRAFT}{close}\n", ""),
        (f"Sure!\n\n{open_}{DRAFT}{close}{PLAN}", f"Sure!\n\n{PLAN}"),
        (f"Sure! {open_}{DRAFT}{close}\n{PLAN}", f"Sure! {PLAN}"),
        (f"Sure!\n\n{open_}{DRAFT}", "Sure!\n\n"),
        (f"{open_}One.{close}\n{open_}{DRAFT}{close}\n{PLAN}", PLAN),
        (f"{open_}{DRAFT}{open_}{DRAFT}{close}{DRAFT}{close}{PLAN}", PLAN),
        (f"{PLAN}{open_}Is it right? Yes.{close}Done: yes", f"{PLAN}Done: yes"),
        (f"{DRAFT}{open_}No.{close}{PLAN}", PLAN),
        (f"{DRAFT}{open_}No.{close}{PLAN}{open_}Yes.{close}Done: yes", f"{PLAN}Done: yes"),
        (f"```html\n{open_}{close}\n```\n", f"```html\n{open_}{close}\n```\n"),
        (f'{{"steps": ["{open_}x{close}"]}}', f'{{"steps": ["{open_}x{close}"]}}'),
        (f'{{"steps": [1]}}{close}{{"steps": [2]}}', '{"steps": [2]}'),
    ):
        found, _, shown = sieved(text, size)
        assert found == shown == answer, text


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"<think>{DRAFT}</think><answer>\n{PLAN}</answer>", PLAN),
        (f"{DRAFT}<answer>\n{PLAN}</answer>", PLAN),
        (f"<|begin_of_thought|>{DRAFT}<|end_of_thought|>\n<|begin_of_solution|>\n{PLAN}<|end_of_solution|>", PLAN),
        (f"<|START_THINKING|>{DRAFT}<|END_THINKING|><|START_RESPONSE|>{PLAN}<|END_RESPONSE|>", PLAN),
        (f"Here is my thought process:\n{DRAFT}Here is my response:\n{PLAN}", PLAN),
        (f"analysisWe need a draft. {DRAFT}assistantfinal{PLAN}", PLAN),
        (f"We think.\n{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{PLAN}<|return|>", PLAN),
        (f"We think.\n{DRAFT}<|channel|>final<|message|>{PLAN}", PLAN),
        (f"final<|message|>{PLAN}", PLAN),
        (f"<|start|>assistant<|message|>{PLAN}", PLAN),
        (f"<|im_start|>assistant\n{PLAN}<|im_end|>", PLAN),
        (f"{PLAN}<|im_end|>\n<|im_start|>user\nNo.\n{DRAFT}", PLAN),
        (f"```bash\necho 2\n```<|eot_id|>\n{DRAFT}", "```bash\necho 2\n```"),
        (f'<details type="reasoning" done="true">\n{DRAFT}</details>\n{PLAN}', PLAN),
        (f"The <think> tag is removed.\n{PLAN}", f"The <think> tag is removed.\n{PLAN}"),
        ("analysis.py counts.\n", "analysis.py counts.\n"),
        ("```text\n<|im_end|></s><answer>\n```\n", "```text\n<|im_end|></s><answer>\n```\n"),
        (f"{PLAN}</s>", PLAN),
    ],
)
def test_the_answer_is_what_its_template_marks(text: str, answer: str, size: int) -> None:
    found, _, shown = sieved(text, size)
    assert found == shown == answer


ODD = [
    "</think>" * 50_000, "`" + "</think>" * 50_000, "<think>x</think>" * 30_000, "a <think> b" * 30_000,
    "<" * 500_000, "[" * 500_000, "`" * 500_000, "\n \t" * 200_000, "<|" * 200_000, "</s>" * 90_000,
    "<|channel|>" * 30_000, '{"' + "</think>" * 50_000,
]  # fmt: skip


@pytest.mark.parametrize("text", [*ODD, "```\n" * 200_000, "a\n" * 300_000], ids=lambda text: repr(text[:8]))
def test_a_text_of_any_form_is_read_in_one_pass(text: str) -> None:
    code = (
        "import sys; from orchestrator.llm.streaming import Repeats, Writing\n"
        "text = sys.stdin.read()\n"
        "for size in (100, len(text)):\n"
        "    writing = Writing()\n"
        "    for at in range(0, len(text), size):\n"
        "        try: writing.answer(text[at:at + size])\n"
        "        except Repeats: pass\n"
        "    writing.end(True)\n"
    )
    subprocess.run([sys.executable, "-c", code], input=text, cwd=ROOT, text=True, timeout=PATIENCE / 2, check=True)


# ── loops ────────────────────────────────────────────────────────────────────────────────────────────────────────────

BLOCK = "\n".join(f"- step {number}: do the thing with the files" for number in range(20)) + "\n"


@pytest.mark.parametrize(
    ("block", "times"),
    [
        ("The same line, again and again.\n", 70),
        ("import os\nimport sys\n\ndef main() -> None:\n    run(sys.argv)\n\n", 36),
        ("word ", 450),
        (BLOCK, 5),
        ("0, ", 2_500),
        ("-", 8_000),
        ("| 0 | 0 |\n", 800),
    ],
)
@pytest.mark.parametrize("cut", [0, 1, 3])
def test_a_text_whose_end_repeats_itself_is_a_loop(block: str, times: int, cut: int) -> None:
    text = f"This is how it begins.\n\n{block * times}"
    text = text[: len(text) - cut]
    length = repetition.period(text)
    assert length
    assert len(block) % length == 0  # "-" may be found as one or as more of them
    once = repetition.once(text, length)
    assert once.startswith("This is how it begins.")
    assert len(once) <= len("This is how it begins.\n\n") + len(block)
    assert text.startswith(once)


TABLE = "day,city,amount\n" + "".join(f"2026-01-{day:02},Wien,{day * 7 % 11}\n" for day in range(1, 1_000))


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        "0,0,0,0,0,0,0,0\n" * 200,
        "| 0 | 0 | 0 | 0 |\n" * 100,
        "".join(f"x_{number} = compute(a, b, c)\n" for number in range(500)),
        "board = [\n" + "    [0, 0, 0, 0, 0, 0, 0, 0],\n" * 64 + "]\n",
        "<tr><td></td><td></td><td></td></tr>\n" * 11,
        "<div class='square'></div>\n" * 64,
        "=" * 80 + "\n" + "Title\n" + "=" * 80,
        "    pass\n" * 11,
        "\n" * 3_000,
        " " * 3_000,
        BLOCK * 3,
        "".join(f"def test_{number}() -> None:\n    assert run({number}) == {number}\n\n\n" for number in range(300)),
        "",
        "x",
    ],
    ids=lambda text: repr(text[:16]),
)
def test_data_tables_and_code_are_no_loop(text: str) -> None:
    for end in range(0, len(text) + 1, 97):
        assert not repetition.period(text[:end]), text[:end][-200:]
    assert not repetition.period(text)


def test_the_sources_of_this_project_are_no_loops() -> None:
    for path in [*ROOT.glob("orchestrator/**/*.py"), *ROOT.glob("docs/*.md"), *ROOT.glob("templates/*/*.csv")]:
        text = path.read_text()
        for end in range(0, len(text), repetition.STRIDE):
            assert not repetition.period(text[:end]), f"{path.name}: {text[:end][-200:]}"
