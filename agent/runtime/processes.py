"""Starts and ends the processes of the container.

The agent is root with the capabilities SETUID, SETGID and KILL. Only child processes with the identity of the job's
user touch the job's files. They cannot signal the agent, read its memory or environment, or reach the link.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from agent.runtime.output import StepOutput

USER = 10001
FRONT = 10002  # the proxies for viewers, which no process of the job can reach
WORKSPACE = "/workspace"
HOME = "/home/user"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

#: The display for graphical programs of a step. It starts when the first of them connects.
DISPLAY = ":1"

#: Maximum searches for leftover processes of a step, if others must survive.
KILL_ROUNDS = 1000

#: Words of the commands of a library's helper processes, which end with the step like its workers.
HELPERS = ("from multiprocessing.", "from joblib.externals.")

#: Seconds in which the processes of an ended step may end by themselves.
LEFT_SECONDS = 0.1

#: The kernel's counter of processes killed for memory in this container: cgroup v2, then v1.
OOM_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))

#: The container's memory use, its limit, and the reclaimable part of the use: v2, then v1.
MEMORY = (
    ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.stat", ""),
    (
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_",
    ),
)


#: Memory that the agent may use. The kernel should kill any step first, however small.
AGENT_BYTES = 48 * 2**20


class Stopped(Exception):
    """The job was stopped, so it may start no more processes."""


#: Settings of package managers in a job without network. Otherwise npm and pip would try again for a minute.
OFFLINE = {"npm_config_fetch_retries": "0", "PIP_RETRIES": "0"}


def environment(job_id: str, cpus: float, network: str) -> dict[str, str]:
    """Return the environment of a step, without the agent's own variables."""
    return {
        **(OFFLINE if network == "none" else {}),
        "PATH": "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "VIRTUAL_ENV": "/opt/venv",
        "HOME": HOME,
        "USER": "user",
        "LOGNAME": "user",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "DISPLAY": DISPLAY,
        "JOB_ID": job_id,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": WORKSPACE,
        # otherwise a module rewritten within a second with the same size would run in its old version
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "Agg",
        # otherwise numerical libraries would start a thread per CPU of the host
        "OMP_NUM_THREADS": str(max(1, round(cpus))),
        # this bundle includes the certificates of a proxy used for the image's build
        "SSL_CERT_FILE": CERTIFICATES,
        "REQUESTS_CA_BUNDLE": CERTIFICATES,
        "CURL_CA_BUNDLE": CERTIFICATES,
        "PIP_CERT": CERTIFICATES,
        "NODE_EXTRA_CA_CERTS": CERTIFICATES,
    }


def exit_code(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code as in a shell: 128 + the signal's number if a signal ended the process."""
    code = process.returncode
    return code if code >= 0 else 128 - code


def oom_kills() -> int:
    """Return how many processes of this container the kernel has killed for memory so far."""
    for counter in OOM_COUNTERS:
        with suppress(OSError):
            for line in counter.read_text().splitlines():
                name, _, number = line.partition(" ")
                if name == "oom_kill":
                    return int(number)
    return 0


def memory_left() -> int:
    """Return the bytes that the container may still use. If the kernel does not report it, the number is huge."""
    for current, limit, stat, prefix in MEMORY:
        with suppress(OSError, ValueError):
            used, most = int(Path(current).read_text()), int(Path(limit).read_text())
            lines = (line.partition(" ") for line in Path(stat).read_text().splitlines())
            files = (f"{prefix}inactive_file", f"{prefix}active_file")
            return most - used + sum(int(number) for name, _, number in lines if name in files)
    return 1 << 60


def step_score() -> int:
    """Return a step's OOM score, in thousandths of the container's limit."""
    for _, limit, _, _ in MEMORY:
        with suppress(OSError, ValueError):
            return min(750, max(100, 1000 * AGENT_BYTES // int(Path(limit).read_text())))
    return 100


#: The start of every child's command. The child raises its OOM score so that the kernel kills it before the agent, and
#: changes to the workspace. Its standard input is left for the command. Services for viewers get the highest score, so
#: that they die before steps.
PRELUDE = f'echo {step_score()} > /proc/self/oom_score_adj; cd {WORKSPACE} || exit 126; exec "$@"'
PRELUDE_OF_SERVICES = f'echo 1000 > /proc/self/oom_score_adj; cd {WORKSPACE} || exit 126; exec "$@"'


def users_processes() -> dict[int, int]:
    """Return the living processes of the job's user: pid → parent's pid."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/status", "rb") as status:  # a process may give itself an undecodable name
                fields = dict(line.split(b":", 1) for line in status if b":" in line)
        except OSError:
            continue  # it ended meanwhile
        # a process whose first thread ended looks like a zombie while its other threads run
        dead = fields[b"State"].strip().startswith((b"Z", b"X")) and int(fields.get(b"Threads", b"1")) <= 1
        if int(fields[b"Uid"].split()[0]) == USER and not dead:
            found[int(name)] = int(fields[b"PPid"])
    return found


def began(pid: int) -> int | None:
    """Return a process's start time in kernel ticks. Together, pid and start time identify a process.

    Returns None if the process is gone.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[19])  # the 22nd field, see proc_pid_stat(5)


class Processes:
    """The children of the agent. One thread starts steps and waits for them; any thread may start readers, or stop the
    job.

    ``stop`` is one ``kill`` for all processes. It needs no new process or thread, so it works at the pids limit, and no
    fork bomb escapes it.
    """

    def __init__(self, env: dict[str, str], secrets: dict[str, str] | None = None) -> None:
        self._env, self._with_secrets = env, {**env, **(secrets or {})}
        self._lock = threading.Lock()
        self._packing = False
        self._selector = selectors.DefaultSelector()
        self._outputs: dict[int, StepOutput] = {}
        self._services: set[int] = set()  # they survive the end of a step
        self.stopped: str | None = None  # the reason: "cancelled", "timed_out" or "lost"

    def start(
        self, command: list[str], text: str, output: StepOutput, pass_fds: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Run a command as the job's user in the workspace, with ``text`` on its standard input.

        Its stdout and stderr share one pipe to ``output``, which keeps their order. Raises Stopped, and OSError if the
        container has no process left.
        """
        with memory_file(text) as stdin, self._lock:
            if self.stopped:
                raise Stopped(self.stopped)
            process = self.spawn(
                ["/bin/sh", "-c", PRELUDE, "sh", *command],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                secrets=True,
                pass_fds=pass_fds,
            )
        assert process.stdout  # noqa: S101 - a pipe
        os.set_blocking(process.stdout.fileno(), False)
        self.listen(process, output)
        return process

    def listen(self, process: subprocess.Popen[bytes], output: StepOutput) -> None:
        """Pass a process's later output on to ``output``."""
        assert process.stdout  # noqa: S101 - a pipe
        fd = process.stdout.fileno()
        self._outputs[fd] = output
        self._selector.register(fd, selectors.EVENT_READ, partial(self._read, fd, rounds=4))

    def watch(self, fd: int, hear: Callable[[], None]) -> None:
        """Call ``hear`` when the descriptor is readable while a process is awaited."""
        self._selector.register(fd, selectors.EVENT_READ, hear)

    def forget(self, fd: int) -> None:
        """Stop watching a file descriptor, if it is watched."""
        if self._selector.get_map().get(fd) is not None:
            self._selector.unregister(fd)

    def feed(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Run a command as the job's user with a pipe on its standard input. Its output goes to the agent's log.

        Raises Stopped, and OSError if the container has no process left.
        """
        with self._lock:
            if self.stopped:
                raise Stopped(self.stopped)
            return self.spawn(["/bin/sh", "-c", PRELUDE, "sh", *command], stdin=subprocess.PIPE)

    def start_service(self, command: list[str], identity: int = USER, **options: Any) -> subprocess.Popen[bytes]:
        """Run a service for viewers, from any thread. It and its children survive until packing.

        Raises Stopped, also during packing, and OSError if the container has no process left.
        """
        with self._lock:
            self._check_going_on()
            if identity != USER:
                return self.spawn(command, identity, **options)
            process = self.spawn(["/bin/sh", "-c", PRELUDE_OF_SERVICES, "sh", *command], **options)
            self._services.add(process.pid)
        return process

    def forget_service(self, process: subprocess.Popen[bytes]) -> None:
        """Forget an ended service, because its pid may be reused."""
        with self._lock:
            self._services.discard(process.pid)

    def spawn(
        self,
        command: list[str],
        identity: int = USER,
        secrets: bool = False,
        **options: int | IO[bytes] | tuple[int, ...] | None,
    ) -> subprocess.Popen[bytes]:
        """Execute a command as the job's user, without its groups and in its own session.

        ``secrets``: it does the job's work and gets the job's secrets in its environment.
        """
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            command,
            user=identity,
            group=identity,
            extra_groups=[],
            start_new_session=True,
            umask=0o022,
            cwd="/",
            env=self._with_secrets if secrets else self._env,
            **options,
        )

    def start_look(self, command: list[str], text: str) -> subprocess.Popen[bytes]:
        """Run a reader beside the steps, from any thread. The caller reads its output. It ends when a step ends.

        Raises Stopped, also during packing, and OSError if the container has no process left.
        """
        self._check_going_on()
        with memory_file(text) as stdin:
            # without the lock, so that stop never waits for it
            process = self.spawn(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            self._check_going_on()  # it did not have the job's user yet when stop killed that user's processes
        except Stopped:
            end(process)
            raise
        return process

    def _check_going_on(self) -> None:
        if self.stopped or self._packing:
            raise Stopped(self.stopped or "packing")

    def wait(
        self, process: subprocess.Popen[bytes], deadline: float, through: Callable[[], bool] = lambda: False
    ) -> bool:
        """Pass output on until the process ended or ``through`` returns True (True), or the deadline came (False).

        The deadline is a ``time.monotonic``.
        """
        watch = os.pidfd_open(process.pid)
        self._selector.register(watch, selectors.EVENT_READ)
        try:
            while process.poll() is None and not through():
                now = time.monotonic()
                if now >= deadline:
                    return False
                dues = [output.due for output in self._outputs.values() if output.due is not None]
                self._pump(max(0.0, min([deadline, *dues]) - now))
            return True
        finally:
            self._selector.unregister(watch)
            os.close(watch)

    def _pump(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.data is not None:
                key.data()
        for output in self._outputs.values():
            output.tick()

    def _read(self, fd: int, rounds: int) -> None:
        """Read the pipe a bounded number of times. At its end, stop watching it."""
        for _ in range(rounds):
            try:
                data = os.read(fd, 65536)
            except BlockingIOError:
                return
            if not data:
                self.forget(fd)
                return
            self._outputs[fd].feed(data)

    def drain(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on the current content of a process's pipe, which holds 64 KiB."""
        assert process.stdout  # noqa: S101 - a pipe
        self._read(process.stdout.fileno(), rounds=2)

    def hush(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on a process's output so far and stop reading it. Later output waits in the pipe.

        Does nothing if the output is closed.
        """
        assert process.stdout  # noqa: S101 - a pipe
        fd = process.stdout.fileno()
        output = self._outputs.get(fd)
        if output:
            self._read(fd, rounds=64)  # every writer is dead or waits, so the pipe's content is bounded
            self.forget(fd)
            del self._outputs[fd]
            output.close()

    def close(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on the rest of an ended process's output and release its pipe."""
        assert process.stdout  # noqa: S101 - a pipe
        self.hush(process)
        process.stdout.close()

    def end_step(self, keep: dict[int, int | None], alone: int | None = None) -> bool:
        """Kill the processes that a step left running. ``keep`` (pid → ``began``), services and their descendants
        survive.

        ``alone`` survives without its descendants. Returns False if new processes start as fast as they are killed.
        """
        for _ in range(KILL_ROUNDS):
            with self._lock:  # a service that starts meanwhile counts as soon as it is a process
                if not keep and not self._services and alone is None:
                    kill_all()
                    return True
                doomed = self._doomed(users_processes(), keep, alone)
                if not doomed:
                    return True
                for sign in (signal.SIGSTOP, signal.SIGKILL):
                    for pid in doomed:
                        with suppress(ProcessLookupError):
                            os.kill(pid, sign)
        return False

    def left_running(self, keep: dict[int, int | None], alone: int | None = None) -> list[str]:
        """Return the command lines of the processes that ``end_step`` would kill.

        It waits a moment, because many processes end with their step. Children of the agent itself, and programs
        started from outside of the container, are not the step's. Forks of ``alone`` are workers of its libraries.
        """
        end = time.monotonic() + LEFT_SECONDS
        while True:
            with self._lock:
                parents = users_processes()
                doomed = self._doomed(parents, keep, alone)
            own = {pid for pid in doomed if parents[pid] in (0, os.getpid())}
            left = [pid for pid in doomed if not _descends(pid, parents, own)]
            if not left or time.monotonic() > end:
                break
            time.sleep(0.01)
        tops = [pid for pid in left if parents[pid] not in left]
        names = [name for pid in tops if (name := _command_line(pid))]
        helpers = (*HELPERS, *([_command_line(alone)] if alone is not None else []))
        return [name for name in names if not any(helper in name for helper in helpers if helper)]

    def _doomed(self, parents: dict[int, int], keep: dict[int, int | None], alone: int | None) -> list[int]:
        kept = {pid for pid in keep.keys() & parents.keys() if began(pid) == keep[pid]} | self._services
        return [pid for pid in parents if pid != alone and not _descends(pid, parents, kept)]

    @property
    def path(self) -> str:
        """The folders of a step's commands, as in ``PATH``."""
        return self._env["PATH"]

    def stop(self, why: str) -> None:
        """Kill every process of the job and let none start again. The first reason stays."""
        with self._lock:
            if self.stopped is None:
                self.stopped = why
            if not self._packing:
                kill_all()

    def kill_for_packing(self) -> None:
        """Kill every process of the job. Afterwards only the packer runs, which ``stop`` does not kill."""
        with self._lock:
            self._packing = True
            kill_all()


def kill_all() -> None:
    """Wait until no process of the job's user lives.

    ``kill(-1)`` reaches every process except the caller and PID 1 in one step that no fork can race, see kill(2). In
    this container these are the processes of the job's user.
    """
    while True:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        if not users_processes():
            return
        time.sleep(0.002)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process whose output is no longer needed."""
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def memory_file(text: str) -> IO[bytes]:
    """Return an open file in memory with a text: a standard input of any size that never blocks the writer."""
    file = open(os.memfd_create("text"), "w+b")  # noqa: SIM115 - the caller closes it
    file.write(text.encode())
    file.seek(0)
    return file


def _command_line(pid: int) -> str:
    """Return a process's command, or an empty text if it is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()[:1000]
    except OSError:
        return ""
    return words.replace(b"\0", b" ").decode("utf-8", "replace").strip()


def _descends(pid: int, parents: dict[int, int], ancestors: set[int]) -> bool:
    while pid in parents:
        if pid in ancestors:
            return True
        pid = parents[pid]
    return pid in ancestors
