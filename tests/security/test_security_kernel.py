"""Attacks by way of the kernel: a step is the kernel's own user, and may make it say anything to the agent."""

from __future__ import annotations

import pytest

from tests.support.notebook import ended
from tests.support.steps import python
from tests.support.system import System

#: A step can find the kernel's own socket to the agent.
AGENTS_SOCKET = """\
import os, socket
agent = socket.socket(fileno=os.dup(int(open("/proc/self/cmdline").read().split("\\0")[3])))
"""


@pytest.mark.parametrize(
    "lie",
    [
        "b'no message\\n'",
        "b'[1]\\n'",
        'b\'{"ended": "well"}\\n\'',
        "b'[' * 100_000 + b'\\n'",
        "b'x' * 20_000_000",
    ],
)
def test_a_kernel_that_breaks_its_word_fails_its_step_alone(system: System, lie: str) -> None:
    code = f"{AGENTS_SOCKET}agent.sendall({lie})\nimport time\ntime.sleep(600)"
    job, found = ended(system, python("x = 1"), python(code))
    assert (found["status"], found["reason"]) == ("failed", "step_failed"), found
    assert "was ended with its kernel: it sent" in found["detail"]
    assert system.zip(job).manifest["steps"][1]["status"] == "failed"


def test_a_result_that_no_kernel_would_send_is_taken_as_far_as_it_is_one(system: System) -> None:
    told = {
        "result": {"text/plain": "\ud800 kept", "text/html": 3, "image/png": "no base64!", "evil/kind": "x"},
        "file": "../../etc/passwd",
        "id": 9,
    }
    code = f"{AGENTS_SOCKET}import json\nagent.sendall(json.dumps({told!r}).encode() + b'\\n')"
    job, found = ended(system, python("x = 1"), python(code))
    assert found["status"] == "completed", found
    results = [event["data"] for event in system.events(job) if event["event"] == "result"]
    assert [result["data"] for result in results] == [{"text/plain": "? kept"}] and "file" not in results[0]
