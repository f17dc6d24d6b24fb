"""``make skill``: real tasks over the public API, judged by hidden checks, and the same tasks for the model alone."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from skill import alone, container, report
from skill.product import Product, system
from skill.settings import ROOT, setting
from skill.task import Task
from skill.tasks import GROUPS, TASKS

#: Reasons unrelated to the task. An impossible task must end with another one.
ELSEWHERE = (
    "timed_out", "out_of_memory", "disk_full", "zip_too_big", "budget_exceeded", "model_unavailable", "agent_lost",
    "secrets_lost", "engine_error",
)  # fmt: skip


class Results:
    """The results so far. They are saved to disk after each task."""

    def __init__(self, folder: Path, resume: bool) -> None:
        self.folder, self._file, self._lock = folder, folder / "results.json", threading.Lock()
        self.all: dict[str, report.Record] = json.loads(self._file.read_text()) if resume else {}

    def keep(self, name: str, part: str, found: dict[str, Any]) -> None:
        with self._lock:
            self.all.setdefault(name, {})[part] = found
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(self.all, indent=1))
            fresh.replace(self._file)

    def of(self, names: list[str]) -> dict[str, report.Record]:
        return {name: self.all[name] for name in names if name in self.all}


def ask_alone(name: str, task: Task, asked: alone.Asked, folder: Path) -> dict[str, Any] | None:
    """Ask the model for one task alone, and judge its answer. Returns None, without a verdict, if the server fails."""
    try:
        answer = asked.ask(task)
    except (httpx.HTTPError, KeyError, ValueError) as error:
        print(f"{name}: the model gave no answer alone: {error!r}", flush=True)
        return None
    (folder / "alone.md").write_text(answer.text)
    [verdict] = container.judge([container.Result(name, task, made=alone.made(task, answer))])
    passed = bool(verdict.passed)
    return {"passed": passed, "why": verdict.why, "tokens": answer.tokens, "seconds": answer.seconds}


def do(name: str, task: Task, product: Product, folder: Path, seconds: float | None) -> dict[str, Any]:
    """Run one task as a job, and judge its result."""
    begin = time.monotonic()
    found: dict[str, Any] = {"status": "refused", "reason": None, "calls": 0, "tokens": 0, "repairs": 0}
    try:
        status = product.run(task, folder, seconds)
    except (httpx.HTTPError, OSError) as error:
        told = error.response.text if isinstance(error, httpx.HTTPStatusError) else repr(error)
        found |= {"passed": False, "why": told[:500], "how": "refused or not answered"}
        return {**found, "seconds": round(time.monotonic() - begin, 1)}
    usage = status.get("usage") or {}
    found |= {one: usage.get(one, 0) for one in ("calls", "tokens", "repairs")} | {"model": usage.get("model")}
    found |= {one: status.get(one) for one in ("status", "reason", "detail", "verified_by")}
    found["seconds"] = round(time.monotonic() - begin, 1)
    found |= judged(name, task, status, folder / "result.zip")
    (folder / "judge.json").write_text(json.dumps(found, indent=1))
    return found


def judged(name: str, task: Task, status: dict[str, Any], archive: Path) -> dict[str, Any]:
    """Return whether the task was done, and otherwise the kind of loss."""
    ending = status["reason"] or status["status"]
    detail = status["detail"] or ending
    if task.need:
        if status["status"] != "failed":
            return {"passed": False, "how": "false success", "why": "the task cannot be done, and the job says it was"}
        if status["reason"] in ELSEWHERE:
            return {"passed": False, "how": ending, "why": detail}
        named = re.search(task.need, detail, re.IGNORECASE) is not None
        return {"passed": named, "how": "" if named else "the need is not named", "why": "" if named else detail}
    verdict = container.Verdict(False, "there is no ZIP")
    if archive.exists():
        try:
            [verdict] = container.judge([container.Result(name, task, archive=archive)])
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            verdict = container.Verdict(None, f"the ZIP cannot be unpacked: {error}")
    if status["status"] != "completed":
        right = ", though the files are right" if verdict.passed else ""
        return {"passed": False, "how": ending + right, "why": detail, "judge": verdict.why}
    if verdict.passed is None:
        return {"passed": False, "how": "unjudgeable", "why": verdict.why}
    return {"passed": verdict.passed, "how": "" if verdict.passed else "false success", "why": verdict.why}


def chosen(only: list[str], groups: list[str]) -> list[str]:
    """Return the tasks to run. Each word of ``only`` is a group, a task, or group/task."""
    unknown = set(groups) - set(GROUPS)
    for word in only:
        if not any(word in (name, *name.split("/")) for name in TASKS):
            unknown.add(word)
    if unknown:
        raise SystemExit(f"No such group or task: {', '.join(sorted(unknown))}. Groups: {', '.join(GROUPS)}.")
    return [
        name
        for name in TASKS
        if (not groups or name.split("/")[0] in groups)
        and (not only or any(word in (name, *name.split("/")) for word in only))
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m skill", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these tasks or groups")
    parser.add_argument("--groups", nargs="+", default=[], metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--no-alone", action="store_true", help="do not put the tasks to the model alone")
    parser.add_argument("--alone-only", action="store_true", help="put the tasks to the model alone, run no job")
    parser.add_argument("--url", help="a running system, instead of one of our own; its key is API_KEY")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="tasks at a time (default: 1)")
    parser.add_argument("--seconds", type=float, help="limit of each job (default: the product's)")
    parser.add_argument(
        "--out", type=Path, default=Path("skill-out"), help="folder of the evidence (default: skill-out)"
    )
    parser.add_argument(
        "--resume", type=Path, metavar="OUT", help="go on in this folder; judged tasks are not run again"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page, such as docs/skill.md")
    parser.add_argument("--list", action="store_true", help="list the tasks and end")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    names = chosen(given.only, given.groups)
    if given.list:
        print("\n".join(names))
        return
    folder: Path = (given.resume or given.out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(folder, resume=given.resume is not None and (folder / "results.json").exists())
    server = None if given.no_alone else alone.server()
    if server is None and not given.no_alone:
        print("Alone is left out: it needs LLM_BASE_URL and LLM_MODEL, a server with OpenAI's protocol.")
    asked = alone.Asked(server, folder / "alone.json") if server else None
    version = ""
    with ExitStack() as stack:
        product = None
        if not given.alone_only:
            url = given.url or stack.enter_context(system(folder / "orchestrator.log", given.parallel))
            product = stack.enter_context(Product(url, setting("API_KEY", "") if given.url else ""))
            version = product.version()

        def one(name: str) -> None:
            task, known = TASKS[name], results.all.get(name, {})
            evidence = folder / name.replace("/", "-")
            if asked and task.alone and "alone" not in known:
                evidence.mkdir(exist_ok=True)
                if found := ask_alone(name, task, asked, evidence):
                    results.keep(name, "alone", found)
            if product and "product" not in known:
                shutil.rmtree(evidence / "job", ignore_errors=True)
                (evidence / "job").mkdir(parents=True)
                results.keep(name, "product", do(name, task, product, evidence / "job", given.seconds))
            if name in results.all:
                print(report.line(name, results.all[name]), flush=True)

        with ThreadPoolExecutor(given.parallel) as pool:
            for waiting in [pool.submit(one, name) for name in names]:
                waiting.result()
    print("\n" + report.plain(results.of(names)))
    print(f"The evidence of each task: {folder}")
    if given.write:
        given.write.write_text(report.page(results.of(names), version or _version()))


def _version() -> str:
    return (ROOT / "novnc/static/version").read_text().strip()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Go on with --resume and the same folder.")
