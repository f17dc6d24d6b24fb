"""The kinds of steps: both tables are whole, and node, the youngest kind, works from the request to the ZIP."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from agent.flow import build
from agent.nodes import kinds as nodes
from agent.nodes.steps import StepNode
from agent.workspace.source_check import LANGUAGES as CHECKED
from orchestrator.db.models import Job
from orchestrator.errors import BadRequest
from orchestrator.files.salvage import write_zip
from orchestrator.planning.kinds import FENCES, KINDS, BaseStep, Step, kind_of, writes
from orchestrator.planning.planner import fenced_steps
from orchestrator.planning.step_rows import planned_step, rows_of
from orchestrator.reasoning.answer import LANGUAGES, Given
from orchestrator.reasoning.answer_parser import read
from orchestrator.reports.documents import Api, plan, report
from orchestrator.reports.notebook import Shown, notebook
from protocol import messages
from protocol.artifact import Artifact
from protocol.file_names import STEP_SCRIPT, Junk
from tests.support.providers import OpenAIServer, Turn
from tests.support.system import ROOT, System

#: Steps of each kind, as a plan has them. A new kind needs one here.
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "shell": [{"script": "echo 1\necho 2\n"}, {"script": "sleep 9", "background": True}],
    "python": [{"code": "print(1)"}, {"file": "a.py", "args": ["1", "b c"]}, {"code": "x()", "background": True}],
    "node": [{"code": "console.log(1)\n"}, {"code": "serve()", "background": True}],
    "file": [{"path": "a/b.txt", "content": "text\n"}, {"path": "empty", "content": ""}],
}

ALL = [(kind, example) for kind, examples in EXAMPLES.items() for example in examples]
each_kind = pytest.mark.parametrize("kind", get_args(messages.StepKind))
each_example = pytest.mark.parametrize(("kind", "example"), ALL, ids=lambda value: str(value)[:40])


def a_job() -> Job:
    return Job(
        id="1" * 16, prompt="", planned_by="request", network="none", seconds=60, memory=2**27, cpus=1, processes=64,
        zip_bytes=2**20, steps_count=1, created_at=time.time(), outcome={"status": "completed", "detail": ""},
    )  # fmt: skip


def step_of(kind: str, example: dict[str, Any], **more: Any) -> BaseStep:
    made: BaseStep = TypeAdapter(Step).validate_python({"kind": kind, **example, **more})
    return made


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_link_the_orchestrator_and_the_agent_know_the_same_kinds() -> None:
    assert list(get_args(messages.StepKind)) == list(KINDS) == list(nodes.KINDS) == list(EXAMPLES)


@each_kind
def test_a_kind_is_one_file_on_each_side(kind: str) -> None:
    ours, its = KINDS[kind], nodes.KINDS[kind]  # type: ignore[index]
    assert ours.__module__ == f"orchestrator.planning.kinds.{kind}" and its.__module__ == f"agent.nodes.{kind}"
    assert get_args(ours.model_fields["kind"].annotation) == (kind,)


@each_kind
def test_a_kind_has_all_its_parts(kind: str) -> None:
    ours, its = KINDS[kind], nodes.KINDS[kind]  # type: ignore[index]
    assert ours.__doc__ and ours.SOURCE in ours.model_fields
    assert ours.WRITES is its.writes
    assert bool(ours.SUFFIXES) == bool(ours.PROGRAM), "a suffix needs a program that runs such a file"
    if not ours.WRITES:
        assert ours.LANGUAGE and ours.FENCES and "background" in ours.model_fields
    for method in ("command", "cell"):
        assert getattr(its, method) is not getattr(StepNode, method)


def test_no_two_kinds_share_a_word_or_a_suffix() -> None:
    for words in ("FENCES", "ALIASES"):
        all_words = [word for kind in KINDS.values() for word in getattr(kind, words)]
        assert len(all_words) == len(set(all_words))
    suffixes = [suffix for kind in KINDS.values() for suffix in kind.SUFFIXES]
    assert len(suffixes) == len(set(suffixes))
    assert LANGUAGES.keys() > FENCES.keys()


@each_kind
def test_a_kind_is_in_the_graph_in_the_openapi_document_and_in_the_pages(parked: System, kind: str) -> None:
    assert type(build().start_node.successors[kind]) is nodes.KINDS[kind]  # type: ignore[index]
    schemas = parked.http.get("/openapi.json").json()["components"]["schemas"]
    mapping = json.dumps(schemas["ScheduleRequest"]["properties"]["steps"])
    assert f'"{kind}": "#/components/schemas/{KINDS[kind].__name__}"' in mapping
    assert kind in schemas["StatusView"]["properties"]["phase"]["description"]
    assert f'`{{"kind": "{kind}", ' in (ROOT / "docs/api.md").read_text()


# ── one step of each kind, without an engine ─────────────────────────────────────────────────────────────────────────


@each_example
def test_a_step_comes_back_from_its_row(kind: str, example: dict[str, Any]) -> None:
    step = step_of(kind, example, title="A title")
    (row,) = rows_of(a_job(), [step], 1)
    assert kind_of(row) is type(step) and kind_of(row).from_row(row) == step
    assert (row.kind, row.source, row.background) == (kind, step.source, example.get("background", False))
    assert writes(row) == step.writes == (example["path"] if KINDS[kind].WRITES else "")


@each_example
def test_a_step_in_the_manifest_can_be_posted_again(kind: str, example: dict[str, Any]) -> None:
    step = step_of(kind, example, seconds=7)
    (again,) = plan(job := a_job(), rows_of(job, [step], 1), [])["steps"]
    assert step_of(kind, {name: part for name, part in again.items() if name != "kind"}) == step.model_copy(
        update={"title": again["title"]}
    )
    assert again["title"] == step.default_title()


@each_example
def test_a_step_is_in_the_report_and_in_the_notebook(kind: str, example: dict[str, Any]) -> None:
    job = a_job()
    (row,) = rows_of(job, [step_of(kind, example)], 1)
    row.status, row.started_at, row.ended_at, row.exit_code = "completed", 1.0, 2.0, 0
    assert f"| 1 | {kind} | {row.title} | completed | 0 | 1.0 |" in report(job, [row], [], [], Api(8000, False))
    found = json.loads(notebook(job, [row], Shown()))["cells"]
    text = next(cell["source"] for cell in found if cell["id"].startswith("step-1"))
    assert f"*{kind}, completed with exit code 0*" in text
    if kind_of(row).is_cell(row):
        assert found[-1]["cell_type"] == "code" and found[-1]["source"] == row.source
    else:
        assert f"```{KINDS[kind].LANGUAGE}\n{row.source.rstrip()}\n```" in text


@each_example
def test_the_agent_has_a_command_and_a_cell_for_a_step(
    kind: str, example: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.nodes.steps.SOURCES", tmp_path)
    (row,) = rows_of(a_job(), [step_of(kind, example)], 1)
    step = planned_step(row)
    command, _ = nodes.KINDS[step.kind]().command(step)
    assert command and all(isinstance(word, str) for word in command)
    assert nodes.cell(step).endswith(step.source)
    assert nodes.written([step]) == ({row.path} if KINDS[kind].WRITES else set())
    (source,) = nodes.sources([step])
    assert KINDS[kind].WRITES or source.language in CHECKED


@pytest.mark.parametrize("word", FENCES)
def test_a_block_of_a_prompt_and_of_an_answer_is_a_step_of_its_kind(word: str) -> None:
    block = f"```{word}\nx = 1\n```\n"
    for (step,) in (fenced_steps(block), read(block, Given()).steps):
        assert (step.kind, step.source) == (FENCES[word], "x = 1\n")


@pytest.mark.parametrize(("word", "kind"), LANGUAGES.items())
def test_a_plan_in_json_names_a_kind_with_any_of_its_words(word: str, kind: str) -> None:
    (step,) = read(json.dumps({"steps": [{"kind": word, "source": "x = 1"}]}), Given()).steps
    assert (step.kind, step.source) == (kind, "x = 1")


def test_an_error_about_a_block_names_the_blocks_that_can_run() -> None:
    with pytest.raises(BadRequest, match="Blocks begin with ```bash, ```python or ```js and end with ```"):
        fenced_steps("```rust\nfn main() {}\n```")


def test_only_the_script_of_a_step_at_the_top_of_the_workspace_is_junk() -> None:
    script = STEP_SCRIPT.format(number=12, suffix="js")
    assert Junk([]).by_path(script)
    assert not Junk([script]).by_path(script)
    assert not any(map(Junk([]).by_path, (f"a/{script}", "step-12.js", ".step-x.js", f"{script}.txt")))


def test_a_template_puts_no_input_into_javascript() -> None:
    with pytest.raises(ValueError, match="placeholders are not allowed"):
        step_of("node", {"code": "print({{count}})"}).used_inputs({"count"})
    assert step_of("node", {"code": "render('{{ user }}')"}).used_inputs({"count"}) == set()


def test_a_salvaged_workspace_leaves_out_the_script_of_a_step() -> None:
    copy, script = io.BytesIO(), STEP_SCRIPT.format(number=1, suffix="js")
    with tarfile.open(fileobj=copy, mode="w") as tar:
        for name in (script, "kept.js"):
            tar.addfile(tarfile.TarInfo(f"workspace/{name}"))
    found: list[Artifact] = []

    def papers(artifact: Artifact) -> tuple[dict[str, Any], dict[str, str]]:
        found.append(artifact)
        return {"partial": artifact.partial}, {}

    write_zip(io.BytesIO(), iter([copy.getvalue()]), "", 2**20, time.monotonic() + 9, [], papers)
    assert [entry["path"] for entry in found[0].files] == ["workspace/kept.js"] and not found[0].partial
    assert [entry["path"] for entry in found[0].left_out] == [f"workspace/{script}"]


# ── node, through the front door ─────────────────────────────────────────────────────────────────────────────────────


def node(code: str, **more: Any) -> dict[str, Any]:
    return {"kind": "node", "code": code, **more}


def file(path: str, content: str) -> dict[str, Any]:
    return {"kind": "file", "path": path, "content": content}


COMMONJS = """\
const { double } = require('./lib/double');
const word = require('word');
console.log(double(21), word, require.main === module, process.cwd());
"""
MODULE = """\
import { double } from './lib/double.js';
import word from 'word';
console.log(await Promise.resolve(double(21)), word, typeof require);
"""


def test_a_node_step_finds_the_files_and_the_packages_of_the_workspace(system: System) -> None:
    job = system.submit(
        steps=[
            file("lib/double.js", "exports.double = (n) => 2 * n;\n"),
            file("node_modules/word/index.js", "module.exports = 'a word';\n"),
            node(COMMONJS),
            {"kind": "shell", "script": "ls -A"},
        ]
    )
    found = system.completed(job)
    assert system.output(job, 3) == "42 a word true /workspace\n"
    assert system.output(job, 4) == "lib\nnode_modules\n"
    assert found["steps"][2]["title"] == "const { double } = require('./lib/double');"
    assert "node" in [event["data"]["phase"] for event in system.events(job) if event["event"] == "phase"]


def test_a_node_step_is_a_module_if_the_package_says_so(system: System) -> None:
    job = system.submit(
        steps=[
            file("package.json", '{"type": "module"}'),
            file("lib/double.js", "export const double = (n) => 2 * n;\n"),
            file("node_modules/word/package.json", '{"type": "module", "exports": "./word.js"}'),
            file("node_modules/word/word.js", "export default 'a word';\n"),
            node(MODULE),
        ]
    )
    system.completed(job)
    assert system.output(job, 5) == "42 a word undefined\n"


def test_a_node_step_is_in_every_document_and_its_plan_and_a_retry_repeat_it(system: System) -> None:
    step = node("console.log('from node')\n", title="Says it", seconds=30)
    first = system.submit(steps=[step])
    system.completed(first)
    archive = system.zip(first)
    assert archive.manifest["plan"]["steps"] == [step]
    assert archive.paths == set()
    assert "| 1 | node | Says it | completed | 0 |" in archive.report
    assert "from node" in archive.output_log
    (cell,) = (one for one in json.loads(archive.read("session.ipynb"))["cells"] if one["id"] == "step-1")
    assert cell["cell_type"] == "markdown"
    assert "```javascript\nconsole.log('from node')\n```" in cell["source"] and "from node" in cell["source"]
    posted = system.submit(**archive.manifest["plan"])
    retried = system.http.post(f"/jobs/{first}/retry").json()["job_id"]
    for job in (posted, retried):
        assert system.completed(job)["steps"][0]["kind"] == "node"
        assert system.output(job) == "from node\n"
        assert system.zip(job).manifest["plan"]["steps"] == [step]


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        ("process.exit(3)", 3, ""),
        ("const a = 1;\nthrow new Error('the reason')", 1, "Error: the reason"),
        ("const a = ;", 1, "SyntaxError"),
        ("process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 9e5)", 143, ""),
        ("process.exit(require('fs').readFileSync(0).length ? 1 : 5)", 5, ""),
    ],
    ids=["exit", "throw", "syntax", "signal", "no input"],
)  # fmt: skip
def test_a_node_step_fails_with_its_exit_code(system: System, code: str, exit_code: int, said: str) -> None:
    found = system.run(steps=[node(code), {"kind": "shell", "script": "echo never"}])
    assert (found["reason"], found["steps"][0]["exit_code"]) == ("step_failed", exit_code), found
    assert found["steps"][1]["status"] == "skipped"
    assert said in found["detail"]


def test_a_node_step_that_is_ended_leaves_nothing_in_the_zip(system: System) -> None:
    job = system.submit(steps=[node("console.log('up'); setInterval(() => {}, 1000)", seconds=2)])
    found = system.ended(job)
    assert found["reason"] == "timed_out", found
    archive = system.zip(job)
    assert archive.paths == set() and list(archive.left_out) == [STEP_SCRIPT.format(number=1, suffix="js")]
    assert not archive.manifest["files"]


def test_a_server_in_node_runs_in_the_background(system: System) -> None:
    server = "require('http').createServer((_, answer) => answer.end('hello')).listen(8123, '127.0.0.1')"
    ask = "curl -s --retry 50 --retry-delay 1 --retry-connrefused http://127.0.0.1:8123/"
    job = system.submit(steps=[node(server, background=True), {"kind": "shell", "script": ask}])
    found = system.completed(job)
    assert system.output(job, 2) == "hello" and "until packaging" in found["steps"][0]["detail"]
    archive = system.zip(job)
    assert archive.paths == set() and not archive.manifest["partial"]
    assert archive.manifest["plan"]["steps"][0]["background"] is True


def test_a_block_of_javascript_in_a_prompt_is_a_node_step(system: System) -> None:
    job = system.submit(prompt="Do this:\n\n```js\nconsole.log(6 * 7)\n```\n")
    found = system.completed(job)
    assert (found["planned_by"], [step["kind"] for step in found["steps"]]) == ("code-blocks", ["node"])
    assert system.output(job) == "42\n"


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({}, "code"),
        ({"code": ""}, "code"),
        ({"code": "1", "script": "1"}, "script"),
        ({"code": "1", "args": []}, "args"),
    ],
)
def test_a_wrong_node_step_is_refused_with_its_field(parked: System, fields: dict[str, Any], at: str) -> None:
    answer = parked.http.post("/schedule", json={"steps": [{"kind": "node", **fields}]})
    assert answer.status_code == 422
    assert [error["field"].rpartition(".")[2] for error in answer.json()["errors"]] == [at]


# ── node, from a model ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def modelled(engine: None) -> Iterator[tuple[System, OpenAIServer]]:
    with OpenAIServer(()) as server:
        system = System(**server.settings, AGENT_LOOP="loop")
        try:
            yield system.start(), server
        finally:
            system.close()


def block(code: str) -> str:
    return f"### run\n```js\n{code}\n```\n"


def test_a_models_javascript_is_a_node_step_that_is_checked_and_repaired(modelled: tuple[System, OpenAIServer]) -> None:
    system, server = modelled
    write = "require('fs').writeFileSync('sum.txt', String(1 + 2))"
    server.script = (
        Turn(text=block("require('fs').writeFileSync('sum.txt', (1 + ")),
        Turn(text=block("missing(1)")),
        Turn(text=block(write)),
        Turn(text="The sum is there.\n\nDone: yes\n"),
    )
    job = system.submit(prompt="Write the sum of 1 and 2 to sum.txt")
    found = system.completed(job)
    assert system.zip(job).text("sum.txt") == "3"
    ran = [(step["kind"], step["status"]) for step in found["steps"] if step["status"] != "skipped"]
    assert ran == [("node", "failed"), ("node", "completed")]
    broken, failed = server.asked[1].last, server.asked[2].last
    assert "the javascript block `require('fs').writeFileSync('sum.txt', (1 +`" in broken and "SyntaxError" in broken
    assert "The javascript block `missing(1)` failed with exit code 1." in failed and "ReferenceError" in failed
    assert [step["code"] for step in system.zip(job).manifest["plan"]["steps"]] == [f"{write}\n"]
