"""Jupyter Lab for a job's viewers, with the session as a live notebook. It is the job's user's own, like the kernel.

    python -P lab.py NOTEBOOK ARGUMENT…

It runs in the users' environment, so it knows nothing of the agent's package. NOTEBOOK is where the live notebook is,
below the folder that the server shows; the arguments are Jupyter Lab's. On standard input the agent tells what happens,
one JSON object a line, from the first step on:

    {"cell": id, "kind": "code" or "markdown", "source": text, "tags": [text]}    a cell comes after the last one
    {"cell": id, "output": output}     what the cell shows, as nbformat has it; a stream goes on where it was
    {"cell": id, "file": path, "output": output}    the same, and the picture that it shows is in a file

Viewers share the notebook with what is told here: cells of their own stay where they put them, and what they change in
a cell of the job's is theirs alone, because the record is elsewhere. The job's kernel is the notebook's, as soon as it
runs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

#: A grammar of addresses in JSON schemas, which Lab has none of: to make it would take half a second.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager  # noqa: E402
from jupyterlab import commands  # noqa: E402
from jupyterlab.labapp import LabApp  # noqa: E402
from pycrdt import Map, Text  # noqa: E402
from tornado.web import HTTPError  # noqa: E402

#: Seconds between two looks for the job's kernel, and for its answer.
LOOK_SECONDS, ANSWER_SECONDS = 0.5, 5.0

HEADING = """\
# The session, live

The job's steps appear here as they run. Cells of your own run in the job's kernel, between its python steps, and are
recorded as yours. What you change here changes nothing of the job's own record, `session.ipynb` in its ZIP."""

#: A line of the agent's, at most: a result with all its parts.
LINE = 16 * 2**20

EMPTY = {
    "cells": [{"cell_type": "markdown", "id": "session", "metadata": {}, "source": HEADING}],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}

NOTEBOOK = ""


class Kernels(AsyncMappingKernelManager):
    """Kernels of viewers, and the job's own, which they can interrupt but not end."""

    def is_the_jobs(self, kernel_id: str) -> bool:
        return not self.get_kernel(kernel_id).owns_kernel

    async def interrupt_kernel(self, kernel_id: str) -> None:
        if not self.is_the_jobs(kernel_id):
            await super().interrupt_kernel(kernel_id)
            return
        client = self.get_kernel(kernel_id).client()
        client.start_channels(shell=False, iopub=False, stdin=False, hb=False, control=True)
        try:
            client.control_channel.send(client.session.msg("interrupt_request", {}))
            with suppress(Empty):
                await client.control_channel.get_msg(timeout=ANSWER_SECONDS)
        finally:
            client.stop_channels()

    async def shutdown_kernel(self, kernel_id: str, now: bool = False, restart: bool = False) -> None:
        self._keep_the_jobs(kernel_id)
        await super().shutdown_kernel(kernel_id, now=now, restart=restart)

    async def restart_kernel(self, kernel_id: str, now: bool = False) -> None:
        self._keep_the_jobs(kernel_id)
        await super().restart_kernel(kernel_id, now=now)

    def _keep_the_jobs(self, kernel_id: str) -> None:
        if self.is_the_jobs(kernel_id):
            raise HTTPError(409, "This is the job's own kernel: it ends with the job. You can interrupt it.")


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    server.io_loop.add_callback(follow, server)
    server.io_loop.add_callback(attach, server)


async def follow(server: Any) -> None:
    """Write into the shared notebook what the agent tells."""
    path = Path(server.root_dir) / NOTEBOOK
    if not path.exists():
        path.write_text(json.dumps(EMPTY), "utf-8")
    collaboration = next(iter(server.extension_manager.extension_apps["jupyter_server_ydoc"]))
    document = await collaboration.get_document(
        path=NOTEBOOK, content_type="notebook", file_format="json", copy=False, create=True
    )
    reader = asyncio.StreamReader(limit=LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        with suppress(OSError, ValueError, KeyError):
            write(document, json.loads(line), Path(server.root_dir))


def write(document: Any, told: dict[str, Any], root: Path) -> None:
    """Add a cell to the notebook, or an output to one of its cells."""
    if "kind" in told:
        cell = {"cell_type": told["kind"], "id": told["cell"], "metadata": {"tags": told["tags"]}}
        code: dict[str, Any] = {"outputs": [], "execution_count": None} if told["kind"] == "code" else {}
        if find(document, told["cell"]) is None:
            document.append_cell({**cell, **code, "source": told["source"]})
        return
    found = find(document, told["cell"])
    if found is None:
        return  # a viewer has deleted it
    output, outputs = told["output"], found["outputs"]
    if "file" in told:
        content = base64.b64encode((root / told["file"]).read_bytes()).decode()
        kind = "image/png" if told["file"].endswith(".png") else "image/jpeg"
        output["data"] = {kind: content, **output["data"]}
    if output["output_type"] != "stream":
        outputs.append(Map(output))
    elif len(outputs) and outputs[-1].get("output_type") == "stream":
        text = outputs[-1]["text"]
        text += output["text"]
    else:
        outputs.append(Map({**output, "text": Text(output["text"])}))


def find(document: Any, name: str) -> Any:
    """The cell of this id; the last ones first."""
    for index in reversed(range(document.cell_number)):
        if document.ycells[index].get("id") == name:
            return document.ycells[index]
    return None


async def attach(server: Any) -> None:
    """Make the job's kernel the notebook's, whenever there is one."""
    kernels, sessions = server.kernel_manager, server.session_manager
    attached = ""
    while True:
        own = [name for name in kernels.list_kernel_ids() if kernels.is_the_jobs(name)]
        if own and own[0] != attached:
            attached = own[0]
            if await sessions.session_exists(path=NOTEBOOK):
                session = await sessions.get_session(path=NOTEBOOK)
                await sessions.update_session(session["id"], kernel_id=attached)
            else:
                await sessions.create_session(path=NOTEBOOK, name=NOTEBOOK, type="notebook", kernel_id=attached)
        await asyncio.sleep(LOOK_SECONDS)


def main(notebook: str, *arguments: str) -> None:
    global NOTEBOOK
    NOTEBOOK = notebook
    sys.modules["session_notebook"] = sys.modules["__main__"]
    # Where to get extensions from is asked of yarn, which takes a third of a second; a viewer adds none.
    commands._yarn_config = lambda logger: {"yarn config": {}, "npm config": {}}
    launch: Callable[[list[str]], None] = LabApp.launch_instance
    launch(
        [
            *arguments,
            "--ServerApp.kernel_manager_class=session_notebook.Kernels",
            "--ServerApp.jpserver_extensions={'session_notebook': True, 'jupyter_lsp': False}",
        ]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
