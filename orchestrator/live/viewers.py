"""The services of running jobs that clients want to see, and their states.

Nothing is stored. After a restart, clients ask again and agents report again.
"""

from __future__ import annotations

import logging
import time
from typing import Literal

from orchestrator.concurrency.notifier import Notifier, wait_until
from orchestrator.db.models import FINAL, Job
from orchestrator.db.store import Store
from orchestrator.errors import Gone, NotFound, Unavailable
from orchestrator.live.grants import Signer
from protocol import messages

log = logging.getLogger(__name__)

#: Seconds that a viewer waits. The agent has its own limit for a service that does not answer.
REACH_SECONDS = messages.SERVICE_SECONDS + 5


class Service:
    """A requested service, as last reported."""

    def __init__(self) -> None:
        self.state: Literal["wanted", "starting", "ready", "ended", "failed"] = "wanted"
        self.detail = ""


class Viewers:
    """The requested services of all jobs."""

    def __init__(self, store: Store, notifier: Notifier, signer: Signer) -> None:
        self._store, self._notifier, self._signer = store, notifier, signer
        self._services: dict[str, dict[messages.Service, Service]] = {}

    # ── for the live gateway ─────────────────────────────────────────────────────────────────────────────────────

    def want(self, job_id: str, name: messages.Service) -> Service:
        """Request that a service runs. Returns at once."""
        services = self._services.setdefault(job_id, {})
        service = services.get(name)
        if service is None or service.state in ("ended", "failed"):
            service = services[name] = Service()
            log.info("%s requested", name)
            self._notifier.ring(job_id)
        return service

    async def reach(self, job_id: str, name: messages.Service) -> Job:
        """Request a service and wait until it runs. Returns its job. Raises NotFound, Gone and Unavailable."""
        service: Service | None = None

        async def ready() -> Job | None:
            nonlocal service
            job = showable(await self._store.job(job_id), job_id)
            if service is None or service is not self._services.get(job_id, {}).get(name):
                service = self.want(job_id, name)
            if service.state in ("ended", "failed"):
                detail = f"The {name} of job {job_id} could not be started: {service.detail or 'it ended.'}"
                raise Unavailable(503, "no-view", "It cannot be shown", detail)
            return job if service.state == "ready" else None

        if job := await wait_until(self._notifier, job_id, ready, time.monotonic() + REACH_SECONDS):
            return job
        detail = f"The {name} of job {job_id} did not start in time. It may have too little CPU or memory."
        raise Unavailable(504, "no-view", "It does not start", detail)

    # ── for the agents' door ─────────────────────────────────────────────────────────────────────────────────────

    def unheard(self, job: Job) -> list[messages.View]:
        """Return the services that the job's agent must start. They are repeated until the agent begins."""
        if job.sandbox_id is None:
            return []
        control, watch = (self._signer.password(job.sandbox_id, mode) for mode in ("control", "watch"))
        wanted = [name for name, service in self._services.get(job.id, {}).items() if service.state == "wanted"]
        return [messages.View(name, control, watch) if name == "desktop" else messages.View(name) for name in wanted]

    def report(self, job_id: str, shown: messages.Shown) -> None:
        """Record a state that an agent reports. Reports of services that no client requested are dropped."""
        service = self._services.get(job_id, {}).get(shown.service)
        if service is not None:
            service.state, service.detail = shown.state, shown.detail
            log.info("%s: %s %s", shown.service, shown.state, shown.detail)
            self._notifier.ring(job_id)

    def forget(self, job_id: str) -> None:
        """Forget the services of an ended job."""
        self._services.pop(job_id, None)


def showable(job: Job | None, job_id: str) -> Job:
    """Return the job if it can be seen now. Raises NotFound and Gone."""
    if job is None:
        raise NotFound(404, "no-such-job", "No such job", f"There is no job {job_id[:80]!r}; it may have been deleted.")
    if job.status in FINAL:
        raise Gone(410, "ended", "The job has ended", f"Job {job.id} is {job.status}. {job.detail}".strip())
    if job.status == "running" and (job.packaging_at or job.settled_at):
        raise Gone(410, "packing", "The job has finished its steps", f"The ZIP of job {job.id} is being made.")
    if job.status != "running":
        raise Unavailable(503, "not-running", "Not running yet", f"Job {job.id} is waiting to start.")
    return job
