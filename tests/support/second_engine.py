"""A second Docker engine, which a test may kill. It shares no data, socket, network or process with the machine's own.

The daemon runs in a network namespace of its own: at its start, a daemon without a bridge deletes ``docker0``, which
belongs to the machine's own engine. So its containers are reached with ``docker exec`` alone. Its containerd is a
process of its own, as in the packages of Debian and Docker, so it survives a crash of the daemon.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.support.system import PATIENCE, until


class SecondEngine:
    """A daemon without a bridge: its containers use the network of its namespace, or none."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ca-"))  # a short name, because sockets need one
        # in memory: on some disks, deleting the layers of two images takes a minute
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3g", "tmpfs", self.folder], check=True)
        self.socket = self.folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        self._log = open(self.folder / "log", "ab")  # noqa: SIM115 - closed in close()
        containerd = self.folder / "containerd.sock"
        self._containerd = self._spawn(
            "containerd", "--root", self.folder / "containerd", "--state", self.folder / "state",
            "--address", containerd,
        )  # fmt: skip
        self._namespace = self.folder.name
        subprocess.run(["ip", "netns", "add", self._namespace], check=True)
        self._command = (
            "nsenter", f"--net=/run/netns/{self._namespace}", "dockerd", "--host", self.host,
            "--containerd", containerd, "--pidfile", self.folder / "pid",
            "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
            "--bridge", "none", "--iptables=false", "--ip-masq=false",
        )  # fmt: skip
        self._dockerd: subprocess.Popen[bytes] | None = None

    def start(self) -> SecondEngine:
        subprocess.run(["ip", "-n", self._namespace, "link", "set", "lo", "up"], check=True)
        self._dockerd = self._spawn(*self._command)
        until(self._answers, "the second engine answers")
        return self

    def crash(self) -> None:
        """Kill the daemon without warning. Its containers go on until the next start."""
        assert self._dockerd
        self._dockerd.kill()
        self._dockerd.wait()

    def docker(self, *arguments: str, **options: Any) -> str:
        run = ["docker", "--host", self.host, *arguments]
        return subprocess.run(run, check=True, capture_output=True, text=True, **options).stdout.strip()

    def take_images(self, *names: str) -> None:
        """Copy images from the machine's own engine."""
        with subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE) as saved:
            self.docker("load", "--quiet", stdin=saved.stdout)
        assert saved.returncode == 0

    def close(self) -> None:
        """Remove all containers, stop both processes, and remove their mounts and files."""
        try:
            if self._dockerd and self._answers():
                for container in self.docker("ps", "--all", "--quiet").split():
                    self.docker("rm", "--force", container)
            for process in (self._dockerd, self._containerd):
                if process:
                    process.terminate()
                    process.wait(timeout=PATIENCE)
        finally:
            self._log.close()
            subprocess.run(["ip", "netns", "delete", self._namespace], check=True)
            for line in reversed(Path("/proc/mounts").read_text().splitlines()):
                if (place := line.split()[1]).startswith(f"{self.folder}/"):
                    subprocess.run(["umount", "--lazy", place], check=True)
            subprocess.run(["umount", "--lazy", self.folder], check=True)
            self.folder.rmdir()

    def _answers(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            return bool(self.docker("version"))
        assert self._dockerd and self._dockerd.poll() is None, (self.folder / "log").read_text()[-4000:]
        return False

    def _spawn(self, *command: str | os.PathLike[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True
        )
