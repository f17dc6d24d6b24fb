"""The process: three servers on one event loop, and the handling of signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import uvicorn

from orchestrator import logs
from orchestrator.app import System, create_system
from orchestrator.errors import RecordGone, SettingsError
from orchestrator.files.job_files import hold
from orchestrator.settings import Settings
from orchestrator.web.connection_limits import bounded

log = logging.getLogger("orchestrator")


#: Maximum threads that wait for the disk, in addition to one per running job. They are made when they are needed.
OTHER_THREADS = 16

#: Maximum bytes of a request that the users' API reads after its early answer. On a Unix socket, no answer is lost.
DISCARD_BYTES = 2**30


class Server(uvicorn.Server):
    """A server that does not handle signals. On SIGTERM, all servers must stay open while jobs are drained."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(settings: Settings) -> None:
    """Log to stderr and serve. Raises OrchestratorError if a setting is wrong or another orchestrator is in the way."""
    logs.begin(settings.log_level)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then drain. A second signal ends the process at once; jobs continue without it."""
    # asyncio's own pool has six threads on two cores, and saving the files of a dead sandbox may take a thread for long
    threads = ThreadPoolExecutor(settings.max_concurrent_jobs + OTHER_THREADS, "disk")
    asyncio.get_running_loop().set_default_executor(threads)
    with _run_folder(settings):
        listening = listen(settings)
        system = create_system(settings)
        link_path, gateway_path = settings.link_dir / "link.sock", settings.gateway_dir / "gateway.sock"
        for path in (link_path, gateway_path):
            path.unlink(missing_ok=True)
        link = Server(_config(system.link, settings, uds=str(link_path)))
        gateway = Server(_config(system.gateway, settings, uds=str(gateway_path)))
        users = Server(_config(system.users, settings))
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, _on_signal, stop)
        await system.take_up()
        doors = [asyncio.create_task(door.serve()) for door in (link, gateway)]
        doors.append(asyncio.create_task(users.serve([listening])))
        await system.start()
        log.info("listening on http://%s:%s", settings.host, settings.port)
        gone = await _stopped(stop, system)
        if gone:
            log.error("%s Nothing can be kept any more, so the system ends, and its sandboxes with it.", gone)
            await system.abandon()
        else:
            await _stop(system, settings)
        link.should_exit = gateway.should_exit = users.should_exit = True
        await asyncio.gather(*doors)
        await system.close()
        for path in (link_path, gateway_path):
            path.unlink(missing_ok=True)
    if gone:
        raise RecordGone(f"{gone} Start the system again: it begins with a new one.")


async def _stopped(stop: asyncio.Event, system: System) -> str | None:
    """Wait until the system is to stop. Returns a sentence if the reason is that its record is gone."""
    gone = asyncio.create_task(system.record_gone())
    signalled = asyncio.create_task(stop.wait())
    await asyncio.wait({gone, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if gone.done():
        return gone.result()
    gone.cancel()
    return None


async def _stop(system: System, settings: Settings) -> None:
    log.info("stopping: running jobs have %g s to end, then they are cancelled", settings.drain_seconds)
    try:
        await system.stop()
    except Exception:  # such as an unreadable record; the process ends nevertheless
        log.exception("stopping in order failed; the next start takes up what is left")


def _run_folder(settings: Settings) -> IO[str]:
    """Make the folders of sockets, which the orchestrator's group may enter, and lock the run folder."""
    try:
        for folder in (settings.link_dir, settings.live_dir, settings.gateway_dir):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            folder.chmod(0o750)
        return hold(settings.run_dir / "orchestrator.lock", f"the run folder {settings.run_dir}")
    except OSError as error:
        raise SettingsError(f"RUN_DIR={settings.run_dir} cannot be used: {error.strerror}.") from None


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(1)
    stop.set()


def listen(settings: Settings) -> socket.socket:
    """Return a socket that is bound to HOST and PORT. Raises SettingsError if that fails."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle off only if the protocol is named; otherwise an answer's second write waits 40 ms for an ACK
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        raise SettingsError(
            f"HOST={settings.host} PORT={settings.port} cannot be listened on: {error.strerror}. Set another PORT."
        ) from None
    return listening


def _config(app: object, settings: Settings, uds: str | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        uds=uds,
        http=bounded(0 if uds else DISCARD_BYTES),
        ws="none",
        log_config=None,
        access_log=False,
        # a client could forge its address, so only the users' API reads these headers, and only from trusted proxies
        proxy_headers=bool(settings.proxies) and uds is None,
        forwarded_allow_ips=settings.proxies,
        lifespan="off",
        log_level="warning",
        backlog=2048,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
