"""Jupyter Lab for a job's viewers, with the session as a live notebook. It runs as the job's user, like the kernel.

    python -P lab_server.py NOTEBOOK STORE ARGUMENT…

It runs in the users' environment, so it cannot import the agent's package. NOTEBOOK is the path of the live notebook,
below the folder that the server shows. STORE is a file outside of it for the history of viewers' changes. The arguments
are Jupyter Lab's. The agent sends the session on standard input, one JSON object per line, from the first step on:

    {"cell": id, "kind": "code" or "markdown", "source": text, "tags": [text]}    add a cell after the last one
    {"cell": id, "output": output}     an output in nbformat; a stream continues the one before
    {"cell": id, "file": path, "output": output}    the same, with its picture in a file
    {"cell": id, "instead": output}    the same, replacing all earlier outputs of the cell

Viewers share the notebook with these messages. Their own cells stay in place, and their changes to a job's cell affect
only this notebook, because the record is elsewhere. All notebooks use the job's kernel as soon as it runs, and then its
successors.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

#: The grammar of addresses in JSON schemas. Lab does not need it, and building it takes half a second.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
import zmq  # noqa: E402
from jupyter_client.session import Session, utcnow  # noqa: E402
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager  # noqa: E402
from jupyter_server.services.sessions.sessionmanager import SessionManager  # noqa: E402
from jupyter_server_ydoc.stores import SQLiteYStore  # noqa: E402
from jupyterlab import commands  # noqa: E402
from jupyterlab.labapp import LabApp  # noqa: E402
from pycrdt import Map, Text  # noqa: E402
from tornado.web import HTTPError  # noqa: E402
from traitlets import default  # noqa: E402
from zmq.eventloop.zmqstream import ZMQStream  # noqa: E402

#: Seconds between checks of the notebook's file, and to wait for the kernel's answer.
LOOK_SECONDS, ANSWER_SECONDS = 0.5, 5.0

HEADING = """\
# The session, live

The job's steps appear here as they run. Cells of your own run in the job's kernel, between its python steps, and are
recorded as yours. What you change here changes nothing of the job's own record, `session.ipynb` in its ZIP."""

#: Maximum bytes of a line from the agent: a result with all its parts.
LINE = 16 * 2**20

EMPTY = {
    "cells": [{"cell_type": "markdown", "id": "session", "metadata": {}, "source": HEADING}],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}

#: The error of a viewer's cell while there is no kernel, in the kernel's protocol.
SENTENCE = "The job has no kernel at this moment: it comes with its next python step."
REFUSAL = {"ename": "NoKernel", "evalue": SENTENCE, "traceback": [SENTENCE]}

#: The description of a kernel in that time.
KERNEL = {
    "status": "ok",
    "protocol_version": "5.3",
    "implementation": "none",
    "implementation_version": "",
    "banner": SENTENCE,
    "language_info": {"name": "python", "version": "3", "mimetype": "text/x-python", "file_extension": ".py"},
}

NOTEBOOK = STORE = ""


class Nobody:
    """Stands in for the job's kernel while there is none. It answers every cell with an error."""

    def __init__(self) -> None:
        self.key = secrets.token_hex(16).encode()
        self.connection: dict[str, Any] = {"transport": "tcp", "ip": "127.0.0.1", "key": self.key}
        self._session = Session(key=self.key)
        self._iopub = self._bind("iopub", zmq.PUB)
        self._bind("stdin", zmq.ROUTER)
        for name in ("shell", "control"):
            stream = self._bind(name, zmq.ROUTER)
            stream.on_recv(partial(self._answer, stream))
        heartbeat = self._bind("hb", zmq.REP)
        heartbeat.on_recv(heartbeat.send_multipart)

    def _bind(self, name: str, kind: int) -> Any:
        bound = zmq.Context.instance().socket(kind)
        self.connection[f"{name}_port"] = bound.bind_to_random_port("tcp://127.0.0.1")
        return ZMQStream(bound)

    def _answer(self, stream: Any, parts: list[bytes]) -> None:
        try:
            whom, signed = self._session.feed_identities(parts)
            asked = self._session.deserialize(signed)
        except ValueError:
            return  # from a client without the key
        kind = asked["header"]["msg_type"]
        self._publish("status", {"execution_state": "busy"}, asked)
        if kind == "execute_request":
            self._publish("error", REFUSAL, asked)
        content = KERNEL if kind == "kernel_info_request" else {"status": "error", "execution_count": 0, **REFUSAL}
        self._session.send(stream, kind.replace("_request", "_reply"), content, parent=asked, ident=whom)
        self._publish("status", {"execution_state": "idle"}, asked)

    def _publish(self, kind: str, content: dict[str, Any], asked: dict[str, Any]) -> None:
        self._session.send(self._iopub, kind, content, parent=asked)


class Kernels(AsyncMappingKernelManager):
    """The job's kernel. Viewers may interrupt it, but not end it or start another one, because their cells are
    recorded.
    """

    _nobody = ""  # the stand-in while the job has no kernel

    def list_kernel_ids(self) -> list[str]:
        """Return the current kernel as the only one."""
        for file in Path(self.external_connection_dir).glob("kernel-*.json"):
            if not Path("/proc", file.stem.removeprefix("kernel-")).exists():
                file.unlink(missing_ok=True)  # its process died
        super().list_kernel_ids()
        return list(self.kernel_id_to_connection_file)[-1:] or [self._answered_by_nobody()]

    def list_kernels(self) -> list[dict[str, Any]]:
        return [self.kernel_model(name) for name in self.list_kernel_ids()]

    def _answered_by_nobody(self) -> str:
        if not self._nobody:
            self._nobody = self.new_kernel_id()
            manager = self.kernel_manager_factory(parent=self, log=self.log, owns_kernel=False)
            manager.load_connection_info(Nobody().connection)
            manager.last_activity, manager.execution_state, manager.connections = utcnow(), "idle", 1
            manager.kernel_id, manager.kernel_name = self._nobody, "python3"
            manager.ready.set_result(None)
            self._kernels[self._nobody] = manager
        return self._nobody

    async def start_kernel(self, **options: Any) -> str:
        return self.list_kernel_ids()[0]

    async def interrupt_kernel(self, kernel_id: str) -> None:
        client = self.get_kernel(kernel_id).client()
        client.start_channels(shell=False, iopub=False, stdin=False, hb=False, control=True)
        try:
            client.control_channel.send(client.session.msg("interrupt_request", {}))
            with suppress(Empty):
                await client.control_channel.get_msg(timeout=ANSWER_SECONDS)
        finally:
            client.stop_channels()

    async def shutdown_kernel(self, kernel_id: str, now: bool = False, restart: bool = False) -> None:
        raise HTTPError(409, "This is the job's own kernel: it ends with the job. You can interrupt it.")

    async def restart_kernel(self, kernel_id: str, now: bool = False) -> None:
        await self.shutdown_kernel(kernel_id, restart=True)


class Sessions(SessionManager):
    """Connects the notebooks of viewers to the current kernel."""

    async def row_to_model(self, row: Any, tolerate_culled: bool = False) -> Any:
        (kernel,) = self.kernel_manager.list_kernel_ids()
        return await super().row_to_model({**dict(row), "kernel_id": kernel}, tolerate_culled)


class Store(SQLiteYStore):
    """The history of shared documents. Some are made without the server's configuration, so it sets its own path."""

    @default("db_path")  # type: ignore[untyped-decorator]
    def _outside_of_the_workspace(self) -> str:
        return STORE


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    live = Live(server)
    server.io_loop.add_callback(live.follow)


class Live:
    """The live notebook: a document shared by the agent and all viewers, with the file by which viewers open it."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._root = Path(server.root_dir)
        self._document: Any = None

    async def follow(self) -> None:
        """Write the agent's messages into the notebook."""
        if not (self._root / NOTEBOOK).exists():
            (self._root / NOTEBOOK).write_text(json.dumps(EMPTY), "utf-8")
        await self._open()
        await self._server.session_manager.create_session(path=NOTEBOOK, name=NOTEBOOK, type="notebook")
        keeping = asyncio.create_task(self._keep())
        reader = asyncio.StreamReader(limit=LINE)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            with suppress(OSError, ValueError, KeyError):
                write(self._document, json.loads(line), self._root)
        keeping.cancel()

    async def _open(self) -> None:
        self._document = await self._collaboration.get_document(
            path=NOTEBOOK, content_type="notebook", file_format="json", copy=False, create=True
        )

    async def _keep(self) -> None:
        """Save the notebook again if a step or a viewer removed its file."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not (self._root / NOTEBOOK).exists():
                with suppress(OSError, HTTPError):  # retried later
                    await self._save()
                    await self._open()  # after a removal in Lab itself, the document is separate from the file

    async def _save(self) -> None:
        settings = self._server.web_app.settings
        loader = self._collaboration.file_loaders[settings["file_id_manager"].index(NOTEBOOK)]
        content = {"type": "notebook", "format": "json", "content": self._document.get()}
        async with loader._lock:  # noqa: SLF001 - otherwise the server would take this for a foreign change and revert
            saved = await self._server.contents_manager.save(content, NOTEBOOK)
            loader.last_modified = saved["last_modified"]

    @property
    def _collaboration(self) -> Any:
        return next(iter(self._server.extension_manager.extension_apps["jupyter_server_ydoc"]))


def write(document: Any, told: dict[str, Any], root: Path) -> None:
    """Add a cell to the notebook, or an output to one of its cells."""
    if "kind" in told:
        cell = {"cell_type": told["kind"], "id": told["cell"], "metadata": {"tags": told["tags"]}}
        code: dict[str, Any] = {"outputs": [], "execution_count": None} if told["kind"] == "code" else {}
        found = find(document, told["cell"])
        if found is None:
            document.append_cell({**cell, **code, "source": told["source"]})
        elif code:
            found["outputs"].clear()  # from an earlier server; the agent sends everything again
        return
    found = find(document, told["cell"])
    if found is None:
        return  # a viewer deleted it
    outputs = found["outputs"]
    if "instead" in told:
        outputs.clear()
    output = told.get("instead") or told["output"]
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
    """Return the cell with this ID, searching from the end."""
    for index in reversed(range(document.cell_number)):
        if document.ycells[index].get("id") == name:
            return document.ycells[index]
    return None


def main(notebook: str, store: str, *arguments: str) -> None:
    global NOTEBOOK, STORE
    NOTEBOOK, STORE = notebook, store
    sys.modules["session_notebook"] = sys.modules["__main__"]
    # asking yarn for the extension registry takes a third of a second, and viewers add no extensions
    commands._yarn_config = lambda logger: {"yarn config": {}, "npm config": {}}  # noqa: SLF001
    launch: Callable[[list[str]], None] = LabApp.launch_instance
    launch(
        [
            *arguments,
            "--ServerApp.kernel_manager_class=session_notebook.Kernels",
            "--ServerApp.session_manager_class=session_notebook.Sessions",
            "--YDocExtension.ystore_class=session_notebook.Store",
            "--ServerApp.jpserver_extensions={'session_notebook': True, 'jupyter_lsp': False}",
        ]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
