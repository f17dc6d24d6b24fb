"""PUBLIC_URL: the links that follow from it, and the origins that it allows."""

from __future__ import annotations

import os
import subprocess

import pytest
from starlette.datastructures import Headers

from orchestrator.db.models import Job
from orchestrator.errors import Forbidden
from orchestrator.gateway import callers, urls
from orchestrator.live.grants import Signer
from orchestrator.reports.documents import Api
from orchestrator.settings import Settings
from orchestrator.web.origin_check import foreign
from tests.support.system import ROOT

#: Settings, and the addresses of the API, of the list of desktops, and of a view.
ADDRESSES = [
    ({}, "http://localhost:8000", "http://localhost:6080/", "http://notebook-7.localhost:8888/"),
    (
        {"public_url": "https://agent.example.org"},
        "https://agent.example.org",
        "https://desktops.agent.example.org/",
        "https://notebook-7.agent.example.org/",
    ),
    (
        {"public_url": "HTTPS://Agent.Example.org:8443/"},
        "https://agent.example.org:8443",
        "https://desktops.agent.example.org:8443/",
        "https://notebook-7.agent.example.org:8443/",
    ),
    (
        {"public_url": "https://agent.example.org:443", "view_domain": "views.example.net"},
        "https://agent.example.org",
        "https://desktops.views.example.net/",
        "https://notebook-7.views.example.net/",
    ),
    (
        {"public_url": "http://box:8000"},  # no proxy
        "http://box:8000",
        "http://box:6080/",
        "http://notebook-7.box:8888/",
    ),
    (
        {"public_url": "https://[2001:db8::1]"},  # no name can be below an IP address
        "https://[2001:db8::1]",
        "http://localhost:6080/",
        "http://notebook-7.localhost:8888/",
    ),
    (
        {"public_url": "https://10.0.0.1", "view_domain": "views.example.net"},
        "https://10.0.0.1",
        "https://desktops.views.example.net/",
        "https://notebook-7.views.example.net/",
    ),
]


@pytest.mark.parametrize(("given", "api", "desktops", "notebook"), ADDRESSES)
def test_every_address_follows_from_the_public_url(
    given: dict[str, str], api: str, desktops: str, notebook: str
) -> None:
    settings = Settings(**given)  # type: ignore[arg-type]
    assert urls.api(settings) == api
    assert urls.gateway(settings, "desktop") == desktops
    link = urls.link(settings, Signer(b"key"), Job(id="7"), "notebook", "control")
    assert link.partition("?link=")[0] == notebook
    report = Api(settings.api_url, True)
    assert report.url == (api if given else "http://127.0.0.1:8000")


@pytest.mark.parametrize(("given", "api", "desktops", "notebook"), ADDRESSES)
def test_the_scripts_print_the_same_address_of_the_list(
    given: dict[str, str], api: str, desktops: str, notebook: str
) -> None:
    env = {"PATH": os.environ["PATH"], **{name.upper(): value.lower() for name, value in given.items()}}
    command = ["bash", "-c", ". scripts/common.sh; list_url desktops DESKTOP_PORT"]
    found = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert found.stdout.strip().replace(":443/", "/") == desktops


TLS = "https://agent.example.org"
ODD = "https://agent.example.org:8443"


@pytest.mark.parametrize(
    ("public", "host", "origin", "is_foreign"),
    [
        ("", "localhost:8000", "http://localhost:8000", False),
        ("", "localhost:8000", "http://localhost:8001", True),
        (TLS, "agent.example.org", TLS, False),
        (TLS, "agent.example.org", "http://agent.example.org", True),  # a page without TLS can be forged
        (TLS, "agent.example.org", "https://evil.example.org", True),
        (TLS, "agent.example.org", "https://desktop-7.agent.example.org", True),
        (TLS, "agent.example.org", "null", True),
        (TLS, "127.0.0.1:8000", TLS, False),  # the proxy replaced the Host header
        (TLS, "127.0.0.1:8000", "http://127.0.0.1:8000", False),  # without the proxy
        (ODD, "agent.example.org:8443", ODD, False),
        (ODD, "agent.example.org", ODD, False),  # the proxy left the port out
        (ODD, "agent.example.org", TLS, True),  # another port is another origin
        (ODD, "agent.example.org:8443", "http://agent.example.org:8443", True),
    ],
)
def test_a_page_may_call_from_the_public_origin_alone(public: str, host: str, origin: str, is_foreign: bool) -> None:
    assert foreign(Headers({"host": host, "origin": origin}), public) == is_foreign


def of_view(settings: Settings, host: str, origin: str, service: str = "desktop") -> callers.Call:
    """Return a WebSocket call to a view, or raise Forbidden."""
    headers = {"host": host, "origin": origin, callers.SERVICE_HEADER: service, callers.UPGRADE_HEADER: "websocket"}
    call = callers.understand(Headers(headers), settings)
    callers.check_site(call)
    return call


def test_a_view_behind_a_proxy_is_called_from_its_own_page_alone() -> None:
    settings = Settings(public_url=ODD)
    name = "desktop-7.agent.example.org"
    for host in (name, f"{name}:8443"):
        assert of_view(settings, host, f"https://{name}:8443").job_id == "7"
        for origin in (f"http://{name}:8443", ODD, "https://desktop-8.agent.example.org:8443", f"https://{name}"):
            with pytest.raises(Forbidden):
                of_view(settings, host, origin)
    lists = "desktops.agent.example.org:8443"
    assert of_view(settings, lists, f"https://{lists}").job_id is None
    assert of_view(settings, "localhost:6080", "http://localhost:6080").job_id is None
    with pytest.raises(Forbidden):  # the other service's name
        of_view(settings, lists, f"https://{lists}", "notebook")


@pytest.mark.parametrize("given", [{"public_url": "http://box:8000"}, {}])
def test_without_tls_no_cookie_is_secure(given: dict[str, str]) -> None:
    assert not Settings(**given).over_tls  # type: ignore[arg-type]
    assert Settings(public_url=TLS).over_tls
