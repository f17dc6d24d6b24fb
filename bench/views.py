"""What a viewer waits for: the first pixel of a desktop and Jupyter Lab's page, after a link was opened.

Each round has a job of its own, which nobody has looked at before: its services are cold; a browser is there already.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

IMAGE = os.environ.get("GATEWAY_IMAGE", "containerized-agent-novnc:latest")

#: Rounds that are run; the first one reads the image from the disk, and does not count.
MOST = 6

#: Processes that a job has for its viewers alone.
SERVICES = ("Xtigervnc", "openbox", "xterm", "agent.children.viewer_proxy", "lab_server.py")

#: True as soon as the desktop shows something other than one colour.
PIXELS = """() => {
    const canvas = document.querySelector("#screen canvas");
    if (!canvas || !canvas.width) return false;
    const pixels = new Uint32Array(
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return pixels.some(pixel => pixel !== pixels[0] && pixel !== 0);
}"""

#: The job that is looked at: a python step, so that there is a kernel, and a step that goes on.
STEPS = [{"kind": "python", "code": "x = 1\nx"}, {"kind": "shell", "script": "echo ready; sleep 600"}]

Call = Callable[..., Any]


@contextmanager
def gateway(run_dir: Path, desktop_port: int, notebook_port: int) -> Iterator[None]:
    """The live gateway of a system of our own, as docker-compose.yml starts it."""
    name = f"containerized-agent-bench-{desktop_port}"
    subprocess.run(
        [
            "docker", "run", "--detach", "--name", name, "--network", "host", "--read-only", "--tmpfs=/tmp",
            "--cap-drop", "ALL", "--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "SETPCAP",
            "--security-opt", "no-new-privileges",
            "--volume", f"{run_dir}/live:{run_dir}/live:ro", "--volume", f"{run_dir}/gateway:{run_dir}/gateway:ro",
            "--env", f"RUN_DIR={run_dir}", "--env", f"DESKTOP_PORT={desktop_port}",
            "--env", f"NOTEBOOK_PORT={notebook_port}", IMAGE,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    try:
        while subprocess.run(["docker", "exec", name, "health.sh"], capture_output=True).returncode:
            time.sleep(0.05)
        yield
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


def in_lab(page: Any, selector: str) -> None:
    """Wait for something in Jupyter Lab, which is in a frame."""
    page.frame_locator("iframe").locator(selector).first.wait_for()


#: What is waited for, of which service, and the milliseconds that it may take.
SEEN: dict[str, tuple[str, int | None, Callable[[Any], object]]] = {
    "desktop: link to first pixel": ("desktop", 1000, lambda page: page.wait_for_function(PIXELS, polling=10)),
    "notebook: link to Lab's page": ("notebook", 3000, lambda page: in_lab(page, ".jp-LabShell")),
    "notebook: link to its cells": ("notebook", None, lambda page: in_lab(page, ".jp-Notebook .jp-Cell")),
}


def measure(call: Call, base: str, rounds: int) -> None:
    """Print the figures of so many rounds, and fail where a job that nobody watches runs anything for viewers."""
    took: dict[str, list[float]] = {name: [] for name in SEEN}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(min(rounds, MOST) + 1):
            for name, (service, _, seen) in SEEN.items():
                took[name].append(one(call, base, browser, seen, service))
        browser.close()
    print(f"\nviews, cold, {min(rounds, MOST)} rounds; milliseconds\n\n{'':32}{'median':>8}{'min':>8}{'max':>8}")
    for name, values in took.items():
        kept, most = values[1:], SEEN[name][1]  # the first round finds a browser that is cold too
        bound = f"   may be {most}" if most else ""
        print(f"{name:32}{statistics.median(kept):8.0f}{min(kept):8.0f}{max(kept):8.0f}{bound}")
    print("\na job that nobody watches runs nothing for viewers")


def one(call: Call, base: str, browser: Browser, seen: Callable[[Any], object], service: str) -> float:
    """Milliseconds from opening a link to a new job's service until it is seen."""
    job = call(base, "/schedule", {"steps": STEPS})["job_id"]
    while (status := call(base, f"/status/{job}"))["steps"][1]["status"] != "running":
        time.sleep(0.02)
    listed = subprocess.run(
        ["docker", "top", f"containerized-agent-{status['sandbox']}", "-o", "pid,args"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if unwanted := [name for name in SERVICES if name in listed]:
        raise SystemExit(f"A job that nobody watches runs {unwanted}.")
    links = status["views"]
    context = browser.new_context()
    page = context.new_page()
    begin = time.perf_counter()
    page.goto(links["notebook"] if service == "notebook" else links["desktop"]["watch"], wait_until="commit")
    seen(page)
    took = (time.perf_counter() - begin) * 1000
    context.close()
    call(base, f"/cancel/{job}", {})
    while call(base, f"/status/{job}")["status"] == "running":
        time.sleep(0.02)
    return took
