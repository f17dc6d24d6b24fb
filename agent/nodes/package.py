"""Package: streams the workspace as a ZIP to the orchestrator, whatever happened before."""

from __future__ import annotations

import http.client
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from pocketflow import Node

from agent.job import Failure, Job
from agent.nodes.python import leave_kernel
from agent.nodes.steps import end_background
from agent.runtime.processes import WORKSPACE
from protocol import messages

#: The final edge of the graph.
END = "end"

#: The packer's share of the time for packaging. The rest is for sending the end of the ZIP.
PACKER_SHARE = 0.8

#: Bytes per read.
BLOCK = 256 * 1024


#: The packer's reason for a file that does not fit into the ZIP.
LIMIT_REACHED = "the ZIP's limit"


class PackerFailed(Exception):
    """The packer died before the ZIP was complete. The orchestrator salvages the files."""


class Package(Node):
    """Kills the remaining processes, packs as the job's user, and settles the job's result."""

    def prep(self, shared: Job) -> Job:
        shared.best.restore(shared)
        leave_kernel(shared)
        shared.processes.kill_for_packing()
        shared.outbox.phase("package")  # tells the orchestrator that no process of the job lives
        end_background(shared)
        if shared.trouble:  # too late for repairs
            shared.fail(shared.trouble.reason, shared.trouble.detail)
        shared.outbox.flush()
        return shared

    def exec(self, prep_res: Job) -> None:
        retry = prep_res.link.retrying()
        while True:  # an upload cannot be resumed, so a broken upload starts over
            try:
                prep_res.link.upload("/artifact", _zip(prep_res))
                return
            except (OSError, http.client.HTTPException) as error:
                retry.wait(error)

    def post(self, shared: Job, prep_res: Job, exec_res: None) -> str:
        return END


def _zip(job: Job) -> Iterator[bytes]:
    """Yield the ZIP from the packer. The packer's summary settles the result before the ZIP's end."""
    summary_read, summary_write = os.pipe()
    packer = job.processes.spawn(
        [sys.executable, "-I", "-m", "agent.children.pack", str(summary_write)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(summary_write,),
    )
    os.close(summary_write)
    order = job.order
    assert packer.stdin and packer.stdout  # noqa: S101 - both are pipes
    try:
        request = {
            "root": WORKSPACE,
            "outputs": [*order.outputs, *(name for name in job.wanted if name not in order.outputs)],
            "budget": order.zip_bytes,
            "seconds": order.package_seconds * PACKER_SHARE,
            "secrets": order.secrets,
        }
        _send_line(packer, json.dumps(request).encode())
        with selectors.DefaultSelector() as selector, open(summary_read, "rb") as summary:
            selector.register(packer.stdout, selectors.EVENT_READ)
            selector.register(summary, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    if key.fileobj is summary:
                        selector.unregister(summary)
                        _settle(job, packer, summary.readline())
                    elif data := os.read(key.fd, BLOCK):
                        yield data
                    else:
                        selector.unregister(packer.stdout)
        if packer.wait():
            raise PackerFailed(f"the packer ended with exit code {packer.returncode}")
    finally:
        packer.kill()
        packer.wait()
        packer.stdin.close()
        packer.stdout.close()


def _settle(job: Job, packer: subprocess.Popen[bytes], line: bytes) -> None:
    if not line:
        return  # the packer died, and its exit code says so
    summary = json.loads(line)
    # passed on unparsed, because manifest and documents may be as large as all output
    _send_line(packer, job.link.answer("POST", "/outcome", job.needles.structure(_outcome(job, summary))))


def _outcome(job: Job, summary: dict[str, Any]) -> messages.Outcome:
    found = [messages.SecretsFound(**item) for item in summary["secrets"]]
    counts = {name: summary[name] for name in ("files", "bytes", "left_out", "partial", "with_secrets")}
    packed = messages.Packed(**counts, secrets_found=found)
    if job.processes.stopped == "cancelled":
        return messages.Outcome("cancelled", None, "The job was cancelled.", packed)
    failure = job.failure or _missing_outputs(job.order, summary)
    unmatched = [path for path in job.order.outputs if not summary["outputs"].get(path)]
    told: dict[str, Any] = {"facts": job.facts, "unmatched": unmatched, "check_dropped": job.check_dropped}
    if failure:
        return messages.Outcome("failed", failure.reason, f"{failure.detail} {job.note}".strip(), packed, **told)
    return messages.Outcome("completed", None, job.note, packed, **told)


def _missing_outputs(order: messages.Order, summary: dict[str, Any]) -> Failure | None:
    for pattern in order.required:
        left_out = summary["outputs_left_out"].get(pattern)
        if left_out:
            why = summary["reasons"].get(left_out[0], "")
            detail = f"The declared output {left_out[0]!r} is not in the ZIP: {why}."
            if LIMIT_REACHED in why:
                return Failure("zip_too_big", f"{detail} Raise limits.zip.")
            return Failure("check_failed", detail)
        if not summary["outputs"].get(pattern):
            hint = f" {summary['hint']}" if summary.get("hint") else ""
            return Failure("check_failed", f"No file in the workspace matches the declared output {pattern!r}.{hint}")
    return None


def _send_line(packer: subprocess.Popen[bytes], line: bytes) -> None:
    assert packer.stdin  # noqa: S101 - a pipe
    packer.stdin.write(line)
    packer.stdin.write(b"\n")
    packer.stdin.flush()
