"""Templates as data: phrases with slots, typed inputs, how values reach the steps, and what a wrong one is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.schemas import ScheduleRequest
from orchestrator.errors import BadRequest, SettingsError
from orchestrator.planning import placeholders
from orchestrator.planning.planner import Plan, plan
from orchestrator.planning.template_inputs import (
    BooleanInput,
    ChoiceInput,
    IntegerInput,
    NumberInput,
    StringInput,
    UrlInput,
)
from orchestrator.planning.templates import Template, Templates
from tests.support.answers import nothing_stored, problem
from tests.support.system import ROOT, System

STEP = '[[steps]]\nkind = "shell"\nscript = "true"\n'
HEAD = 'about = "x"\nphrases = ["Do it"]\n'
GOOD = HEAD + STEP

#: A template with an input of each type, and files.
ALL = """
about = "Everything."
phrases = [
    "Count to {count}", "Count to {count} in {colour}", "Count to ten", "Say {text} twice", "Say {text}", "Fetch {url}",
    "Be loud: {loud}", "Scale by {scale}", "Work on the files",
]
outputs = ["out.txt", "charts/*.png"]

[files]
about = "Tables."
accept = ["*.csv", "*.tsv"]
maximum = 2

[inputs.count]
type = "integer"
about = "How far."
default = 3
minimum = 1
maximum = 100

[inputs.colour]
type = "choice"
about = "A colour."
default = "red"
choices = ["red", "Green"]

[inputs.text]
type = "string"
about = "What to say."
default = ""
max_length = 20

[inputs.code]
type = "string"
about = "A code."
default = "AB"
pattern = "[A-Z]+"

[inputs.url]
type = "url"
about = "A page."
default = ""
network = "internet"

[inputs.loud]
type = "boolean"
about = "Louder."
default = false

[inputs.scale]
type = "number"
about = "How large."
default = 1.5
minimum = 0.5
maximum = 10

[[steps]]
kind = "file"
path = "report.py"
file = "report.py"

[[steps]]
kind = "shell"
script = "printf '%s\\\\n' {{count}} {{colour}} {{text}} {{code}} {{loud}} {{scale}} {{files}}"

[[steps]]
kind = "python"
code = "print([{{count}}, {{text}}, {{loud}}, {{scale}}, {{files}}])"

[[steps]]
kind = "shell"
when = "url"
script = "fetch -- {{url}}"

[[steps]]
kind = "shell"
unless = "url"
script = "no url"
"""


def write(folder: Path, name: str, text: str, **files: str) -> None:
    (folder / name).mkdir()
    (folder / name / "template.toml").write_text(text)
    for path, content in files.items():
        file = folder / name / path.replace("__", "/").replace("_", ".")
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)


@pytest.fixture
def known(tmp_path: Path) -> Templates:
    write(tmp_path, "all", ALL, report_py="print('{{count}}')\n", sample__a_csv="x\n1\n")
    write(tmp_path, "plain", GOOD.replace("Do it", "Say hello"))
    needs = '[files]\nabout = "A table."\naccept = ["*.csv"]\n[inputs.who]\ntype = "string"\nabout = "Who."\n'
    write(tmp_path, "needs", HEAD.replace("Do it", "Ask") + needs + STEP.replace("true", "greet {{who}}"))
    return Templates(tmp_path)


def planned(known: Templates, uploads: Sequence[str] = (), **body: Any) -> Plan:
    return plan(ScheduleRequest.model_validate(body), uploads, known, False)


def refused(known: Templates, uploads: Sequence[str] = (), **body: Any) -> str:
    """The sentence of a request that no plan is made of, which names the field."""
    with pytest.raises(BadRequest) as found:
        planned(known, uploads, **body)
    assert (found.value.status, found.value.type) == (422, "invalid")
    errors: Any = found.value.extra["errors"]
    assert found.value.detail.startswith(f"{errors[0]['field']}: ")
    return found.value.detail


# ── phrases ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("prompt", "name", "value"),
    [
        ("Count to 7", "count", 7),
        ("  COUNT\n to   7 !", "count", 7),
        ("Count to 07", "count", 7),
        ("Count to 7 in green", "colour", "Green"),
        ("Say Grüße aus İstanbul", "text", "Grüße aus İstanbul"),
        ("SAY Hello  World.", "text", "Hello World"),
        ("Say one twice", "text", "one"),
        ("Say twice", "text", "twice"),
        ("Fetch https://example.com/A?b=C", "url", "https://example.com/A?b=C"),
        ("Fetch example.com", "url", "https://example.com"),
        ("Be loud: YES", "loud", True),
        ("Scale by 2.5", "scale", 2.5),
    ],
)
def test_a_slot_gives_its_input_the_value_as_it_was_typed(known: Templates, prompt: str, name: str, value: Any) -> None:
    found = planned(known, prompt=prompt)
    assert found.planned_by == "template:all"
    assert found.inputs[name] == value
    assert type(found.inputs[name]) is type(value)


def test_an_exact_phrase_beats_a_slot_and_more_text_beats_less(known: Templates) -> None:
    assert planned(known, prompt="Say hello").planned_by == "template:plain"
    assert planned(known, prompt="Count to ten").inputs["count"] == 3
    assert planned(known, prompt="Say it twice").inputs["text"] == "it"


@pytest.mark.parametrize(
    "prompt",
    [
        "Count to", "Count to many", "Count to 7 in blue", "Please count to 7", "Count to 7 and back", "Say",
        "Fetch it", "Count to +1,0",
        "Fetch ftp://example.com", "Fetch https://user:word@example.com", "Be loud: perhaps", "Count to 7 in",
    ],
)  # fmt: skip
def test_half_a_phrase_or_a_slot_of_another_type_is_no_match(known: Templates, prompt: str) -> None:
    with pytest.raises(BadRequest, match="No plan fits the prompt"):
        planned(known, prompt=prompt)


def test_long_prompts_cost_nothing(tmp_path: Path) -> None:
    names = "abcdefgh"
    inputs = "".join(f'[inputs.{name}]\ntype = "string"\nabout = "x"\ndefault = ""\n' for name in names)
    phrase = " x ".join(f"{{{name}}}" for name in names)
    used = "".join(f"{{{{{name}}}}} " for name in names)
    write(tmp_path, "slots", HEAD.replace("Do it", phrase) + inputs + STEP.replace("true", used))
    known = Templates(tmp_path)
    begin = time.monotonic()
    for prompt in ("x " * 500, " x" * 499 + "!", "x" * 1000, "x " * 50_000):
        known.match(prompt)
    assert time.monotonic() - begin < 1
    assert known.match(" x ".join(names)) == ("slots", dict(zip(names, names, strict=True)))
    assert known.match(" x ".join([*names[:-1], "h" * 1000])) is None


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_template_by_name_takes_inputs_and_has_defaults(known: Templates) -> None:
    found = planned(known, template="all", inputs={"count": 5, "scale": 2})
    assert found.inputs == {
        "count": 5, "colour": "red", "text": "", "code": "AB", "url": "", "loud": False, "scale": 2,
    }  # fmt: skip
    assert found.outputs == ["out.txt", "charts/*.png"]
    assert found.network is None


def test_inputs_go_along_with_a_phrase_and_must_agree_with_its_slots(known: Templates) -> None:
    assert planned(known, prompt="Count to 7", inputs={"colour": "Green", "count": 7}).inputs["colour"] == "Green"
    assert "the prompt says 7" in refused(known, prompt="Count to 7", inputs={"count": 8})
    assert planned(known, template="all", prompt="Count to 7").inputs["count"] == 7
    assert planned(known, template="all", prompt="Say hello, or not").planned_by == "template:all"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"prompt": "Count to 101"}, "inputs.count: must be an integer from 1 to 100."),
        ({"prompt": "Say " + "x" * 21}, "inputs.text: must be one line of at most 20 characters."),
        ({"template": "all", "inputs": {"count": 0}}, "inputs.count: must be an integer from 1 to 100."),
        ({"template": "all", "inputs": {"count": "5"}}, "inputs.count: must be an integer from 1 to 100."),
        ({"template": "all", "inputs": {"count": 5.0}}, "inputs.count: must be an integer from 1 to 100."),
        ({"template": "all", "inputs": {"count": True}}, "inputs.count: must be an integer from 1 to 100."),
        ({"template": "all", "inputs": {"scale": 11}}, "inputs.scale: must be a number from 0.5 to 10."),
        ({"template": "all", "inputs": {"scale": float("nan")}}, "inputs.scale: must be a number from 0.5 to 10."),
        ({"template": "all", "inputs": {"loud": "yes"}}, "inputs.loud: must be true or false."),
        ({"template": "all", "inputs": {"colour": "blue"}}, "inputs.colour: must be one of red, Green."),
        ({"template": "all", "inputs": {"code": "ab"}}, "inputs.code: must be one line of at most 200 characters that"),
        ({"template": "all", "inputs": {"text": "a\nb"}}, "inputs.text: must be one line without control characters."),
        ({"template": "all", "inputs": {"url": "file:///etc/passwd"}}, "inputs.url: must be an address such as https"),
        ({"template": "all", "inputs": {"url": "http://"}}, "inputs.url: must be an address such as https"),
        ({"template": "all", "inputs": {"url": "http://[x/"}}, "inputs.url: must be an address such as https"),
        ({"template": "all", "inputs": {"url": "https://x:y@z/"}}, "inputs.url: must be an address such as https"),
        ({"template": "all", "inputs": {"size": 3}}, "inputs.size: the template all has no such input; it has: count,"),
        ({"template": "plain", "inputs": {"a": 1}}, "inputs.a: the template plain has no such input; it has: none."),
        ({"template": "al"}, "template: there is no template 'al'; templates: all, needs, plain."),
        ({"prompt": "```bash\ntrue\n```", "inputs": {"a": 1}}, "inputs: inputs need a template"),
    ],
)
def test_a_wrong_input_is_refused_with_its_name_and_bounds(known: Templates, body: Any, words: str) -> None:
    assert words in refused(known, **body)


def test_an_input_without_a_default_is_needed(known: Templates) -> None:
    words = refused(known, ["a.csv"], template="needs")
    assert words.startswith("inputs.who: the template needs needs this input: Who. It must be one line")
    assert planned(known, ["a.csv"], template="needs", inputs={"who": "me"}).inputs == {"who": "me"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": {"count": 1}}, "prompt, steps and template are missing"),
        ({"template": "fibonacci", "steps": [{"kind": "shell", "script": "true"}]}, "give template or steps"),
        ({"steps": [{"kind": "shell", "script": "true"}], "inputs": {"a": 1}}, "inputs need a template"),
        ({"template": "fibonacci", "inputs": {"count": [1]}}, "inputs.count: must be a text, a number, true or false."),
        (
            {"template": "fibonacci", "inputs": {"count": None}},
            "inputs.count: must be a text, a number, true or false.",
        ),
        ({"template": "fibonacci", "inputs": [1]}, "inputs"),
        ({"template": 3}, "template"),
        ({"template": "fibonacci", "inputs": {"count": "x" * 2001}}, "inputs.count: has more than 2000 characters."),
        ({"template": "fibonacci", "inputs": {"count": 1001}}, "inputs.count: must be an integer from 1 to 1000."),
        ({"prompt": "Calculate the first 0 fibonacci numbers"}, "inputs.count: must be an integer from 1 to 1000."),
        ({"template": "no-such"}, "there is no template 'no-such'; templates: "),
    ],
)
def test_the_api_refuses_what_no_template_can_take(parked: System, body: dict[str, Any], words: str) -> None:
    with nothing_stored(parked):
        problem(parked.http.post("/schedule", json=body), 422, words)


def test_the_network_of_a_job_comes_with_the_input_that_needs_it(known: Templates) -> None:
    assert planned(known, prompt="Fetch example.com").network == "internet"
    assert planned(known, template="all", inputs={"url": ""}).network is None


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_an_upload_a_template_works_on_its_sample(known: Templates) -> None:
    found = planned(known, prompt="Work on the files")
    assert [path.name for path in found.sample] == ["a.csv"]
    assert all(path.read_text() == "x\n1\n" for path in found.sample)
    assert found.steps[1].script.endswith(" a.csv")  # type: ignore[union-attr]


def test_uploads_take_the_place_of_the_sample(known: Templates) -> None:
    found = planned(known, ["B.CSV", "-c.tsv"], prompt="Work on the files")
    assert found.sample == []
    assert found.steps[1].script.endswith(" B.CSV ./-c.tsv")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("uploads", "words"),
    [
        (["a.txt"], "files: the template all takes *.csv, *.tsv, not 'a.txt': Tables."),
        (["a.csv", "b.csv", "c.csv"], "files: the template all takes 1 to 2 files, not 3: Tables."),
        (["report.py"], "files: the template all writes report.py itself; give the file another name."),
        (["OUT.txt"], "files: the template all writes OUT.txt itself; give the file another name."),
        (["charts"], "files: the template all writes charts itself; give the file another name."),
    ],
)
def test_uploads_that_a_template_cannot_take_are_refused(known: Templates, uploads: list[str], words: str) -> None:
    assert refused(known, uploads, template="all") == words


def test_a_template_without_a_sample_needs_an_upload(known: Templates) -> None:
    words = refused(known, template="needs", inputs={"who": "me"})
    assert words == "files: the template needs takes 1 to 1000 files, not 0: A table."


def test_a_template_that_takes_no_files_leaves_uploads_alone(known: Templates) -> None:
    assert planned(known, ["any.thing"], prompt="Say hello").sample == []


# ── how values reach the steps ───────────────────────────────────────────────────────────────────────────────────────

NASTY = [
    "",
    "a b",
    "it's",
    '"',
    "$(touch pwned)",
    "`id`",
    "; exit 1",
    "\\",
    "-n",
    "*",
    "~",
    "ü\u2028",
    "{{count}}",
    "#",
]


@pytest.mark.parametrize("value", NASTY)
def test_a_value_stays_a_value_in_the_shell_and_in_python(tmp_path: Path, value: str) -> None:
    files = ["-rf", "a b.csv", "it's.csv"]
    shown = [value, "./-rf", "a b.csv", "it's.csv"]
    script = placeholders.fill_shell("printf '%s\\0' {{text}} {{ files }}", {"text": value}, files)
    got = subprocess.run(["bash", "-eo", "pipefail", "-c", script], capture_output=True, check=True, cwd=tmp_path)
    assert got.stdout.decode().split("\0")[:-1] == shown
    code = placeholders.fill_python("import json; print(json.dumps([{{text}}, *{{files}}]))", {"text": value}, files)
    assert json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) == shown
    assert list(tmp_path.iterdir()) == []


def test_numbers_and_truths_are_written_as_each_language_has_them() -> None:
    values: dict[str, Any] = {"n": -3, "f": 0.5, "t": True}
    assert placeholders.fill_shell("{{n}} {{f}} {{t}}", values, []) == "-3 0.5 true"
    assert placeholders.fill_python("[{{n}}, {{f}}, {{t}}]", values, []) == "[(-3), 0.5, True]"


def test_file_content_stays_as_it_is_and_steps_are_there_where_they_are_needed(known: Templates) -> None:
    without = planned(known, template="all").steps
    assert without[0].content == "print('{{count}}')\n"  # type: ignore[union-attr]
    assert without[-1].script == "no url"  # type: ignore[union-attr]
    given = planned(known, template="all", inputs={"url": "http://a/$(b)"}).steps
    assert given[-1].script == "fetch -- 'http://a/$(b)'"  # type: ignore[union-attr]
    assert len(without) == len(given) == 4


SHELL_PLAIN = [
    "echo {{a}}", "x={{a}} y={{ a }}", "echo 'x'{{a}}", "echo \"$(wc -l < x)\" {{a}}", "echo don\\'t {{a}}",
    "# don't\necho {{a}}", "cat <<EOF\n'\nEOF\necho {{a}}", "cat <<< 'x' {{a}}", "echo $'it\\'s' {{a}}", "(echo {{a}})",
    "cat {{files}}; ls {{files}}", "echo $# {{a}}", "cat <<-'E F' <<G\n\tE F\nG\necho",
]  # fmt: skip
SHELL_NOT = [
    'echo "{{a}}"', "echo '{{a}}'", "# {{a}}", "echo $'{{a}}'", "cat <<EOF\n{{a}}\nEOF", "cat <<\\EOF\n{{a}}\nEOF",
    "cat <<'E F'\n{{a}}\nE F", 'echo "$(echo "{{a}}")"', "echo $(( {{a}} ))", "echo ${{a}}", "echo \\{{a}}",
    'echo "${x:-"{{a}}"}"', "cat <<E\n\tE\n{{a}}\nE", "x={{files}}", "echo {{b}}", "echo '{{a}}",
    'echo "`echo "{{a}}"`"',
]  # fmt: skip
PYTHON_PLAIN = ["print({{a}})", "x = {{files}}", "x = {{a}} + 1  # yes", "print(f'{ {{a}} }')"]
PYTHON_NOT = ["'{{a}}'", "# {{a}}", "x.{{a}}", "def {{a}}(): pass", "x = {{a}} +", "x = {{b}}", "f'{{a}}'"]


@pytest.mark.parametrize("script", SHELL_PLAIN)
def test_a_placeholder_may_be_a_word_of_a_script(script: str) -> None:
    placeholders.check_shell(script, {"a", "files"})


@pytest.mark.parametrize("script", SHELL_NOT)
def test_a_placeholder_where_quoting_would_not_hold_is_refused(script: str) -> None:
    with pytest.raises(ValueError, match=r"\{\{"):
        placeholders.check_shell(script, {"a", "files"})


@pytest.mark.parametrize("code", PYTHON_PLAIN)
def test_a_placeholder_may_be_an_expression_of_python(code: str) -> None:
    placeholders.check_python(code, {"a", "files"})


@pytest.mark.parametrize("code", PYTHON_NOT)
def test_a_placeholder_that_is_no_expression_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match=r"placeholder|not valid Python|not an input of the template"):
        placeholders.check_python(code, {"a", "files"})


# ── wrong templates ──────────────────────────────────────────────────────────────────────────────────────────────────

INPUT = '[inputs.n]\ntype = "integer"\nabout = "x"\ndefault = 1\n'
USED = STEP.replace("true", "echo {{n}}")
TEXT = INPUT.replace("integer", "string").replace("1", '"a"')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("about = 3", "about: Input should be a valid string"),
        ("no toml", "Expected '='"),
        (HEAD, "steps: Field required"),
        (HEAD + "steps = 3", "steps: Input should be a valid list"),
        (GOOD.replace("shell", "ruby"), "'ruby'"),
        (GOOD + "more = 1", "more: Extra inputs are not permitted"),
        ("sample = []\n" + GOOD, "sample: there is no such field"),
        ("conditions = []\n" + GOOD, "conditions: there is no such field"),
        (HEAD + INPUT + STEP, "inputs.n: no step uses it"),
        (HEAD + INPUT.replace("= 1", "= 1.5") + USED, "inputs.n.integer.default: "),
        (HEAD + INPUT + "maximum = 0\n" + USED, "the default 1 must be an integer from -9007199254740992 to 0"),
        (HEAD + INPUT.replace("integer", "date") + USED, "'date'"),
        (HEAD + INPUT + 'pattern = "x"\n' + USED, "inputs.n.integer.pattern: Extra inputs are not permitted"),
        (HEAD + TEXT + 'pattern = "("\n' + USED, "pattern: missing )"),
        (HEAD + TEXT + 'pattern = "b"\n' + USED, "the default 'a' must be one line"),
        (HEAD + INPUT.replace("inputs.n", "inputs.N") + USED, "inputs.N"),
        (HEAD + INPUT.replace("inputs.n", "inputs.files") + STEP, "inputs: the name files is reserved"),
        (HEAD + STEP.replace("true", "echo {{m}}"), "step 1: {{m}} is not an input of the template (it has none)"),
        (HEAD + STEP.replace("true", "echo {{files}}"), "step 1: {{files}} is not an input of the template"),
        (HEAD + INPUT + STEP.replace('"true"', "'echo \"{{n}}\"'"), "step 1: {{n}} must stand outside of quotes"),
        (HEAD + STEP + 'when = "n"', "step 1: n is not an input of the template"),
        (HEAD.replace("Do it", "Do {it}") + STEP, "the phrase 'Do {it}' has a slot for it, but the template has no"),
        (HEAD.replace("Do it", "Do {It}") + STEP, "the phrase 'Do {It}' has a brace outside of a slot"),
        (HEAD.replace("Do it", "{n}") + INPUT + USED, "needs text, and text between"),
        (HEAD.replace("Do it", "Do {n} and {n}") + INPUT + USED, "has two slots with the same name"),
        (HEAD + '[[steps]]\nkind = "file"\npath = "a"\nfile = "b.py"', "b.py: the template's folder has no such file"),
        (HEAD + '[[steps]]\nkind = "file"\npath = "a"\nfile = "../plain/template.toml"', "has no such file"),
        (HEAD + '[[steps]]\nkind = "file"\npath = "a"\nfile = "/etc/passwd"', "has no such file"),
        (HEAD + '[[steps]]\nkind = "file"\npath = "a"\nfile = "link"', "link: the template's folder has no such file"),
        (
            HEAD + '[[steps]]\nkind = "file"\npath = "a"\nfile = "shared/b.py"',
            "b.py: the template's folder has no such",
        ),
        (HEAD + '[[steps]]\nkind = "file"\npath = "a"\nfile = "shared/../plain/template.toml"', "has no such file"),
        (HEAD + '[[steps]]\nkind = "file"\npath = "a"', "steps.0.file.content: Field required"),
        (HEAD + '[[steps]]\nkind = "file"\npath = "../a"\ncontent = "x"', "must be a path inside the workspace"),
        (HEAD + '[files]\nabout = "x"\naccept = []\n' + STEP, "files.accept: List should have at least 1 item"),
    ],
)
def test_a_wrong_template_stops_the_start_with_its_name(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, "plain", GOOD.replace("Do it", "Another"))
    write(tmp_path, "one", text)
    (tmp_path / "one" / "link").symlink_to("/etc/hostname")
    with pytest.raises(SettingsError, match="^The template one is wrong: .*" + re.escape(words)):
        Templates(tmp_path)


def test_a_file_step_can_use_a_file_that_the_templates_share(tmp_path: Path) -> None:
    write(tmp_path, "one", HEAD + '[[steps]]\nkind = "file"\npath = "scripts/a.py"\nfile = "shared/a.py"')
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "a.py").write_text("print('shared')")
    [step] = Templates(tmp_path).all["one"].plan({}, [])
    assert (step.writes, step.source) == ("scripts/a.py", "print('shared')")


@pytest.mark.parametrize("phrase", ["do  IT.", "Do {n}"])
def test_two_templates_with_one_phrase_stop_the_start(tmp_path: Path, phrase: str) -> None:
    slot = HEAD.replace("Do it", "Do {n}") + INPUT + USED
    write(tmp_path, "one", slot if "{" in phrase else GOOD)
    write(tmp_path, "two", slot.replace("Do {n}", phrase) if "{" in phrase else GOOD.replace("Do it", phrase))
    with pytest.raises(SettingsError, match="The templates one and two have the same phrase"):
        Templates(tmp_path)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ("", "sample: needs [files]"),
        ('[files]\nabout = "x"\naccept = ["*.txt"]\n', "sample: files.accept does not take a.csv"),
        ('[files]\nabout = "x"\naccept = ["*.csv"]\nminimum = 2\n', "sample: has 1 files, but files asks for 2 to"),
    ],
)
def test_a_sample_is_held_to_what_uploads_are(tmp_path: Path, files: str, words: str) -> None:
    write(tmp_path, "one", HEAD + files + STEP, sample__a_csv="x")
    with pytest.raises(SettingsError, match=re.escape(words)):
        Templates(tmp_path)


# ── how one is written ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_example_of_the_page_is_a_template_that_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs/templates.md").read_text()
    text, script = (re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)[0] for language in ("toml", "python"))
    write(tmp_path, "word-count", text, words_py=script, sample__poem_txt="one two two\n")
    known = Templates(tmp_path)
    found = planned(known, prompt="Show the 3 most frequent words", inputs={"upper": True})
    (tmp_path / "poem.txt").write_text(found.sample[0].read_text())
    for step in found.steps:
        if step.kind == "file":
            (tmp_path / step.path).write_text(step.content)
        else:
            command = ["bash", "-c", step.script] if step.kind == "shell" else [sys.executable, "-c", step.code]
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # its python, also where PATH has none
            subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)
    assert (tmp_path / "words.csv").read_text() == "TWO,2\nONE,1\n"
    fields = re.findall(r"^\| `\[?\[?(\w+)", page.partition("| type |")[0], re.MULTILINE)
    assert set(fields) == {*Template.model_fields} - {"conditions"}
    types = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]*)\|", page.partition("| type |")[2], re.MULTILINE)))
    kinds = [StringInput, IntegerInput, NumberInput, BooleanInput, ChoiceInput, UrlInput]
    assert types == [kind.model_fields["type"].annotation.__args__[0] for kind in kinds]  # type: ignore[attr-defined]


# ── what there is ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_says_what_each_template_takes(parked: System) -> None:
    found = {one["name"]: one for one in parked.http.get("/templates").json()["templates"]}
    fibonacci = found["fibonacci"]
    assert "Calculate the first {count} fibonacci numbers" in fibonacci["phrases"]
    assert fibonacci["inputs"] == {
        "count": {"type": "integer", "about": "How many numbers.", "default": 20, "minimum": 1, "maximum": 1000}
    }
    assert fibonacci["outputs"] == ["fibonacci.py", "fibonacci.txt"]
    assert (fibonacci["files"], fibonacci["network"], fibonacci["sample"]) == (None, "none", False)
    assert "steps" not in fibonacci


def test_one_template_is_shown_with_its_steps(parked: System) -> None:
    found = parked.http.get("/templates/fibonacci").json()
    assert [step["kind"] for step in found["steps"]] == ["file", "shell", "python"]
    assert found["steps"][1]["script"] == "python fibonacci.py {{count}} | tee fibonacci.txt"
    assert found["sample_files"] == []
    problem(parked.http.get("/templates/no-such"), 404, "There is no template 'no-such'. Templates: ", "fibonacci")
