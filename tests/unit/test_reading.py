"""What models write, and what is read from it: one row for each kind of answer that was seen."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest

from orchestrator.db.models import Step
from orchestrator.planning.kinds import FileStep, NodeStep, PythonStep, ShellStep
from orchestrator.reasoning.answer import Given, Reading, Unusable
from orchestrator.reasoning.answer_parser import read
from orchestrator.reasoning.error_hints import hints
from orchestrator.reasoning.named_files import columns_of, made_files, missing_inputs, named_files

FENCE = "```"


def given(**what: Any) -> Given:
    return Given(**what)


def answer(text: str, **what: Any) -> Reading:
    """Read an answer in which ``@@@`` stands for a fence of three backticks."""
    return read(text.replace("@@@", FENCE), Given(**what))


def steps(reading: Reading) -> list[tuple[str, str, str]]:
    """Kind, path and source of each step."""
    found = []
    for step in reading.steps:
        if isinstance(step, FileStep):
            found.append(("file", step.path, step.content))
        elif isinstance(step, ShellStep):
            found.append(("shell", "background" if step.background else "", step.script))
        else:
            assert isinstance(step, PythonStep | NodeStep)
            found.append((step.kind, "background" if step.background else "", step.code or ""))
    return found


A = ("file", "a.py", "x = 1\n")
RUN = ("shell", "", "python a.py\n")

FORMS = {
    "the form that is asked for": "### file a.py\n@@@python\nx = 1\n@@@\n\n### run\n@@@bash\npython a.py\n@@@",
    "a heading without the word file": "### a.py\n@@@python\nx = 1\n@@@\n### run\n@@@bash\npython a.py\n@@@",
    "a name in backticks": "## File: `a.py`\n@@@python\nx = 1\n@@@\n## Run it\n@@@bash\npython a.py\n@@@",
    "a name in bold": "**a.py**\n\n@@@python\nx = 1\n@@@\n**Run:**\n@@@bash\npython a.py\n@@@",
    "a numbered heading": "### 1. Create `a.py`\n@@@python\nx = 1\n@@@\n### 2. Run\n@@@sh\npython a.py\n@@@",
    "a name in the info string": "@@@python a.py\nx = 1\n@@@\n### run\n@@@bash\npython a.py\n@@@",
    "a name after a colon in the info string": "@@@python:a.py\nx = 1\n@@@\n### run\n@@@bash\npython a.py\n@@@",
    "a title in the info string": '@@@python title="a.py"\nx = 1\n@@@\n### run\n@@@bash\npython a.py\n@@@',
    "a sentence before the block": "Create a file named `a.py` with this content:\n@@@python\nx = 1\n@@@\nThen run it:"
    "\n@@@bash\npython a.py\n@@@",
    "tildes": "### file a.py\n~~~python\nx = 1\n~~~\n### run\n~~~bash\npython a.py\n~~~",
    "a longer fence": "### file a.py\n@@@@python\nx = 1\n@@@@\n### run\n@@@bash\npython a.py\n@@@",
    "headings inside one fence": "@@@\n### file a.py\nx = 1\n\n### run\npython a.py\n@@@",
    "a heading inside each fence": "@@@\n### file a.py\nx = 1\n@@@\n@@@\n### run\npython a.py\n@@@",
    "no last fence": "### file a.py\n@@@python\nx = 1\n@@@\n### run\n@@@bash\npython a.py",
    "no fence between two blocks": "### file a.py\n@@@python\nx = 1\n\n### run\n@@@bash\npython a.py\n@@@",
    "a workspace prefix": "### file /workspace/a.py\n@@@python\nx = 1\n@@@\n### run\n@@@bash\npython a.py\n@@@",
    "another workspace prefix": "### file workspace/a.py\n@@@python\nx = 1\n@@@\n### run\n@@@bash\npython a.py\n@@@",
    "windows line ends": "### file a.py\r\n@@@python\r\nx = 1\r\n@@@\r\n### run\r\n@@@bash\r\npython a.py\r\n@@@",
    "a list around it": "1. Write:\n\n   **a.py**\n   @@@python\n   x = 1\n   @@@\n2. Run:\n   @@@bash\n   python a.py"
    "\n   @@@",
    "a terminal's session": "### file a.py\n@@@python\nx = 1\n@@@\n### run\n@@@console\n$ python a.py\n1\n@@@",
    "no language for the command": "### file a.py\n@@@python\nx = 1\n@@@\n### run\n@@@\npython a.py\n@@@",
    "a draft of the same file before it": "### file a.py\n@@@python\nx = 0\n@@@\nBetter:\n### file a.py\n@@@python\nx ="
    " 1\n@@@\n### run\n@@@bash\npython a.py\n@@@",
    "printed text between": "### file a.py\n@@@python\nx = 1\n@@@\n### run\n@@@bash\npython a.py\n@@@\nIt prints:\n"
    "@@@text\n1\n@@@",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_and_its_command_are_read_in_every_form(form: str) -> None:
    assert steps(answer(FORMS[form])) == [A, RUN]


def test_an_upload_that_an_answer_copies_after_its_own_block_is_left_out() -> None:
    text = "@@@python\nx = 1\n\nAll of rates.py:\nRATES = {}\n\nAll of test_a.py:\nimport a\n@@@"
    assert steps(answer(text, named=("a.py",))) == [A]


def test_a_name_in_the_first_comment_is_the_files_name() -> None:
    found = steps(answer("@@@python\n# filename: a.py\nx = 1\n@@@\n@@@html\n<!-- page/index.html -->\n<p>1</p>\n@@@"))
    assert [(kind, path) for kind, path, _ in found[:2]] == [("file", "a.py"), ("file", "page/index.html")]


def test_blocks_inside_a_markdown_file_belong_to_it() -> None:
    text = (
        "### file README.md\n@@@markdown\n# Use\n@@@bash\nls\n@@@\n@@@\nplain\n@@@\nend\n@@@\n### run\n@@@bash\nls\n@@@"
    )
    assert steps(answer(text)) == [
        ("file", "README.md", "# Use\n```bash\nls\n```\n```\nplain\n```\nend\n"),
        ("shell", "", "ls\n"),
    ]


def test_entities_are_read_where_the_code_has_no_such_characters_of_its_own() -> None:
    assert steps(answer("### file a.py\n@@@python\nif 1 &lt; 2:\n    pass\n@@@"))[0][2] == "if 1 < 2:\n    pass\n"
    page = "### file a.html\n@@@html\n<p>1 &lt; 2</p>\n@@@"
    assert steps(answer(page))[0][2] == "<p>1 &lt; 2</p>\n"
    assert "&lt;" in steps(answer("### file a.py\n@@@python\nprint('<b>', '&lt;')\n@@@"))[0][2]


def test_python_without_a_name_is_a_cell_or_the_one_file_that_the_prompt_names() -> None:
    text = "@@@python\ndef add(a, b):\n    return a + b\n@@@"
    assert steps(answer(text))[0][0] == "python"
    assert steps(answer(text, named=["solution.py"])) == [("file", "solution.py", "def add(a, b):\n    return a + b\n")]
    assert steps(answer(text, named=["a.py", "b.py"]))[0][0] == "python"
    uses = "### run\n@@@python\nfrom solution import add\nprint(add(1, 2))\n@@@"
    assert steps(answer(uses, named=["solution.py"]))[0][0] == "python"


def test_javascript_without_a_name_is_a_node_step_or_the_one_file_that_the_prompt_names() -> None:
    text = "@@@js\nconsole.log(1)\n@@@"
    assert steps(answer(text)) == [("node", "", "console.log(1)\n")]
    assert steps(answer(text, named=["stats.js"]))[0] == ("file", "stats.js", "console.log(1)\n")


def test_commands_of_a_shell_in_a_python_block_run_in_the_shell() -> None:
    found = steps(
        answer("### file a.py\n@@@python\nx = 1\n@@@\n### run\n@@@python\npython a.py\npython b.py --all\n@@@")
    )
    assert found[1] == ("shell", "", "python a.py\npython b.py --all\n")
    assert steps(answer("@@@python\npython = 1\nprint(python)\n@@@"))[0][0] == "python"


def test_a_fence_around_the_form_itself_is_no_block() -> None:
    assert steps(answer("@@@python\n### file a.py\n@@@python\nx = 1\n@@@\n", named=["a.py"])) == [A]


def test_a_program_under_the_name_of_its_result_is_run_and_not_written_there() -> None:
    draws = "### file chart.png\n@@@python\nimport matplotlib\n@@@"
    assert steps(answer(draws, named=["chart.png"])) == [("python", "", "import matplotlib\n")]
    assert steps(answer("### file notes.md\n@@@python\nx = 1\n@@@"))[0][:2] == ("file", "notes.md")


def test_headings_without_any_fence_are_read() -> None:
    found = answer("I do it.\n\n### file a.txt\n\nhello\nyou\n\n### run\nwc a.txt\n\nDone: no")
    assert steps(found) == [("file", "a.txt", "hello\nyou\n"), ("shell", "", "wc a.txt\n")]
    assert (found.thought, found.done) == ("I do it.", False)


def test_a_server_runs_in_the_background() -> None:
    text = (
        "### run in background\n@@@bash\npython -m http.server 8000\n@@@\n### run\n@@@bash\ncurl -s localhost:8000\n@@@"
    )
    assert [path for _, path, _ in steps(answer(text))] == ["background", ""]


def test_a_program_that_nothing_runs_is_run_where_its_result_is_asked_for() -> None:
    program = "### file plot.py\n@@@python\nprint('draws')\n@@@"
    assert steps(answer(program, named=["plot.py"])) == [("file", "plot.py", "print('draws')\n")]
    for named in ([], ["plot.py", "plot.png"]):
        found = answer(program, named=named)
        assert steps(found)[-1] == ("shell", "", "python plot.py\n") and "python plot.py" in found.notes[0]
    asks = "### file ask.py\n@@@python\nname = input('Name? ')\n@@@"
    assert len(steps(answer(asks))) == 1  # nobody can answer it


def test_an_installation_is_left_out_where_there_is_no_network() -> None:
    text = "### run\n@@@bash\npip install pandas\n@@@\n### run\n@@@bash\nls\n@@@"
    found = answer(text)
    assert [source for *_, source in steps(found)] == ["ls\n"] and "pip install pandas" in found.notes[0]
    assert len(steps(answer(text, network=True))) == 2


@pytest.mark.parametrize(
    ("line", "outputs"),
    [
        ("Outputs: a.csv, b.png", ["a.csv", "b.png"]),
        ("**Outputs:** `a.csv`, `b.png`", ["a.csv", "b.png"]),
        ("Outputs: a.csv, `b.png`", ["a.csv", "b.png"]),
        ("Outputs:\n- a.csv\n- `b.png` (the chart)", ["a.csv", "b.png"]),
        ("Outputs: /workspace/a.csv and workspace/b.png", ["a.csv", "b.png"]),
        ("Outputs: out/", ["out/**"]),
        ("Outputs: none", []),
        ("Outputs: N/A", []),
        ("Outputs: *.txt, plots/*.png", ["*.txt", "plots/*.png"]),
        ("Outputs: **a.csv**", ["a.csv"]),
    ],
)
def test_the_line_outputs_names_files(line: str, outputs: list[str]) -> None:
    assert answer(f"### run\n@@@bash\nls\n@@@\n{line}").outputs == outputs


@pytest.mark.parametrize(
    "nothing",
    [
        "none",
        "None.",
        "N/A",
        "n/a",
        "true",
        "`true`",
        ":",
        "exit 0",
        "",
        "missing",
        "-",
        "None required",
        "N/A (visual)",
    ],
)
def test_a_check_that_says_nothing_is_none(nothing: str) -> None:
    assert answer(f"### run\n@@@bash\nls\n@@@\nCheck: {nothing}").check == ""
    old = {"missing": nothing, "steps": [{"kind": "shell", "title": "", "source": "ls", "path": ""}], "check": nothing}
    found = read(json.dumps({**old, "outputs": [nothing]}), given())
    assert (found.check, found.needs if nothing not in ("true", "`true`", ":", "exit 0") else "") == ("", "")


@pytest.mark.parametrize(
    "sentence",
    [
        "No check needed", "No check is needed.", "not applicable here", "TBD", "skip", "(none)", "manual",
        "Manually inspect the plot", "Visual inspection", "Verify that out.csv exists", "Open `plot.png` and look",
        "The plot shows a line.", "keine",
    ],
)  # fmt: skip
def test_a_sentence_in_place_of_a_check_is_none(sentence: str) -> None:
    assert answer(f"### run\n@@@bash\nls\n@@@\nCheck: {sentence}").check == ""
    assert read(json.dumps({**PLAN, "check": sentence}), given()).check == ""


@pytest.mark.parametrize(
    ("check", "command"),
    [
        ("Run `test -s a.txt` first", "test -s a.txt"), ("no_tool --all", "no_tool --all"), ("./verify", "./verify"),
        ("not-a-word x", "not-a-word x"), ("checksum a", "checksum a"),
    ],
)  # fmt: skip
def test_a_check_that_only_looks_like_a_sentence_is_a_command(check: str, command: str) -> None:
    assert answer(f"### run\n@@@bash\nls\n@@@\nCheck: {check}").check == command


def test_a_check_is_a_command_on_its_line_or_in_a_block() -> None:
    assert answer("### run\n@@@bash\nls\n@@@\nCheck: `test -s a.txt`").check == "test -s a.txt"
    found = answer("### run\n@@@bash\nls\n@@@\nCheck:\n@@@bash\ntest -s a.txt\n@@@")
    assert found.check == "test -s a.txt" and len(found.steps) == 1


@pytest.mark.parametrize(
    ("line", "done"), [("Done: yes", True), ("**Done:** no", False), ("- Done: Yes.", True), ("", None)]
)
def test_the_line_done_says_whether_the_work_is_complete(line: str, done: bool | None) -> None:
    found = answer(f"All is there.\n{line}")
    assert found.done is done and found.thought == "All is there."


def test_what_is_needed_is_a_sentence_to_the_person() -> None:
    found = answer("Needs: the file sales.csv,\nwith a column of amounts.")
    assert found.needs == "the file sales.csv, with a column of amounts." and found.steps == []
    assert answer("Needs: no data file was uploaded").needs == "no data file was uploaded"
    for nothing in ("nothing", "None — everything is there", "Nothing else.", "N/A (all is there)"):
        assert answer(f"Needs: {nothing}").needs == ""


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

PLAN = {
    "missing": "",
    "steps": [{"kind": "shell", "title": "t", "source": "ls", "path": ""}],
    "outputs": [],
    "check": "",
}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(PLAN),
        f"Here is my plan:\n```json\n{json.dumps(PLAN)}\n```\nGood luck!",
        f"My plan: {json.dumps(PLAN)} and that is all.",
        json.dumps({"files": [], "commands": ["ls"]}),
        json.dumps({"commands": [{"run": "ls"}]}),
        json.dumps({"steps": [{"kind": "bash", "script": "ls"}]}),
        json.dumps({"steps": ["ls"]}),
    ],
)
def test_a_plan_in_json_is_read_too(text: str) -> None:
    assert steps(read(text, given())) == [("shell", "", "ls")]


STEP = {"kind": "shell", "script": "ls"}
DRAFT = json.dumps({"steps": [{"kind": "shell", "script": "rm draft"}]})


@pytest.mark.parametrize(
    "text",
    [
        f"{DRAFT}\n{json.dumps(PLAN)}",
        f"{DRAFT}\n\nNo, better:\n\n{json.dumps(PLAN)}",
        f"```json\n{DRAFT}\n```\nNo, better:\n```json\n{json.dumps(PLAN)}\n```",
        f"```json\n{DRAFT}\n```\n### run\n```bash\nls\n```",
        f"{DRAFT}\n\n### run\n```bash\nls\n```",
        "```thinking\nFirst:\n```bash\nrm draft\n```\nNo.\n```\n### run\n```bash\nls\n```",
        "```draft\nrm draft\n```\n### run\n```bash\nls\n```",
        "<!-- A draft:\n```bash\nrm draft\n```\n-->\n### run\n```bash\nls\n```",
        f'{json.dumps(PLAN)}\n\nIt prints {{"files": 3}}.',
    ],
)
def test_of_several_plans_the_last_one_runs(text: str) -> None:
    assert [(kind, source.strip()) for kind, _, source in steps(read(text, given()))] == [("shell", "ls")]


def test_a_plan_that_breaks_off_after_a_draft_is_asked_for_again() -> None:
    with pytest.raises(Unusable, match="its JSON does not parse"):
        read(f'{DRAFT}\n{{"steps": [{{"kind": "shell", "script": "ls', given())


@pytest.mark.parametrize(
    ("changed", "outputs", "check", "needs"),
    [
        ({"outputs": "plot.png, a.csv"}, ["plot.png", "a.csv"], "", ""),
        ({"outputs": [{"path": "a.csv"}, "N/A", {"name": "b.csv"}, 5]}, ["a.csv", "b.csv"], "", ""),
        ({"outputs": "none"}, [], "", ""),
        ({"outputs": 1}, [], "", ""),
        ({"outputs": None, "check": None, "missing": None}, [], "", ""),
        ({"check": ["test -s a.txt", "test -s b.txt"]}, [], "test -s a.txt && test -s b.txt", ""),
        ({"check": ["test", "-s", "a.txt"]}, [], "test -s a.txt", ""),
        ({"check": {"command": "test -s a.txt"}}, [], "test -s a.txt", ""),
        ({"check": False}, [], "", ""),
        ({"missing": ["none"]}, [], "", ""),
        ({"missing": {"files": []}}, [], "", ""),
        ({"missing": ["the file a.csv", "N/A"]}, [], "", "the file a.csv"),
        ({"steps": {"1": STEP}}, [], "", ""),
        ({"steps": STEP}, [], "", ""),
        ({"steps": [None, STEP]}, [], "", ""),
        ({"steps": [{**STEP, "kind": None, "title": 5}]}, [], "", ""),
        ({"steps": [{**STEP, "title": "a \ud83d"}], "summary": "half \ud83d"}, [], "", ""),
    ],
)
def test_an_odd_field_of_a_plan_in_json_takes_nothing_from_it(
    changed: dict[str, Any], outputs: list[str], check: str, needs: str
) -> None:
    found = read(json.dumps({**PLAN, **changed}), given())
    assert steps(found) == [("shell", "", "ls")]
    assert (found.outputs, found.check, found.needs) == (outputs, check, needs)
    assert found.thought.encode() is not None


@pytest.mark.parametrize(
    "text", [json.dumps({"plan": PLAN}), json.dumps({"name": "plan", "arguments": PLAN}), json.dumps([STEP])]
)
def test_a_plan_within_another_object_is_read(text: str) -> None:
    assert steps(read(text, given())) == [("shell", "", "ls")]


@pytest.mark.parametrize(("said", "done"), [("yes", True), ("no", False), (True, True), ("maybe", None), (1, None)])
def test_a_verdict_in_json_may_be_a_word(said: Any, done: bool | None) -> None:
    assert read(json.dumps({"steps": [], "done": said}), given()).done is done


def test_control_characters_are_left_out_and_said_to_be() -> None:
    found = answer("### run \x07the \x1b[31mtool\x1b[0m\n\x1b[36m@@@bash\x1b[0m\n\x1b[1mls\x1b[0m \x00-l\n@@@")
    assert steps(found) == [("shell", "", "ls -l\n")]
    assert found.steps[0].title == "run the tool"
    assert found.notes == ["Control characters in the answer were left out."]
    [step] = read(json.dumps({"steps": [{**STEP, "title": "a\x07b \x1b]0;x\x07c"}]}), given()).steps
    assert step.title == "ab c"


@pytest.mark.parametrize("before", ["\ufeff", "\u200b", "\u00a0"])
def test_an_invisible_character_hides_no_heading_and_no_fence(before: str) -> None:
    assert steps(answer(f"{before}### run\n{before}@@@bash\nls\n{before}@@@")) == [("shell", "", "ls\n")]


def test_a_fence_around_a_whole_answer_is_no_block() -> None:
    found = answer("@@@markdown\n### file a.py\n@@@python\nx = 1\n@@@\n### run\n@@@bash\npython a.py\n@@@\n@@@")
    assert steps(found) == [A, RUN]


def test_json_with_real_line_ends_in_its_strings_is_read() -> None:
    found = read('{"steps": [{"kind": "python", "source": "a = 1\nprint(a)"}]}', given())
    assert steps(found) == [("python", "", "a = 1\nprint(a)")]


def test_python_with_a_path_is_that_file_and_is_run() -> None:
    plan = {"steps": [{"kind": "python", "title": "t", "source": "print(1)", "path": "workspace/a.py"}]}
    assert steps(read(json.dumps(plan), given())) == [("file", "a.py", "print(1)"), ("shell", "", "python a.py\n")]


def test_json_that_does_not_parse_is_told_its_true_error() -> None:
    with pytest.raises(Unusable, match=r"Expecting ',' delimiter: line 1 column .* Markdown"):
        read('{"steps": [{"kind": "shell", "source": "echo "a""}]}', given())


def test_a_review_in_json_is_a_verdict() -> None:
    found = read('{"accept": true, "summary": "All is there.", "steps": []}', given())
    assert (found.done, found.thought, found.steps) == (True, "All is there.", [])


def test_a_json_file_is_a_file_and_no_plan() -> None:
    text = '### file steps.json\n@@@json\n{"steps": [{"kind": "shell", "source": "ls"}]}\n@@@'
    assert [(kind, path) for kind, path, _ in steps(answer(text))] == [("file", "steps.json")]


def test_a_path_that_leaves_the_workspace_is_refused() -> None:
    with pytest.raises(Unusable, match="inside the workspace"):
        answer("### file ../../etc/passwd.txt\n@@@text\nx\n@@@")


def test_too_many_steps_are_refused() -> None:
    with pytest.raises(Unusable, match="101 files and commands"):
        answer("### run\n@@@bash\nls\n@@@\n" * 101)


@pytest.mark.parametrize(
    "text",
    [
        "```" + " " * 1_000_000 + "`",
        "*" * 1_000_000,
        "### " + "a." * 500_000,
        "- " + " " * 1_000_000 + "x",
        "# " * 500_000 + "\n@@@\nls\n@@@",
        "@@@markdown\n" + "@@@\n" * 100_000,
        "{" * 1_000_000,
        '{"steps": ' + "[" * 1_000_000,
        "@@@python\n" + "#" * 1_000_000 + "\n@@@",
        "### file up.csv\n@@@\n" + "1,2\n" * 120_000 + "@@@",
        "Outputs: " + "a," * 400_000,
        "@@@markdown\n### run\n" * 30_000,
        "<!--\n" * 200_000,
        '{"steps": []}\n' * 30_000,
        "\x1b]" * 300_000,
        "\ufeff" * 600_000,
        "Needs: x\n" + "y\n" * 200_000,
    ],
)
def test_no_answer_stalls_the_reader_by_its_form(text: str) -> None:
    before = time.process_time()
    with contextlib.suppress(Unusable):
        answer(text, uploads=["up.csv"], upload=lambda name: "1,2\n" * 1_000)
    assert time.process_time() - before < 20  # a pattern that goes back and forth takes hours


@pytest.mark.parametrize("part", ["a", "a.", "a/", "a.csv ", "a-", " ", "read a.csv, "])
def test_no_prompt_stalls_the_reader_by_its_form(part: str) -> None:
    prompt = part * (100_000 // len(part))
    before = time.process_time()
    for work in (named_files, missing_inputs, columns_of):
        work(prompt)
    assert time.process_time() - before < 20


# ── the files that a prompt names ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("Write solution.py with a function f.", ["solution.py"]),
        ("Read sales.csv and write totals.json and `out/chart.png`.", ["totals.json", "out/chart.png"]),
        ("Save it as /workspace/a.txt, please.", ["a.txt"]),
        ("Use Node.js and Express.js to print 1.5 e.g. to the log.", []),
        ("Fetch https://example.org/data.csv", []),
        ("Delete old.log and rename a.txt to b.txt", ["b.txt"]),
        ("Create index.html. It loads style.css!", ["index.html", "style.css"]),
        ("Make a chart", []),
    ],
)
def test_the_files_that_a_prompt_names(prompt: str, names: list[str]) -> None:
    assert named_files(prompt, ["sales.csv"]) == names


@pytest.mark.parametrize(
    ("prompt", "missing"),
    [
        ("Read contract.pdf and write a summary to summary.md", ["contract.pdf"]),
        ("Compare the totals of old.csv and new.csv and write the growth to growth.txt", ["old.csv", "new.csv"]),
        ("Convert sales.csv to sales.json", []),  # it came with the prompt
        ("Convert prices.csv to prices.json", ["prices.csv"]),
        ("Summarise sales.csv in summary.json", []),
        ("Write a script load.py that reads config.json", []),
        ("Draw a chart and save it as chart.png", []),
    ],
)
def test_the_files_that_a_prompt_wants_to_be_read_and_that_are_not_there(prompt: str, missing: list[str]) -> None:
    assert missing_inputs(prompt, ["sales.csv"]) == missing


@pytest.mark.parametrize(
    ("prompt", "made"),
    [
        ("Summarise sales.csv for me in summary.txt: the totals.", ["summary.txt"]),
        ("Summarise app.log for me in summary.txt.", ["summary.txt"]),
        ("Write a.txt and save the chart as b.png", ["a.txt", "b.png"]),
        ("Write a.txt, in the way of old.cfg", ["a.txt"]),
        ("Write a.txt, b.txt and c.txt", ["a.txt", "b.txt", "c.txt"]),
        ("The answer stands in `a.json`.", ["a.json"]),
        ("Write todo.py, a small tool that keeps its items in todo.json.", ["todo.py"]),
    ],
)
def test_the_files_that_a_prompt_says_are_to_be_made(prompt: str, made: list[str]) -> None:
    assert made_files(prompt, ["sales.csv"]) == made


@pytest.mark.parametrize(
    ("prompt", "columns"),
    [
        ("Write totals.csv with the columns category and total.", {"totals.csv": ["category", "total"]}),
        ("Turn it into out/b.csv with the columns id, name, `country` and extras. Sort it.",
         {"out/b.csv": ["id", "name", "country", "extras"]}),
        ("Write a.csv, one line for each day. The columns are many.", {}),
        ("Sum the column amount of a.csv", {}),
    ],
)  # fmt: skip
def test_the_columns_that_a_prompt_says_for_a_table(prompt: str, columns: dict[str, list[str]]) -> None:
    assert columns_of(prompt) == columns


# ── hints ────────────────────────────────────────────────────────────────────────────────────────────────────────────

STEPS = [
    Step(
        job_id="x",
        number=1,
        kind="file",
        title="",
        source="def sort(a):\n    return a\n",
        path="lib/sorts.py",
        seconds=1,
    )
]


@pytest.mark.parametrize(
    ("printed", "hint"),
    [
        ("AttributeError: 'DataFrame' object has no attribute 'applymap'", "use DataFrame.map"),
        ("AttributeError: module 'PIL.Image' has no attribute 'ANTIALIAS'", "use Image.LANCZOS"),
        ("TypeError: endswith first arg must be str or a tuple of str, not list", "write endswith(tuple(names))"),
        ("AttributeError: module 'numpy' has no attribute 'float'", "use Python's float"),
        ("NameError: name 'sort' is not defined", "`from lib.sorts import sort`"),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: 'thumbs/a.png'",
            "os.makedirs('thumbs', exist_ok=True)",
        ),
        ("ModuleNotFoundError: No module named 'polars'", "do without it"),
        ("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe4", "cp1252"),
        ("EOFError: EOF when reading a line", "must not wait for input"),
    ],
)
def test_what_is_known_of_an_error_is_said(printed: str, hint: str) -> None:
    (said,) = hints(f"Traceback:\n{printed}\n", STEPS)
    assert hint in said


def test_of_another_error_nothing_is_said() -> None:
    assert hints("KeyError: 'revenue'\nAttributeError: 'tuple' object has no attribute 'append'", STEPS) == []
