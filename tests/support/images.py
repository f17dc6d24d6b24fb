"""Images that are derived from the agent's image."""

from __future__ import annotations

import os
import subprocess

from tests.support.system import IMAGE

LABEL = "containerized-agent.version"


MARK = f"containerized-agent-test={os.getpid()}"


ENTRYPOINTS = {
    "dies": '["sh", "-c", "echo first; echo boom >&2; exit 7"]',
    "silent": '["sleep", "600"]',
    "chatty": '["sh", "-c", "echo still here; exec sleep 600"]',
    "missing": '["/no/such/program"]',
}


def derive(name: str, *lines: str) -> str:
    """Build an image from the agent's image with further lines. Return the image's name."""
    dockerfile = "\n".join((f"FROM {IMAGE}", f"LABEL {MARK}", *lines))
    build = ["docker", "build", "--quiet", "--tag", name, "-"]
    subprocess.run(build, input=dockerfile, text=True, check=True, capture_output=True)
    return name
