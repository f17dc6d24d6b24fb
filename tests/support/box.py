"""The agent's functions without its link, called in a container of its image.

As in a job, the children run as the job's user. The code that makes their files does too.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.system import IMAGE, docker

#: Makes files as the job's user, runs the agent's code, and prints its ``answer``.
DRIVER = """
import dataclasses, json, os, subprocess, sys, time
from agent.workspace import inspection, snapshots
from protocol import messages
from agent.job import Job
from agent.runtime.processes import Processes, environment, users_processes
from protocol.redaction import Needles

told = json.load(sys.stdin)
env = environment("job", 1, "none")
limits = 600, 1, 1 << 30, 60, 60
order = messages.Order("job", "model", True, [], told["uploads"], [], "", "none", *limits, told["secrets"])
job = Job(order, None, None, Processes(env, told["secrets"]), remaining=[], needles=Needles(told["secrets"]))

def user(code, *arguments):
    command = ["/opt/venv/bin/python", "-c", code, *arguments]
    subprocess.run(command, user=10001, group=10001, extra_groups=[], cwd="/workspace", env=env, check=True)

def clean():
    subprocess.run("rm -rf /workspace/..?* /workspace/.[!.]* /workspace/* ~/.kept", shell=True, user=10001, env=env)

def read(path):
    return open(f"/workspace/{path}").read()

clean()
user(HELPERS + told["made"])
answer = None
exec(told["code"])
print(json.dumps(answer, default=dataclasses.asdict))
"""

#: Functions for the code that makes files.
HELPERS = """
import base64, gzip, io, json, os, pathlib, tarfile, time, zipfile

def write(path, content="x"):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())

def picture(path, *dots, size=(400, 300), mode="RGB", color="white", **options):
    from PIL import Image
    image = Image.new(mode, size, color)
    for dot in dots:
        image.putpixel(dot, (200, 30, 30))
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)

def figure(path, draw=lambda axes: None, **options):
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots()
    draw(axes)
    figure.savefig(path, **options)

def book(path, *cells):
    from openpyxl import Workbook
    made = Workbook()
    for cell in cells:
        made.active[cell] = 1
    made.save(path)

def packed(path, **parts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
"""


class Box:
    """A container of the agent's image in which no agent runs."""

    def __init__(self) -> None:
        caps = [f"--cap-add={name}" for name in ("SETUID", "SETGID", "KILL")]
        limits = ["--memory=768m", "--pids-limit=256", "--network=none", "--security-opt=no-new-privileges"]
        run = ["run", "-d", "--rm", "--cap-drop=ALL", *caps, *limits, "--entrypoint=sh", IMAGE]
        self.name = docker(*run, "-c", "while :; do sleep 1; done")  # PID 1 survives kill(-1)

    def do(self, made: str, code: str, uploads: tuple[str, ...] = (), **secrets: str) -> Any:
        """Make files as the job's user, run the agent's code, and return its ``answer``."""
        told = {"made": made, "code": code, "uploads": uploads, "secrets": secrets}
        driver = DRIVER.replace("HELPERS", repr(HELPERS), 1)
        command = ["docker", "exec", "-i", self.name, "/opt/agent/bin/python", "-I", "-c", driver]
        done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def facts(self, made: str, *named: str, **secrets: str) -> list[dict[str, Any]]:
        found = self.do(made, f"answer = inspection.facts(job, {list(named)!r})", **secrets)
        assert all(fact["ok"] == (fact["about"] == "ok") for fact in found)
        return list(found)

    def fact(self, made: str, named: str, **secrets: str) -> dict[str, Any]:
        (found,) = self.facts(made, named, **secrets)
        return found

    def pictures(self, made: str, *named: str, most: int = 4) -> list[dict[str, Any]]:
        return list(self.do(made, f"answer = inspection.pictures(job, {list(named)!r}, {most})"))


@contextmanager
def boxed() -> Iterator[Box]:
    """Run a container for the tests of a module."""
    one = Box()
    try:
        yield one
    finally:
        docker("rm", "-f", one.name)


#: Calls each function once; ``NOTHING`` is the answer if all of them fail.
CALLS = """
answer = [inspection.facts(job, ["a"]), inspection.pictures(job, ["a"]), kept.save(job, ["a"]), kept.restore(job)]
answer += [snapshots.set_aside(job, ["up.csv"]), dict(job.aside)]
"""
NOTHING = [[], [], False, [], [], {}]

#: A PNG of 10^5 by 10^5 pixels, and an SVG whose only text is 10^9 letters.
BOMBS = """
import struct, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
BOMB = b"\\x89PNG\\r\\n\\x1a\\n" + header + chunk(b"IDAT", zlib.compress(bytes(10 << 20))) + chunk(b"IEND", b"")
names = [f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10)]
LAUGHS = f'<!DOCTYPE svg [<!ENTITY e0 "ha">{"".join(names)}]><svg><text>&e9;</text></svg>'
"""
