"""Where views are: the links that the status and the lists of jobs have."""

from __future__ import annotations

import time

from orchestrator.db.models import Job
from orchestrator.live.grants import Grant, Mode, Signer
from orchestrator.settings import Settings, is_loopback
from protocol import messages


def link(
    settings: Settings, signer: Signer, job: Job, service: messages.Service, mode: Mode, follow: bool = False
) -> str:
    """A link that opens a view of a job, for a while."""
    until = int(time.time() + settings.view_link_seconds)
    token = signer.sign("link", Grant(job.id, service, mode, until, follow))
    return f"http://{service}-{job.id}.{settings.view_domain}:{port(settings, service)}/?link={token}"


def gateway(settings: Settings, service: messages.Service) -> str:
    """Where the list of running jobs is."""
    return f"http://{settings.view_domain}:{port(settings, service)}/"


def api(settings: Settings) -> str:
    """Where a browser finds the users' API."""
    host = settings.host
    if is_loopback(host) or host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = settings.view_domain
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def port(settings: Settings, service: messages.Service) -> int:
    return settings.desktop_port if service == "desktop" else settings.notebook_port
