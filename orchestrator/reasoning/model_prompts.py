"""The model's prompts: the texts of ``prompts/``, filled in from the record and from the agent's findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from orchestrator.db.models import Job, Step
from orchestrator.db.store import Printed
from orchestrator.planning.kinds import KINDS, kind_of
from orchestrator.reasoning.error_hints import hints
from orchestrator.reasoning.named_files import (
    about_a_screen,
    about_a_server,
    columns_of,
    made_files,
    mended_files,
    missing_inputs,
    named_files,
    tests_of,
)
from orchestrator.reasoning.promises import made_tests, promises_of
from orchestrator.reasoning.prompt_examples import examples_of
from orchestrator.reasoning.tracebacks import shorten
from orchestrator.reports.documents import printed
from orchestrator.reports.notebook import drawn
from orchestrator.settings import Settings
from orchestrator.sizes import show_size
from protocol import messages

FOLDER = Path(__file__).parent / "prompts"

#: Maximum characters of each part. A longer part loses its middle, and a marker says so.
PROMPT, PRINTED, WORKSPACE, DETAIL, OLDER, LAST_PRINTED = 40_000, 6_000, 40_000, 4_000, 1_500, 600

#: Output after which the prompt lists the files again.
NOT_THERE = re.compile(r"No such file|not found|does not exist|cannot (open|stat)", re.IGNORECASE)

#: How the prompt describes a job's network.
NETWORKS = {
    "none": "no network: nothing can be installed",
    "internet": "internet access; pip and npm can install more",
}

#: The line above and below a block of data. ``cut`` removes it from the data.
BLOCK = "~~~~~~~~"

_COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)


def _load(name: str) -> Template:
    return Template(_COMMENT.sub("", (FOLDER / f"{name}.md").read_text("utf-8")).strip())


PROMPTS = {path.stem: _load(path.stem) for path in sorted(FOLDER.glob("*.md"))}


def system(job: Job, settings: Settings, loop: bool) -> str:
    """Return the text that begins every conversation. The parts that differ from job to job are at its end."""
    names = ", ".join(job.secrets)
    secrets = (
        f"\nThe person gave these secrets as environment variables of every command: {names}. You are not shown their "
        "values: where one stood in a text, it says `[secret NAME]`. Never print one, and never write one into a file."
    )
    name = "system" if loop else "run" if not only_programs(job) else "files" if len(names_of(job)) > 1 else "file"
    text = PROMPTS[name].safe_substitute(
        loop=PROMPTS["loop"].template,
        language=_language(names_of(job)),
        screen=f"\n{PROMPTS['screen'].template}\n" if about_a_screen(job.prompt) else "",
        seconds=f"{job.seconds:g}",
        step_seconds=f"{min(job.seconds, settings.model_step_seconds):g}",
        memory=show_size(job.memory),
        cpus=f"{job.cpus:g}",
        network=NETWORKS[job.network],
        secrets=secrets if names else "",
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def printed_of(steps: Sequence[Step], purpose: messages.Purpose, events: Iterable[Printed]) -> dict[int, str]:
    """Return the output of the steps that a question is about, by their numbers."""
    failed = last_failed(steps)
    match purpose:
        case "plan" | "syntax":
            numbers = []
        case "repair":
            numbers = [failed.number] if failed else []
        case _:
            ended = [step.number for step in steps if step.status == "completed" and step.number != messages.CHECK]
            numbers = ended[-3:]
    texts: dict[int, list[str]] = {number: [] for number in numbers}
    for event in events if texts else ():
        if event.data["step"] in texts:
            texts[event.data["step"]].append(printed(event))
    return {number: drawn("".join(parts)) for number, parts in texts.items()}


def question(job: Job, steps: Sequence[Step], outputs: Mapping[int, str], ask: messages.Ask, loop: bool) -> str:
    """Return the next turn of the conversation for the purpose of ``ask``.

    ``outputs`` comes from ``printed_of``. With ``loop``, the model may work in parts.
    """
    workspace = _workspace(ask.workspace, ask.purpose == "plan")
    name: str = ask.purpose
    match ask.purpose:
        case "plan":
            form = "" if loop else _form(job)
            parts = {"prompt": cut(job.prompt, PROMPT), "given": _given(job), "workspace": workspace, "form": form}
        case "syntax":
            parts = {"problems": _problems(steps, ask.problems)}
        case "repair":
            failed = last_failed(steps)
            parts = {"failed": "", "printed": "", "workspace": workspace, "rest": "", "disown": ""}
            if failed is not None:
                text = outputs.get(failed.number, "")
                parts["failed"] = _failed(failed, text, steps)
                parts["printed"] = cut(shorten(text), PRINTED).strip() or "(nothing)"
                parts["rest"] = _rest(steps, failed)
            if loop or (ask.facts and all(fact.ok for fact in ask.facts)):
                parts["disown"] = PROMPTS["disown"].template
            if not loop:
                name = "repair_whole"
                parts["workspace"] = workspace if NOT_THERE.search(parts["printed"]) else ""
        case "results":
            parts = {"printed": _all_printed(outputs, PRINTED), "workspace": workspace}
        case "facts":
            parts = {"facts": _wrong(ask), "printed": _all_printed(outputs, OLDER), "workspace": workspace}
            if not loop:
                name = "facts_whole"
                parts["workspace"] = workspace if any(fact.about == "missing" for fact in ask.facts) else ""
        case "review":
            parts = {
                "check": _check(job, steps),
                "outputs": _outputs(job, ask.missing),
                "printed": _all_printed(outputs, PRINTED),
                "workspace": workspace,
            }
    return _tidy(PROMPTS[name].safe_substitute(parts))


def again(plan: str, steps: Sequence[Step], outputs: Mapping[int, str], ask: messages.Ask) -> str:
    """Return the request again with the failure, for a model that only plans. ``plan`` is the first turn."""
    trouble, failed = _wrong(ask), last_failed(steps)
    if ask.purpose == "repair" and failed is not None:
        text = outputs.get(failed.number, "")
        trouble = f"{_failed(failed, text, steps)}\n{cut(shorten(text)[-LAST_PRINTED:], LAST_PRINTED).strip()}"
    return _tidy(PROMPTS["again"].safe_substitute(plan=plan, trouble=trouble))


def _wrong(ask: messages.Ask) -> str:
    return "\n".join(f"- {cut(fact.detail, DETAIL)}" for fact in ask.facts if not fact.ok)


def unusable(why: str) -> str:
    """Return the turn after an answer that cannot become a plan."""
    return PROMPTS["unusable"].substitute(why=why.rstrip("."))


def repeated(what: str) -> str:
    """Return the turn after an answer that does the same again."""
    return PROMPTS["repeated"].substitute(what=what)


def cut_off(why: str) -> str:
    """Return the turn after an answer that was cut off at its limit or because it repeated itself."""
    return PROMPTS["cut"].substitute(why=why)


def last_failed(steps: Sequence[Step]) -> Step | None:
    """Return the step that a repair is about: the step, or the check, that failed last."""
    failed = [step for step in steps if step.status == "failed"]
    return max(failed, key=lambda step: step.ended_at or 0.0, default=None)


def cut(text: str, most: int) -> str:
    """Cut the middle out of a text that is too long. A marker says how much is left out.

    The result cannot end the block that contains it.
    """
    text = text.replace(BLOCK, "~ ~ ~ ~ ")
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters are left out here …]\n{text[-half:]}"


def _tidy(text: str) -> str:
    """Remove the gaps that empty parts leave."""
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _block(title: str, text: str) -> str:
    return f"\n{title}\n{BLOCK}\n{text.strip()}\n{BLOCK}\n" if text.strip() else ""


def _workspace(text: str, first: bool) -> str:
    text = cut(text, WORKSPACE)
    if "\n" not in text.strip():  # empty, or the agent's reason why it could not list the files
        return "\nNo file came with this request: /workspace is empty." if first else f"\n{text}"
    return _block(THERE if first else "What is in /workspace now:", text)


def _given(job: Job) -> str:
    """Return the requirements beside the prompt, and the files that may be missing."""
    lines = []
    if "outputs" in job.given:
        lines.append(f"These files must be there at the end: {', '.join(job.outputs)}")
    if "check" in job.given:
        lines.append(f"At the end this command must exit with 0: {job.check_command}")
    if gone := missing_inputs(job.prompt, [upload["name"] for upload in job.uploads]):
        lines.append(MISSING.format(names=", ".join(gone)))
    return "".join(f"\n{line}" for line in lines)


def only_programs(job: Job) -> bool:
    """Tell whether a prompt asks only for programs. Then the model needs to run nothing."""
    names = names_of(job)
    plain = not job.uploads and not job.secrets and not about_a_screen(job.prompt)
    return bool(names) and plain and all(_is_written(name) for name in names)


#: The language in a fence, by the suffix of its file.
FENCES = {suffix: kind.LANGUAGE for kind in KINDS.values() for suffix in kind.SUFFIXES}


def _language(names: Sequence[str]) -> str:
    suffix = names[0].rsplit(".", 1)[-1].lower() if names else "py"
    return FENCES.get(suffix, suffix)


def _is_written(name: str) -> bool:
    return name.rsplit(".", 1)[-1].lower() in WRITTEN


def _form(job: Job) -> str:
    """Return the form and the contents of the answer, for a model that delivers the whole work at once."""
    names, uploads = names_of(job), [upload["name"] for upload in job.uploads]
    written = [name for name in names if _is_written(name)] or mended_by(job)
    if only_programs(job) and len(written) == 1:
        numbers = f"\n{PROMPTS['numbers'].template}" if _adds_text(job.prompt, written[0]) else ""
        return f"{numbers}\nAnswer with one fenced code block: the whole content of {written[0]}. Write nothing else."
    if written:
        files = ", ".join(f"`### file {name}`" for name in written[:5])
        return f"\nAnswer with {files}, {'each ' if len(written) > 1 else ''}complete."
    if not uploads and not names:
        return ""
    columns = columns_of(job.prompt)
    made = [f"{name} (columns: {', '.join(columns[name])})" if name in columns else name for name in names[:8]]
    server = f"\n{PROMPTS['server'].template}" if about_a_server(job.prompt, uploads) else ""
    what = f" that makes {' and '.join(made)}" if made else " that does all of it"
    return f"\nAnswer with one `### run` block of `python` code{what}.{server}"


def _adds_text(prompt: str, name: str) -> bool:
    """Tell whether a program in JavaScript may read numbers as text."""
    return name.endswith((".js", ".mjs", ".cjs")) and re.search(r"\bnumbers?\b", prompt, re.IGNORECASE) is not None


def _problems(steps: Sequence[Step], problems: Sequence[messages.SourceProblem]) -> str:
    known = {step.number: step for step in steps}
    lines = []
    for problem in problems:
        step = known.get(problem.number)
        at = f", line {problem.line}" if problem.line else ""
        lines.append(f"- {_name(step) if step else 'a block'}{at}: {cut(problem.message, 500)}")
        if problem.text.strip():
            lines.append(f"  `{cut(problem.text.strip(), 200)}`")
    return "\n".join(lines)


def _name(step: Step) -> str:
    """Return the name of a step for the model."""
    if step.number == messages.CHECK:
        return f"the command `{cut(step.source.strip(), 500)}`"
    kind = kind_of(step)
    if kind.WRITES:
        return kind.named(step)
    lines = [line for line in step.source.splitlines() if line.strip()]
    first = lines[0].strip() if lines else ""
    more = "" if len(lines) <= 1 else f" … ({len(lines)} lines)"
    return f"{kind.named(step)} `{cut(first, 200)}`{more}"


def _failed(step: Step, printed: str, steps: Sequence[Step]) -> str:
    """Describe how a step failed, with the hints of the agent and of ``error_hints``."""
    name = _name(step)
    code = f" with exit code {step.exit_code}" if step.exit_code is not None else ""
    sentence = step.detail.split("\n")[0].split(". It last printed")[0]
    known = [line for line in step.detail.split("\n")[1:] if line.startswith(HINTS)]
    text = f"{name[0].upper()}{name[1:]} failed{code}."
    if step.exit_code is None or "time limit" in sentence:
        text += f" {sentence}"
    return "\n".join([text, *known, *hints(printed, steps)])


#: The title above the files that came with a prompt. Without it, a model copies them into its answer.
THERE = "These files are in /workspace already. Read them with code; write one again only to change it."

#: The suffixes of files that a model writes itself. A program makes all other files.
WRITTEN = ("py", "js", "mjs", "cjs", "ts", "sh", "bash", "html", "css", "md", "c", "cpp", "java", "go", "rs", "sql")

#: The note about missing files that the prompt wants the model to read. Without it, small models invent them.
MISSING = (
    "Not there, and only the person has it: {names}. If the work needs it, answer `Needs: {names}` and nothing else."
)

#: The beginnings of the hints that the agent adds to a failure.
HINTS = (
    "The job has no network",
    "A step's source is not in",
    "While it ran, the kernel killed",
    "A server",
    "Nobody can",
)


def _rest(steps: Sequence[Step], failed: Step) -> str:
    if failed.number == messages.CHECK:
        return " The check runs again."
    waiting = [step for step in steps if step.status == "waiting" and step.number != messages.CHECK]
    if not waiting:
        return " If you give files alone, the same command runs again."
    return " If you give files alone, the same command runs again, and then the blocks that have not run yet."


def _check(job: Job, steps: Sequence[Step]) -> str:
    check = next((step for step in steps if step.number == messages.CHECK), None)
    if check is None or check.exit_code is None:
        return ""
    return (
        f"\nThe check `{cut(check.source, 1000)}` ended with exit code {check.exit_code}. {cut(check.detail, 2000)}\n"
    )


def _outputs(job: Job, missing: Sequence[str]) -> str:
    """List the declared outputs, and tell whether they exist."""
    lines = [f"- {pattern}: {'nothing matches it' if pattern in missing else 'there'}" for pattern in job.outputs]
    return "\nThe declared outputs:\n" + "\n".join(lines) + "\n" if lines else ""


def _all_printed(outputs: Mapping[int, str], most: int) -> str:
    return _block("The end of what was printed:", cut("".join(outputs.values()), most))


def wanted(job: Job) -> dict[str, Any]:
    """Return the prompt's requirements for the result, as the fields of ``messages.Order`` that the agent checks."""
    uploads = [upload["name"] for upload in job.uploads]
    return {
        "named": names_of(job),
        "made": made_files(job.prompt, uploads),
        "columns": columns_of(job.prompt),
        "examples": examples_of(job.prompt),
        "tests": tests_of(job.prompt, uploads),
        "promises": promises_of(job.prompt, uploads),
        "tried_tests": made_tests(job.prompt, uploads),
    }


def mended_by(job: Job) -> list[str]:
    """Return the uploads that the prompt wants changed."""
    return mended_files(job.prompt, [upload["name"] for upload in job.uploads])


def names_of(job: Job) -> list[str]:
    """Return the files that the prompt names, without its uploads."""
    return named_files(job.prompt, [upload["name"] for upload in job.uploads])
