"""Addresses of views: the links in the status and in the lists of jobs."""

from __future__ import annotations

import time

from orchestrator.db.models import Job
from orchestrator.live.grants import Grant, Mode, Signer
from orchestrator.settings import Settings, is_loopback
from protocol import messages


def link(
    settings: Settings, signer: Signer, job: Job, service: messages.Service, mode: Mode, follow: bool = False
) -> str:
    """Return a link that opens a view of a job for a limited time."""
    until = int(time.time() + settings.view_link_seconds)
    token = signer.sign("link", Grant(job.id, service, mode, until, follow))
    return f"{origin(settings, service, f'{service}-{job.id}.{settings.domain_of_views}')}/?link={token}"


def gateway(settings: Settings, service: messages.Service) -> str:
    """Return the address of the list of running jobs."""
    return f"{origin(settings, service, list_name(settings, service))}/"


def list_name(settings: Settings, service: messages.Service) -> str:
    """Return the host name of the list of running jobs. Behind a proxy, the name tells desktops and notebooks apart."""
    return f"{service}s.{settings.domain_of_views}" if settings.proxied_views else settings.domain_of_views


def origin(settings: Settings, service: messages.Service, name: str) -> str:
    """Return scheme, host and port of a page of the gateway, as browsers write them."""
    if not settings.proxied_views or settings.public is None:
        return f"http://{name}:{port(settings, service)}"
    public = settings.public
    return f"{public.scheme}://{name}" + (f":{public.port}" if public.port else "")


def api(settings: Settings) -> str:
    """Return the address of the users' API for browsers."""
    if settings.public_url:
        return settings.public_url
    host = settings.host
    if is_loopback(host) or host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = settings.view_domain
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def port(settings: Settings, service: messages.Service) -> int:
    return settings.desktop_port if service == "desktop" else settings.notebook_port
