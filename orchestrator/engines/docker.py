"""Sandboxes on a Docker engine (20.10 or newer), through Docker's own Python client.

The client is synchronous, so its calls run on a thread pool of their own, never on the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import ipaddress
import logging
import shutil
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, TypeVar

import requests.exceptions
from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from orchestrator.engines.base import Concern, Exit, Facts, Sandbox, Spec
from orchestrator.errors import EngineDown, EngineError, ImageMissing
from protocol import messages

T = TypeVar("T")

log = logging.getLogger(__name__)

VERSION_LABEL = "containerized-agent.version"
SANDBOX_LABEL = "containerized-agent.sandbox"
#: Label of the sandbox's owner. Two orchestrators on one machine have different run folders.
OWNER_LABEL = "containerized-agent.run-dir"

#: The oldest tested engine, and its API version.
OLDEST, OLDEST_API = "20.10", (1, 41)

#: Limits that an engine may not support, each with the engine's name for it.
LIMITS = {"memory": "MemoryLimit", "swap": "SwapLimit", "cpus": "CpuCfsQuota", "processes": "PidsLimit"}

#: Advice for an engine that refuses, that does not answer, or that the orchestrator may not use.
SEE_LOG = "See the engine's words, and its log: `journalctl -u docker`."
START = "Start it (`sudo systemctl start docker`) and see that `docker info` answers. Jobs wait meanwhile."
ALLOW = "The orchestrator may not use the engine's socket. Start it with `make up`: it gets the socket's group."

#: Timeout of one call to the engine, in seconds. On a busy machine, making a container takes long.
CALL_SECONDS = 120

#: Seconds to wait for a removal or a start that is already under way, and seconds between two looks at it.
REMOVAL_SECONDS, LOOK_SECONDS = 10, 0.05

#: Maximum starts of containers at the same time, and maximum other calls. Starts have threads of their own: if they
#: hang, kills, stops and inspections still find a thread.
START_THREADS, THREADS = 16, 32

#: Seconds until the orchestrator reopens a lost stream of the engine's events.
RECONNECT_SECONDS = 1.0

#: Maximum lines of a dead container's log in an error, and their maximum characters together.
LAST_LINES, LAST_CHARACTERS = 20, 4000


class DockerEngine:
    """See ``orchestrator.engines.base.Engine``."""

    advice = "See `docker info`, `docker ps` and its log (`journalctl -u docker`)."

    def __init__(self, docker_host: str, run_dir: Path, link_dir: Path, live_dir: Path, record: Path) -> None:
        self.name = f"Docker engine at {docker_host}"
        self._host, self._link_dir, self._live_dir, self._record = docker_host, link_dir, live_dir, record
        self._owner = str(run_dir)
        self._network_name = "containerized-agent-" + "-".join(run_dir.parts[1:])
        self._pool = ThreadPoolExecutor(THREADS, "docker")
        self._starts = ThreadPoolExecutor(START_THREADS, "docker-start")
        self._network_lock = asyncio.Lock()  # on the event loop, so that waiting takes no thread of the pool
        self._client: APIClient | None = None
        self._closed = threading.Event()
        self._stream: Any = None
        self._subnets: list[IPv4Network | IPv6Network] | None = None  # None until the engine has answered

    # ── the port ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def image(self, name: str) -> str:
        def call(client: APIClient) -> str:
            try:
                found = client.inspect_image(name)
            except ImageNotFound as error:
                raise ImageMissing(
                    f"The image {name} is not there. "
                    "Build it with `make up`, or set AGENT_IMAGE to an image that is there."
                ) from error
            version = (found["Config"].get("Labels") or {}).get(VERSION_LABEL) or "none"
            if version != messages.VERSION:
                raise ImageMissing(
                    f"The image {name} has version {version}, the orchestrator has {messages.VERSION}; they must be "
                    "equal. Build both with `make up`."
                )
            return str(found["Id"])

        return await self._call(call)

    async def facts(self, image: str) -> Facts:
        def call(client: APIClient) -> Facts:
            asked, info, answered = time.time(), client.info(), time.time()
            version = client.version(api_version=False)
            about = f"API {version['ApiVersion']}, cgroups {info.get('CgroupVersion', '1')}, storage {info['Driver']}."
            try:
                found = client.inspect_image(image)
            except ImageNotFound:
                found = {"Config": {}}
            return Facts(
                version=f"Docker {version['Version']}",
                detail=about,
                concerns=tuple(_concerns(version, info)),
                storage=f"Docker's data is in {info['DockerRootDir']} (see `docker system df`).",
                free=_free(info["DockerRootDir"]),
                cpus=info["NCPU"],
                memory=info["MemTotal"],
                clock_ahead=datetime.fromisoformat(info["SystemTime"]).timestamp() - (asked + answered) / 2,
                image_version=(found["Config"].get("Labels") or {}).get(VERSION_LABEL),
                image_made=datetime.fromisoformat(found["Created"]).timestamp() if found.get("Created") else None,
            )

        return await self._call(call)

    async def start(self, spec: Spec) -> Sandbox:
        if spec.network == "internet":
            async with self._network_lock:
                await self._call(self._ensure_network)
        return await self._call(lambda client: self._start(client, spec), self._starts)

    async def ended(self) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str] = asyncio.Queue()

        def notify(sandbox_id: str) -> None:
            with suppress(RuntimeError):  # the loop has closed
                loop.call_soon_threadsafe(queue.put_nowait, sandbox_id)

        threading.Thread(target=self._watch, args=(notify,), name="docker-events", daemon=True).start()
        while True:
            yield await queue.get()

    async def exit(self, sandbox_id: str) -> Exit | None:
        def call(client: APIClient) -> Exit | None:
            try:
                state = client.inspect_container(_name(sandbox_id))["State"]
            except NotFound:
                return Exit(-1, False, "")
            if state["Running"] or state["Status"] == "created":
                return None
            lines = client.logs(_name(sandbox_id), tail=LAST_LINES)[-LAST_CHARACTERS:]
            return Exit(state["ExitCode"], state["OOMKilled"], lines.decode("utf-8", "replace").strip())

        return await self._call(call)

    async def kill(self, sandbox_id: str) -> None:
        await self._call(lambda client: _kill(client, _name(sandbox_id)))

    async def stop(self, sandbox_id: str) -> None:
        def call(client: APIClient) -> None:
            _remove(client, _name(sandbox_id))
            shutil.rmtree(self._live_dir / sandbox_id, ignore_errors=True)

        await self._call(call)

    async def sandboxes(self) -> list[Sandbox]:
        def call(client: APIClient) -> list[Sandbox]:
            filters = {"label": [SANDBOX_LABEL, f"{OWNER_LABEL}={self._owner}"]}
            # list the folders first, because a sandbox's folder exists before its container
            folders = {folder.name for folder in self._live_dir.glob("*")}
            found = {
                found["Labels"][SANDBOX_LABEL]: found["State"] == "running"
                for found in client.containers(all=True, filters=filters)
            }
            return [Sandbox(sandbox_id, found.get(sandbox_id, False)) for sandbox_id in sorted(found.keys() | folders)]

        return await self._call(call)

    async def written(self) -> dict[str, int]:
        def call(client: APIClient) -> dict[str, int]:
            if not _same_disk(self._record, Path(client.info()["DockerRootDir"])):
                return {}
            filters = {"label": [SANDBOX_LABEL, f"{OWNER_LABEL}={self._owner}"]}
            found = client.containers(all=True, size=True, filters=filters)
            return {each["Labels"][SANDBOX_LABEL]: each.get("SizeRw") or 0 for each in found}

        return await self._call(call)

    @asynccontextmanager
    async def salvage(self, sandbox_id: str, path: str) -> AsyncIterator[Iterator[bytes]]:
        stream, _ = await self._call(lambda client: client.get_archive(_name(sandbox_id), path, chunk_size=1 << 18))
        try:
            yield stream
        finally:
            stream.close()

    def viewer_socket(self, sandbox_id: str, service: str) -> Path | None:
        path = self._live_dir / sandbox_id / service
        with suppress(OSError):
            if stat.S_ISSOCK(path.lstat().st_mode):  # not stat(): it would follow a symlink anywhere
                return path
        return None

    async def networks(self) -> list[IPv4Network | IPv6Network]:
        if self._subnets is None:
            async with self._network_lock:
                if self._subnets is None:
                    await self._call(self._look_for_network)
        return self._subnets or []

    async def close(self) -> None:
        def call(client: APIClient) -> None:
            with suppress(NotFound):
                client.remove_network(self._network_name)

        try:
            await self._call(call)
        except EngineError as error:
            log.warning("the network %s could not be removed: %s", self._network_name, error)
        self._closed.set()
        if self._stream is not None:
            with suppress(Exception):
                self._stream.close()
        self._pool.shutdown(wait=False)
        self._starts.shutdown(wait=False)

    # ── on a thread of the pool ──────────────────────────────────────────────────────────────────────────────────

    async def _call(self, work: Callable[[APIClient], T], pool: ThreadPoolExecutor | None = None) -> T:
        context = contextvars.copy_context()  # so that the thread logs about this task's job
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool or self._pool, context.run, self._guarded, work)

    def _guarded(self, work: Callable[[APIClient], T]) -> T:
        try:
            return work(self._connected())
        except EngineError:
            raise
        except APIError as error:
            raise EngineError(_words(error), SEE_LOG) from error
        except (DockerException, requests.exceptions.RequestException, OSError) as error:
            detail = f"The {self.name} does not answer: {error}. Is it started, and may we use its socket?"
            raise EngineDown(detail, ALLOW if "Permission denied" in str(error) else START) from error

    def _connected(self) -> APIClient:
        """Return the client that all threads share, and make it if it does not exist yet.

        Making a client asks the engine for its version. No lock is held meanwhile, because each waiting call would
        then wait for the timeouts of all calls before it. If two threads make a client, either will do.
        """
        if self._client is None:
            self._client = APIClient(
                self._host, version="auto", timeout=CALL_SECONDS, num_pools=THREADS + START_THREADS
            )
        return self._client

    def _start(self, client: APIClient, spec: Spec) -> Sandbox:
        name = _name(spec.sandbox_id)
        self._make_live_folder(spec.sandbox_id)
        config = client.create_container_config(
            spec.image_id,
            command=None,
            user="0:0",
            environment={messages.TOKEN_VARIABLE: spec.token},
            labels={SANDBOX_LABEL: spec.sandbox_id, OWNER_LABEL: self._owner},
            networking_config=None,
            host_config=self._host_config(client, spec),
        )
        try:
            container = client.create_container_from_config(config, name)
        except APIError as error:
            if error.status_code != 409:
                raise
            _remove(client, name)
            container = client.create_container_from_config(config, name)
        try:
            client.start(container)
        except Exception:
            _remove(client, name)
            raise
        return Sandbox(spec.sandbox_id, running=True)

    def _host_config(self, client: APIClient, spec: Spec) -> dict[str, Any]:
        network = self._network_name if spec.network == "internet" else "none"
        config: dict[str, Any] = client.create_host_config(
            network_mode=network,
            mem_limit=spec.memory,
            memswap_limit=spec.memory,
            nano_cpus=round(spec.cpus * 1e9),
            pids_limit=spec.processes,
            cap_drop=["ALL"],
            cap_add=["SETUID", "SETGID", "KILL"],
            security_opt=["no-new-privileges"],
            group_add=[str(self._link_dir.stat().st_gid)],
            binds={
                str(self._link_dir): {"bind": str(Path(messages.SOCKET).parent), "mode": "ro"},
                str(self._live_dir / spec.sandbox_id): {"bind": messages.LIVE, "mode": "rw"},
            },
            log_config={"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
            ipc_mode="private",
        )
        return config

    def _make_live_folder(self, sandbox_id: str) -> None:
        """Make the folder for the sockets of the agent's services.

        In the sandbox, only the agent can write there, because it has our group.
        """
        folder = self._live_dir / sandbox_id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o770)

    def _ensure_network(self, client: APIClient) -> None:
        """Make sure that the bridge exists on which sandboxes cannot reach each other.

        Only one thread at a time may call this.
        """
        if self._look_for_network(client):
            return
        client.create_network(
            self._network_name,
            driver="bridge",
            options={"com.docker.network.bridge.enable_icc": "false"},
            labels={OWNER_LABEL: self._owner},
            check_duplicate=True,
        )
        self._look_for_network(client)

    def _look_for_network(self, client: APIClient) -> list[IPv4Network | IPv6Network]:
        """Find, remember and return the subnets of the sandboxes' bridge. Without a bridge, there are none."""
        self._subnets = [
            ipaddress.ip_network(config["Subnet"])
            for network in client.networks(names=[self._network_name])
            if network["Name"] == self._network_name
            for config in network["IPAM"]["Config"] or []
        ]
        return self._subnets

    def _watch(self, notify: Callable[[str], None]) -> None:
        filters = {"type": "container", "event": ["die", "destroy"], "label": [f"{OWNER_LABEL}={self._owner}"]}
        while not self._closed.is_set():
            try:
                self._stream = self._connected().events(filters=filters, decode=True)
                notify("")
                for event in self._stream:
                    notify(event["Actor"]["Attributes"][SANDBOX_LABEL])
            except Exception as error:
                log.debug("the engine's event stream ended: %s", error)
            self._closed.wait(RECONNECT_SECONDS)


def _concerns(version: dict[str, Any], info: dict[str, Any]) -> Iterator[Concern]:
    if tuple(int(part) for part in version["ApiVersion"].split(".")) < OLDEST_API:
        yield Concern(f"{OLDEST} is the oldest tested version.", "Update the engine.", serious=True)
    if unlimited := " and ".join(name for name, key in LIMITS.items() if info.get(key) is False):
        yield Concern(
            f"It cannot limit {unlimited}: a job can use all that the machine has.",
            "See the warnings of `docker info`. Usually the kernel's cgroups must be enabled at boot.",
        )
    if info["Driver"] == "vfs":
        yield Concern(
            "With vfs, each job copies the whole image.",
            "Use overlay2: put Docker's data on a file system that supports it (ext4, xfs). See `docker info`.",
        )


def _free(folder: str) -> int | None:
    with suppress(OSError):  # a process in a container cannot see that folder
        return shutil.disk_usage(folder).free
    return None


def _same_disk(folder: Path, root: Path) -> bool:
    """Return whether a folder is on the same disk as the engine's root folder.

    A process in a container cannot see the root folder, but the engine mounts one of its files as /etc/hostname.
    """
    for place in (root, Path("/etc/hostname")):
        with suppress(OSError):
            return place.stat().st_dev == folder.stat().st_dev
    return False


def _name(sandbox_id: str) -> str:
    return f"containerized-agent-{sandbox_id}"


def _kill(client: APIClient, name: str) -> None:
    until = time.monotonic() + REMOVAL_SECONDS
    with suppress(NotFound):
        while time.monotonic() < until:
            try:
                client.kill(name)
                client.wait(name, timeout=CALL_SECONDS)
                return
            except APIError as error:
                if error.status_code != 409:  # 409: the container has stopped, or has not started yet
                    raise
            if client.inspect_container(name)["State"]["Status"] not in ("created", "running"):
                return
            time.sleep(LOOK_SECONDS)


def _remove(client: APIClient, name: str) -> None:
    try:
        client.remove_container(name, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:
            raise
        # 409: a removal is under way, and the container must be gone when this returns. The engine's own wait for
        # "removed" can miss it.
        until = time.monotonic() + REMOVAL_SECONDS
        with suppress(NotFound):
            while time.monotonic() < until:
                client.inspect_container(name)
                time.sleep(LOOK_SECONDS)


def _words(error: APIError) -> str:
    return str(error.explanation or error)
