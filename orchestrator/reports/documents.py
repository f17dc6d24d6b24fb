"""The job's documents in the ZIP: the manifest, the report, the log of all output, and the notebook.

The orchestrator makes them from the record, in the same way for every ending. The agent only puts them into the ZIP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from orchestrator.db.models import VERIFIED_BY, Event, Job, Step, at_the_end
from orchestrator.db.store import Printed
from orchestrator.planning.kinds import kind_of
from orchestrator.reports.notebook import Shown, drawn, in_words, notebook
from orchestrator.sizes import show_size
from protocol import messages

log = logging.getLogger(__name__)


#: How the report's title names each final state.
ENDINGS = {"completed": "completed", "failed": "failed", "cancelled": "was cancelled"}


#: Maximum number of files with secrets that the report lists.
FOUND = 20


class Api(NamedTuple):
    """The address of this system's API, and whether its calls need a key."""

    url: str
    needs_key: bool

    @property
    def curl(self) -> str:
        return 'curl -H "Authorization: Bearer $API_KEY"' if self.needs_key else "curl"


def iso(at: float | None) -> str | None:
    """Return a time in ISO 8601, in UTC, with milliseconds."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def between(begin: float | None, end: float | None) -> float | None:
    """Return the seconds from one time to another, or None if a time is unknown."""
    return round(max(0.0, end - begin), 3) if begin is not None and end is not None else None


def plan(job: Job, steps: Sequence[Step], thoughts: Sequence[Event]) -> dict[str, Any]:
    """Return the body of a ``POST /schedule`` that runs the same plan again, without steps that a model replaced."""
    kept = _kept(steps, thoughts)
    found: dict[str, Any] = {}
    if planned := [_planned(step) for step in kept if step.number != messages.CHECK]:
        found["steps"] = planned
    if job.prompt:
        found["prompt"] = job.prompt
    if job.wanted_model and not planned:
        found["model"] = job.wanted_model  # a request with steps needs no model
    if job.outputs:
        found["outputs"] = job.outputs
    if job.check_command:
        found["check"] = job.check_command
    if job.labels:
        found["labels"] = job.labels
    if job.keep_days:
        found["keep_days"] = job.keep_days
    if job.secrets:
        found["secrets"] = dict.fromkeys(job.secrets, "")  # the client fills in the values
    return {**found, "network": job.network, "limits": limits(job)}


def _kept(steps: Sequence[Step], thoughts: Sequence[Event]) -> list[Step]:
    """Return the steps of the last plan, and the completed steps before them."""
    last = first_of_last_plan(thoughts)
    return [step for step in steps if step.number >= last or step.status == "completed"]


def first_of_last_plan(thoughts: Sequence[Event]) -> int:
    """Return the number of the last plan's first step. Earlier steps belong to plans that it replaced."""
    plans = [event.data["steps"] for event in thoughts if event.kind == "planned"]
    first: int = plans[-1][0]["number"] if plans else 1
    return first


def limits(job: Job) -> dict[str, Any]:
    return {
        "seconds": job.seconds,
        "memory": job.memory,
        "cpus": job.cpus,
        "processes": job.processes,
        "zip": job.zip_bytes,
        "calls": job.max_calls,
        "tokens": job.max_tokens,
        "cost": job.max_cost,
    }


def usage(job: Job) -> dict[str, Any]:
    """Return a job's use of the model. ``cost`` is in US$, if the price is known."""
    return {"model": job.model, "calls": job.calls, "tokens": job.tokens, "cost": job.cost, "repairs": job.repairs}


def timings(job: Job) -> dict[str, float | None]:
    """Return the seconds that each part of a job's life has taken so far."""
    return {
        "queued": between(job.created_at, job.started_at),
        "starting": between(job.started_at, job.taken_at),
        "working": between(job.taken_at, job.packaging_at or job.settled_at),
        "packaging": between(job.packaging_at or job.settled_at, job.ended_at),
        "total": between(job.created_at, job.ended_at),
    }


def thinking(thoughts: Sequence[Event]) -> list[dict[str, Any]]:
    """Return the model's events in the format of the status and the manifest."""
    return [{"kind": event.kind, "at": iso(event.at), "data": event.data} for event in thoughts]


def manifest(job: Job, steps: Sequence[Step], thoughts: Sequence[Event]) -> dict[str, Any]:
    """Return the manifest without its files. The packer adds them."""
    ending = job.outcome or {}
    results = [_result(step, job) for step in steps if step.number != messages.CHECK]
    check = next((_result(step, job) for step in steps if step.number == messages.CHECK), None)
    return {
        "manifest_version": 1,
        "version": messages.VERSION,
        "job_id": job.id,
        "status": ending.get("status"),
        "reason": ending.get("reason"),
        "detail": ending.get("detail", ""),
        "verified_by": job.verified_by if ending.get("status") == "completed" else None,
        "facts": ending.get("facts", []),
        "partial": ending.get("status") != "completed",
        "prompt": job.prompt,
        "planned_by": job.planned_by,
        "inputs": job.inputs,
        "uploads": job.uploads,
        "secrets": job.secrets,
        "plan": plan(job, steps, thoughts),
        "steps": results,
        "check": check,
        "usage": usage(job),
        "thinking": thinking(thoughts),
        "summary": job.summary,
        "image": job.image,
        "image_id": job.image_id,
        "sandbox": job.sandbox_id,
        "times": {
            "created": iso(job.created_at),
            "started": iso(job.started_at),
            "taken": iso(job.taken_at),
            "packaging": iso(job.packaging_at),
            "settled": iso(job.settled_at),
        },
    }


def report(
    job: Job, steps: Sequence[Step], thoughts: Sequence[Event], found: Sequence[dict[str, Any]], api: Api
) -> str:
    """Return ``report.md``: the request, the steps, and how to run the job again."""
    ending, lines = job.outcome or {}, _ending(job)
    if ending["status"] == "completed" and job.verified_by:
        lines += [f"Verified by: {job.verified_by} ({VERIFIED_BY[job.verified_by]}).", ""]
    if ending.get("check_dropped"):
        lines += [f"The model's own check was dropped: {ending['check_dropped']}", ""]
    if job.prompt:
        lines += ["## Request", "", *(f"    {line}" for line in job.prompt.split("\n")), ""]
    if job.summary:
        lines += ["## Result", "", *(f"> {line}" for line in job.summary.splitlines()), ""]
    lines += [*_inputs(job), "## Steps", "", f"Planned by: {job.planned_by}", *_with_a_model(job), ""]
    lines += ["| step | kind | title | status | exit code | seconds |", "|---|---|---|---|---|---|"]
    for step in steps:
        name = "check" if step.number == messages.CHECK else str(step.number)
        seconds = between(step.started_at, step.ended_at)
        cells = (name, step.kind, step.title.replace("|", "\\|"), _ended_as(step, job), step.exit_code, seconds)
        lines.append("| " + " | ".join("–" if cell is None else str(cell) for cell in cells) + " |")
    if job.secrets:
        lines += ["", f"Secrets in the environment of the steps: {', '.join(job.secrets)}.", *_with_secrets(found)]
    image = f"Image: {job.image} ({job.image_id})." if job.image else "No container was started."
    lines += ["", "## Limits", ""]
    lines.append(
        f"{job.seconds:g} s, {show_size(job.memory)} of memory, {job.cpus:g} CPUs, {job.processes} processes, "
        f"network: {job.network}. {image}"
    )
    lines += ["", "## Run it again", "", "```bash", _again(job, api), "```", "", *_left_out(job, steps, thoughts)]
    lines += ["`sha256sum -c SHA256SUMS` checks the files; `manifest.json` has the evidence.", ""]
    return "\n".join(lines)


def results(outputs: Sequence[str]) -> str:
    """Return a template job's summary: where the results are in the ZIP. A template names its report first."""
    first, *others = (f"`workspace/{path}`" for path in outputs)
    return f"Begin with {first}." + (f" The other results are {', '.join(others)}." if others else "")


def _ending(job: Job) -> list[str]:
    """Return the report's title, and how the job ended."""
    ending = job.outcome or {}
    lines = [f"# Job {job.id} {ENDINGS.get(ending.get('status', ''), '')}".rstrip(), ""]
    if ending.get("reason"):
        # a code block keeps a step's output from becoming a heading or a table of the report
        first, *rest = ending["detail"].split("\n")
        lines += [f"**{ending['reason']}**: {first}", "", *(f"    {line}" for line in rest), ""]
    elif ending.get("detail"):
        lines += [ending["detail"], ""]
    return lines


def _again(job: Job, api: Api) -> str:
    """Return the command that runs the job again. It takes secrets from environment variables of the same names."""
    values = "{" + ", ".join(f"{name}: env.{name}" for name in job.secrets) + "}"
    if job.uploads:
        given = f"jq -n '{{secrets: {values}}}' | " if job.secrets else ""
        body = " -d @-" if job.secrets else ""
        return f"{given}{api.curl} -X POST{body} {api.url}/jobs/{job.id}/retry    # with its files, while they are kept"
    made = f"jq '.plan | .secrets = {values}'" if job.secrets else "jq .plan"
    return f"{made} manifest.json | {api.curl} -H 'Content-Type: application/json' -d @- {api.url}/schedule"


def _left_out(job: Job, steps: Sequence[Step], thoughts: Sequence[Event]) -> list[str]:
    """Say which failed steps the plan leaves out. Later steps may need their files."""
    kept = _kept(steps, thoughts)
    left_out = [str(step.number) for step in steps if step.status == "failed" and step not in kept]
    if job.uploads or not left_out:
        return []
    if len(left_out) == 1:
        return [f"The plan leaves out step {left_out[0]}, which failed. Later steps may need files that it made.", ""]
    steps_left_out = ", ".join(left_out)
    return [f"The plan leaves out steps {steps_left_out}, which failed. Later steps may need files that they made.", ""]


def _inputs(job: Job) -> list[str]:
    if not job.inputs and not job.uploads:
        return []
    lines = ["## Inputs", ""]
    if any(upload["sample"] for upload in job.uploads):
        lines += ["**No file was uploaded, so the template used its own sample.**", ""]
    lines += [f"- {name}: {_code(value)}" for name, value in job.inputs.items()]
    lines += [f"- the file {_code(upload['name'])} ({show_size(upload['bytes'])})" for upload in job.uploads]
    return [*lines, ""]


def _with_a_model(job: Job) -> list[str]:
    if job.model is None:
        return []
    repairs = f", {job.repairs} repair{'s' if job.repairs > 1 else ''}" if job.repairs else ""
    return [f"({job.model}: {job.calls} calls, {job.tokens:,} tokens, {job.cost:.4f} US${repairs})"]


def _with_secrets(found: Sequence[dict[str, Any]]) -> list[str]:
    if not found:
        return []
    lines = [f"- {_code(item['path'])}: {', '.join(item['names'])}" for item in found[:FOUND]]
    more = ["- and more: `secrets_found` in `manifest.json` lists all"] if len(found) >= FOUND else []
    return [
        "",
        "**These files contain the value of a secret. Check them before you pass the ZIP on:**",
        "",
    ] + (lines + more)


def _code(value: object) -> str:
    """Return a value as inline code in Markdown. The value cannot end it."""
    text = " ".join(str(value).split()).replace("`", "'")
    return f"`{text}`"


class OutputLog:
    """The text of ``output.log``, collected event by event: all output and results, under the title of each step."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._titles = {step.number: step.title for step in steps}
        self._count = sum(step.number != messages.CHECK for step in steps)
        self._parts: list[str] = []
        self._current: int | None = None

    def add(self, event: Printed) -> None:
        """Add the next event."""
        number = event.data["step"]
        if number != self._current:
            if self._parts and not self._parts[-1].endswith("\n"):
                self._parts.append("\n")
            heading = "check" if number == messages.CHECK else f"step {number} of {self._count}"
            self._parts.append(f"=== {heading}: {self._titles.get(number, '')} ===\n")
            self._current = number
        self._parts.append(printed(event))

    def text(self) -> str:
        return drawn("".join(self._parts))


def printed(event: Printed) -> str:
    """Return a step's event as text: its output, or lines that stand for a result."""
    if event.kind == "output":
        return str(event.data["text"])
    words = in_words(event.data) if event.kind == "result" else ""  # only the notebook has the viewers' cells
    return f"{words}\n" if words else ""


class Made(NamedTuple):
    """The documents for a ZIP, and the outcome that they report."""

    outcome: dict[str, Any]
    manifest: dict[str, Any]
    texts: dict[str, str]


def all_of(
    job: Job,
    steps: Sequence[Step],
    outputs: Iterable[Printed],
    thoughts: Sequence[Event],
    found: Sequence[dict[str, Any]],
    api: Api,
) -> Made:
    """Make the manifest and the texts for the ZIP of a job whose outcome is settled.

    ``thoughts`` are the model's events. ``found`` are the files with secrets, or at least the first ones, in the
    manifest's format. If one document cannot be made, the others still are, and the outcome says so. A plain report
    or manifest replaces these two. The function reads the outputs once and keeps no event.
    """
    output_log, shown = OutputLog(steps), Shown()
    tells_end: dict[str, Callable[[], Any]] = {
        "manifest.json": lambda: manifest(job, steps, thoughts),
        "report.md": lambda: report(job, steps, thoughts, found, api),
    }
    makers: dict[str, Callable[[], Any]] = {
        **tells_end,
        "output.log": output_log.text,
        "session.ipynb": lambda: notebook(job, steps, shown),
    }
    made: dict[str, Any] = {}
    wrong: dict[str, Exception] = {}
    try:
        for event in outputs:
            output_log.add(event)
            shown.add(event)
    except Exception as error:  # a fault in the record must not keep the job from ending
        wrong = {"output.log": error, "session.ipynb": error}
    for name, make in makers.items():
        try:
            made[name] = make()
        except Exception as error:
            wrong[name] = error
    if wrong:
        log.error("%s could not be made in full", " and ".join(wrong), exc_info=next(iter(wrong.values())))
        job.outcome = _with_sentence(job.outcome or {}, wrong)
        made |= {name: make() for name, make in tells_end.items() if name in made}
        made = {"manifest.json": plain_manifest(job), "report.md": plain_report(job), **made}
    return Made(job.outcome or {}, made.pop("manifest.json"), made)


def plain_manifest(job: Job) -> dict[str, Any]:
    """Return the manifest to use if the full manifest cannot be made. It leaves out the job's steps."""
    ending = {name: (job.outcome or {}).get(name) for name in ("status", "reason", "detail")}
    about = {"manifest_version": 1, "version": messages.VERSION, "job_id": job.id}
    return {**about, **ending, "partial": ending["status"] != "completed"}


def plain_report(job: Job) -> str:
    """Return the report to use if the full report cannot be made. It leaves out the job's steps."""
    return "\n".join([*_ending(job), "`sha256sum -c SHA256SUMS` checks the files.", ""])


def _with_sentence(outcome: dict[str, Any], wrong: dict[str, Exception]) -> dict[str, Any]:
    """Add a sentence to an outcome, once, that names the documents that could not be made."""
    why = "; ".join(dict.fromkeys(f"{type(error).__name__}: {error}"[:200] for error in wrong.values()))
    sentence = f"{' and '.join(wrong)} could not be made in full ({why})."
    detail = outcome.get("detail", "")
    return outcome if sentence in detail else {**outcome, "detail": f"{detail} {sentence}".strip()}


def _planned(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": step.kind, "title": step.title, **kind_of(step).fields_of(step)}
    if step.background:
        found["background"] = True
    if step.seconds_given:
        found["seconds"] = step.seconds
    return found


def _ended_as(step: Step, job: Job) -> str:
    """Return the status that a step has once the job is final. The job is not final yet when this is written."""
    return at_the_end(step.status, (job.outcome or {}).get("status", job.status))


def _result(step: Step, job: Job) -> dict[str, Any]:
    return {
        "number": step.number,
        "kind": step.kind,
        "title": step.title,
        "status": _ended_as(step, job),
        "exit_code": step.exit_code,
        "detail": step.detail,
        "started": iso(step.started_at),
        "seconds": between(step.started_at, step.ended_at),
        "output_bytes": step.output_bytes,
    }
