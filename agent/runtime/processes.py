"""Who runs in the container, and how each is ended.

The agent is root with the capabilities SETUID, SETGID and KILL. Everything that touches the job's files is an exec'ed
child with the identity of the job's user: such a child can neither signal the agent, nor read its memory or its
environment, nor reach the link.
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
FRONT = 10002  # what listens for viewers: no process of the job can reach it
WORKSPACE = "/workspace"
HOME = "/home/user"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

#: The screen that graphical programs of a step find; it begins to run when the first of them comes.
DISPLAY = ":1"

#: How often what a step left running is looked for again, where something else is to go on.
KILL_ROUNDS = 1000

#: With no memory left to the container, its kernel counts what it killed here: cgroup v2, then v1.
OOM_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))

#: What the container takes of its memory, how much it may, and what of it the kernel could give up: v2, then v1.
MEMORY = (
    ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.stat", ""),
    (
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_",
    ),
)


#: What the agent may take of the memory: a step, however small, is to look larger to the kernel.
AGENT_BYTES = 48 * 2**20


class Stopped(Exception):
    """The job was stopped: nothing may be started for it any more."""


def environment(job_id: str, cpus: float) -> dict[str, str]:
    """What a step finds in its environment; nothing of the agent's own is in it."""
    return {
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
        # a module that is written anew within the second, as long as before, would be run as it was
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "Agg",
        # numerical libraries would start a thread for each CPU of the host
        "OMP_NUM_THREADS": str(max(1, round(cpus))),
        # certificates of a proxy that the image was built behind are in this bundle
        "SSL_CERT_FILE": CERTIFICATES,
        "REQUESTS_CA_BUNDLE": CERTIFICATES,
        "CURL_CA_BUNDLE": CERTIFICATES,
        "PIP_CERT": CERTIFICATES,
        "NODE_EXTRA_CA_CERTS": CERTIFICATES,
    }


def exit_code(process: subprocess.Popen[bytes]) -> int:
    """The exit code as a shell shows it: 128 + the signal's number where a signal ended the process."""
    code = process.returncode
    return code if code >= 0 else 128 - code


def oom_kills() -> int:
    """How many processes of this container the kernel has killed for memory so far."""
    for counter in OOM_COUNTERS:
        with suppress(OSError):
            for line in counter.read_text().splitlines():
                name, _, number = line.partition(" ")
                if name == "oom_kill":
                    return int(number)
    return 0


def memory_left() -> int:
    """Bytes that the container may still take; where the kernel does not say, more than any needs."""
    for current, limit, stat, prefix in MEMORY:
        with suppress(OSError, ValueError):
            used, most = int(Path(current).read_text()), int(Path(limit).read_text())
            lines = (line.partition(" ") for line in Path(stat).read_text().splitlines())
            files = (f"{prefix}inactive_file", f"{prefix}active_file")
            return most - used + sum(int(number) for name, _, number in lines if name in files)
    return 1 << 60


def step_score() -> int:
    """What a step offers itself to the kernel with when memory ends, in thousandths of the container's limit."""
    for _, limit, _, _ in MEMORY:
        with suppress(OSError, ValueError):
            return min(750, max(100, 1000 * AGENT_BYTES // int(Path(limit).read_text())))
    return 100


#: The first words of every child: it offers itself to the kernel before the agent when memory ends, and works in the
#: workspace. The text on its standard input is for the command, which reads it or not. What is there for viewers alone
#: offers itself before the steps do, whatever they have used.
PRELUDE = f'echo {step_score()} > /proc/self/oom_score_adj; cd {WORKSPACE} || exit 126; exec "$@"'
PRELUDE_OF_SERVICES = f'echo 1000 > /proc/self/oom_score_adj; cd {WORKSPACE} || exit 126; exec "$@"'


def users_processes() -> dict[int, int]:
    """The living processes of the job's user: pid → parent's pid."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/status", "rb") as status:  # a process can give itself a name that is no text
                fields = dict(line.split(b":", 1) for line in status if b":" in line)
        except OSError:
            continue  # it ended while we looked
        # a process whose first thread has ended is shown as a zombie while its other threads go on
        dead = fields[b"State"].strip().startswith((b"Z", b"X")) and int(fields.get(b"Threads", b"1")) <= 1
        if int(fields[b"Uid"].split()[0]) == USER and not dead:
            found[int(name)] = int(fields[b"PPid"])
    return found


def began(pid: int) -> int | None:
    """When a process was started, in the kernel's ticks: with its pid this names it, and none that has the pid later.

    None where it is gone.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[19])  # the 22nd field, see proc_pid_stat(5)


class Processes:
    """The children of the agent. One thread starts and awaits the steps; any thread may look, or stop the job.

    ``stop`` is one ``kill`` for all: it needs no new process and no thread, so it works where a job has used up its
    pids, and no process can fork itself out of it.
    """

    def __init__(self, env: dict[str, str], secrets: dict[str, str] | None = None) -> None:
        self._env, self._with_secrets = env, {**env, **(secrets or {})}
        self._lock = threading.Lock()
        self._packing = False
        self._selector = selectors.DefaultSelector()
        self._outputs: dict[int, StepOutput] = {}
        self._services: set[int] = set()  # they outlive a step
        self.stopped: str | None = None  # why: "cancelled", "timed_out" or "lost"

    def start(
        self, command: list[str], text: str, output: StepOutput, pass_fds: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Run a command as the job's user in the workspace, with ``text`` on its standard input.

        Both of its streams go to ``output`` through one pipe, which keeps their order. Raises Stopped, and OSError
        where the container has no process left.
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
        """From now on, pass what a process prints on to ``output``."""
        assert process.stdout  # noqa: S101 - a pipe
        fd = process.stdout.fileno()
        self._outputs[fd] = output
        self._selector.register(fd, selectors.EVENT_READ, partial(self._read, fd, rounds=4))

    def watch(self, fd: int, hear: Callable[[], None]) -> None:
        """While a process is waited for, call ``hear`` when there is something to read."""
        self._selector.register(fd, selectors.EVENT_READ, hear)

    def forget(self, fd: int) -> None:
        """Watch a file descriptor no more; of one that is not watched: nothing."""
        if self._selector.get_map().get(fd) is not None:
            self._selector.unregister(fd)

    def feed(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Run a command as the job's user, with a pipe on its standard input; what it prints goes to the agent's log.

        Raises Stopped, and OSError where the container has no process left.
        """
        with self._lock:
            if self.stopped:
                raise Stopped(self.stopped)
            return self.spawn(["/bin/sh", "-c", PRELUDE, "sh", *command], stdin=subprocess.PIPE)

    def start_service(self, command: list[str], identity: int = USER, **options: Any) -> subprocess.Popen[bytes]:
        """Run a command that shows the job to viewers, on any thread: it lasts until packing, with all its children.

        Raises Stopped, also where the job is packed, and OSError where the container has no process left.
        """
        with self._lock:
            self._check_going_on()
            if identity != USER:
                return self.spawn(command, identity, **options)
            process = self.spawn(["/bin/sh", "-c", PRELUDE_OF_SERVICES, "sh", *command], **options)
            self._services.add(process.pid)
        return process

    def forget_service(self, process: subprocess.Popen[bytes]) -> None:
        """It has ended: another process may get its number."""
        with self._lock:
            self._services.discard(process.pid)

    def spawn(
        self,
        command: list[str],
        identity: int = USER,
        secrets: bool = False,
        **options: int | IO[bytes] | tuple[int, ...] | None,
    ) -> subprocess.Popen[bytes]:
        """Exec a command as the job's user, without its groups and in a session of its own.

        ``secrets``: it does the job's own work, and finds the job's secrets in its environment.
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
        """Run a command of ours beside the steps, on any thread; its output is the caller's. It ends when a step does.

        Raises Stopped, also where the job is packed, and OSError where the container has no process left.
        """
        self._check_going_on()
        with memory_file(text) as stdin:
            # without the lock, so that stop never waits for it
            process = self.spawn(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            self._check_going_on()  # it was no process of the user's yet when all of those were killed
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
        """Pass output on until the process ended, or is ``through`` (True), or the deadline came (False).

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
        """Read what a pipe holds, a bounded number of times; at its end it is watched no more."""
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
        """Pass on what a process's pipe holds at this moment: a pipe holds 64 KiB."""
        assert process.stdout  # noqa: S101 - a pipe
        self._read(process.stdout.fileno(), rounds=2)

    def hush(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on what a process has printed so far, and close its output: what comes later waits in the pipe.

        Where its output is closed: nothing.
        """
        assert process.stdout  # noqa: S101 - a pipe
        fd = process.stdout.fileno()
        output = self._outputs.get(fd)
        if output:
            self._read(fd, rounds=64)  # whoever could write more is dead, or waits: what the pipe holds is bounded
            self.forget(fd)
            del self._outputs[fd]
            output.close()

    def close(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on the rest of an ended process's output and let go of its pipe."""
        assert process.stdout  # noqa: S101 - a pipe
        self.hush(process)
        process.stdout.close()

    def end_step(self, keep: dict[int, int | None], alone: int | None = None) -> bool:
        """Kill what a step left running; ``keep`` (pid → ``began``), services and all their descendants go on.

        So does ``alone``, without its own. False where it started new ones as fast as they were killed.
        """
        for _ in range(KILL_ROUNDS):
            with self._lock:  # a service that starts meanwhile is one of them as soon as it is a process
                if not keep and not self._services and alone is None:
                    kill_all()
                    return True
                parents = users_processes()
                kept = {pid for pid in keep.keys() & parents.keys() if began(pid) == keep[pid]} | self._services
                doomed = [pid for pid in parents if pid != alone and not _descends(pid, parents, kept)]
                if not doomed:
                    return True
                for sign in (signal.SIGSTOP, signal.SIGKILL):
                    for pid in doomed:
                        with suppress(ProcessLookupError):
                            os.kill(pid, sign)
        return False

    def stop(self, why: str) -> None:
        """Kill every process of the job and let none start again; the first reason stays."""
        with self._lock:
            if self.stopped is None:
                self.stopped = why
            if not self._packing:
                kill_all()

    def kill_for_packing(self) -> None:
        """Kill every process of the job. From now on only the packer runs, which ``stop`` leaves alone."""
        with self._lock:
            self._packing = True
            kill_all()


def kill_all() -> None:
    """Return when no process of the job's user lives.

    ``kill(-1)`` reaches every process but the caller and PID 1 in one step that no fork can race, see kill(2); in this
    container these are the processes of the job's user.
    """
    while True:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        if not users_processes():
            return
        time.sleep(0.002)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process whose output nobody wants any more."""
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def memory_file(text: str) -> IO[bytes]:
    """An open file in memory that holds a text: a standard input of any size that never blocks who gives it."""
    file = open(os.memfd_create("text"), "w+b")  # noqa: SIM115 - the caller closes it
    file.write(text.encode())
    file.seek(0)
    return file


def _descends(pid: int, parents: dict[int, int], ancestors: set[int]) -> bool:
    while pid in parents:
        if pid in ancestors:
            return True
        pid = parents[pid]
    return pid in ancestors
