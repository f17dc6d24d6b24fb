"""Runs the orchestrator: ``python -m orchestrator``; ``python -m orchestrator health`` asks a running one how it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import IO

import uvicorn

from orchestrator.app import create_system
from orchestrator.errors import OrchestratorError, SettingsError
from orchestrator.records import hold
from orchestrator.settings import Settings, load

log = logging.getLogger("orchestrator")


class Server(uvicorn.Server):
    """A server that leaves the signals to us: on SIGTERM both doors stay open while jobs are drained."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then drain. A second signal ends at once; jobs then go on without us."""
    with _run_folder(settings):
        listening = _listen(settings)
        system = create_system(settings)
        link_path = settings.link_dir / "link.sock"
        link_path.unlink(missing_ok=True)
        link = Server(_config(system.link, settings, uds=str(link_path)))
        users = Server(_config(system.users, settings))
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, _on_signal, stop)
        doors = [asyncio.create_task(link.serve()), asyncio.create_task(users.serve([listening]))]
        await system.start()
        log.info("listening on http://%s:%s", settings.host, settings.port)
        await stop.wait()
        log.info("stopping: running jobs have %g s to end, then they are cancelled", settings.drain_seconds)
        await system.stop()
        link.should_exit = users.should_exit = True
        await asyncio.gather(*doors)
        await system.close()
        link_path.unlink(missing_ok=True)


def _run_folder(settings: Settings) -> IO[str]:
    """Make the link's folder, which the orchestrator's group may enter, and hold the run folder."""
    try:
        settings.link_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        settings.link_dir.chmod(0o750)
        return hold(settings.run_dir / "orchestrator.lock", f"the run folder {settings.run_dir}")
    except OSError as error:
        raise SettingsError(f"RUN_DIR={settings.run_dir} cannot be used: {error.strerror}.") from None


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(1)
    stop.set()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
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
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whoever calls could say that he is somebody else
        lifespan="off",
        log_level="warning",
        backlog=2048,
        timeout_graceful_shutdown=5,
        server_header=False,
    )


def health(settings: Settings) -> int:
    """Ask a running orchestrator; 0 where it is well. Prints what it answered."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    request = urllib.request.Request(f"http://{host}:{settings.port}/health")
    if settings.api_key:
        request.add_header("Authorization", f"Bearer {settings.api_key.get_secret_value()}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own http URL
            print(response.read().decode())
            return 0
    except urllib.error.HTTPError as error:
        body = error.read().decode("utf-8", "replace")
        with contextlib.suppress(ValueError):
            body = json.dumps(json.loads(body), indent=2)
        print(body)
    except OSError as error:
        print(f"The orchestrator at {host}:{settings.port} does not answer: {error}.")
    return 1


def main() -> int:
    try:
        settings = load()
        if sys.argv[1:] == ["health"]:
            return health(settings)
        logging.basicConfig(
            level=settings.log_level.upper(),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        logging.getLogger("apscheduler").setLevel("WARNING")
        logging.getLogger("urllib3").setLevel("WARNING")
        asyncio.run(serve(settings))
    except OrchestratorError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
