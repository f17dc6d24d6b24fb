"""A client of the link with the token of a running sandbox."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from protocol import messages
from tests.support.system import System, docker

STEP_ENDED = {
    "kind": "step_ended", "number": 1, "step": 1, "status": "failed", "exit_code": 1, "detail": "", "output_bytes": 0,
}  # fmt: skip


class Caller:
    """A client that uses the link as the agent of a running job does, with its sandbox's token."""

    def __init__(self, system: System, job: str) -> None:
        name = f"containerized-agent-{system.status(job)['sandbox']}"
        env = json.loads(docker("inspect", "-f", "{{json .Config.Env}}", name))
        self.token = next(line.partition("=")[2] for line in env if line.startswith(messages.TOKEN_VARIABLE))
        transport = httpx.HTTPTransport(uds=str(system.run_dir / "link/link.sock"))
        self.http = httpx.Client(transport=transport, base_url="http://link", timeout=60)
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def events(self, *events: dict[str, Any]) -> httpx.Response:
        return self.http.post("/events", json={"events": [{"at": time.time(), **event} for event in events]})
