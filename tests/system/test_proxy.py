"""Behind a proxy with TLS: the configurations in docs/operations.md, run with a certificate of a local CA."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from playwright.sync_api import Browser, Page, expect

from tests.support.steps import python, shell
from tests.support.system import GATEWAY_IMAGE, PATIENCE, ROOT, System, docker, free_port, parse_events, until
from tests.support.viewing import GATE, go_on, views

#: The name of the system. Browsers resolve all names below localhost to this machine.
NAME = "agent.localhost"
KEY = "key-of-the-proxy-tests"


def example(language: str) -> str:
    """Return the configuration that docs/operations.md shows."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs/operations.md").read_text(), re.S | re.M)
    return str(found)


class Front:
    """The address of the proxy, and clients that trust its CA."""

    def __init__(self, system: System, port: int, certificates: Path) -> None:
        self.system, self.port, self.folder = system, port, certificates
        self.url = f"https://{NAME}:{port}"
        self._context = ssl.create_default_context(cafile=certificates / "ca.pem")

    def client(self, name: str = NAME, **headers: str) -> httpx.Client:
        """Return a client that connects to this machine, whatever the name is."""
        client = httpx.Client(base_url=f"https://127.0.0.1:{self.port}", verify=self._context, timeout=PATIENCE)
        client.headers.update({"Host": f"{name}:{self.port}", **headers})
        client.event_hooks["request"].append(lambda request: request.extensions.update(sni_hostname=name))
        return client

    def with_key(self, **headers: str) -> httpx.Client:
        return self.client(Authorization=f"Bearer {KEY}", **headers)

    def get(self, path: str, name: str = NAME, **headers: str) -> httpx.Response:
        with self.client(name, **headers) as client:
            return client.get(path)

    def answers(self) -> bool:
        try:
            return self.get("/livez").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def front(engine: None) -> Iterator[Front]:
    """Yield a system whose public address is that of a proxy, which each test starts."""
    port = free_port()
    system = System(PUBLIC_URL=f"https://{NAME}:{port}", TRUSTED_PROXIES="127.0.0.1", API_KEY=KEY)
    with tempfile.TemporaryDirectory(prefix="ca-") as folder:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(f"{folder}/ca.pem")
        ca.issue_cert(NAME, f"*.{NAME}").private_key_and_cert_chain_pem.write_to_path(f"{folder}/agent.pem")
        Path(folder).chmod(0o755)
        try:
            yield Front(system.start().with_gateway(), port, Path(folder))
        finally:
            system.close()


def fitted(text: str, front: Front) -> str:
    """Put the names, ports and files of a test into a configuration."""
    ports = {"8000": front.system.port, "6080": front.system.desktop_port, "8888": front.system.notebook_port}
    for known, own in ports.items():
        assert f"127.0.0.1:{known}" in text
        text = text.replace(f"127.0.0.1:{known}", f"127.0.0.1:{own}")
    return text.replace("/etc/ssl/agent.key", "/etc/ssl/agent.pem").replace("/etc/ssl", str(front.folder))


@contextmanager
def nginx(front: Front) -> Iterator[None]:
    """Run the nginx of the live gateway's image with the example."""
    text = (
        fitted(example("nginx"), front).replace("agent.example.org", NAME).replace("listen 443", f"listen {front.port}")
    )
    paths = "".join(f"{kind}_temp_path /tmp/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (front.folder / "nginx.conf").write_text(f"pid /tmp/pid; events {{}}\nhttp {{ {paths} access_log off;\n{text}}}\n")
    name = f"containerized-agent-test-nginx-{front.port}"
    docker(
        "run", "--detach", "--rm", "--name", name, "--network", "host", "--volume", f"{front.folder}:{front.folder}:ro",
        "--entrypoint", "nginx", GATEWAY_IMAGE, "-c", f"{front.folder}/nginx.conf", "-e", "stderr", "-g", "daemon off;",
    )  # fmt: skip
    try:
        yield
    finally:
        docker("rm", "--force", name)


@contextmanager
def caddy(front: Front) -> Iterator[None]:
    """Run Caddy with the example, if it is installed."""
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("caddy is not installed")
    names, _, rest = fitted(example("caddy"), front).partition(" {\n")
    names = ", ".join(f"{name.strip()}:{front.port}" for name in names.replace("agent.example.org", NAME).split(","))
    file = front.folder / "Caddyfile"
    file.write_text(f"{{\n    admin off\n    auto_https disable_redirects\n}}\n{names} {{\n{rest}")
    env = {"PATH": os.environ["PATH"], "HOME": str(front.folder), "XDG_DATA_HOME": str(front.folder)}
    command = [program, "run", "--config", str(file), "--adapter", "caddyfile"]
    with open(front.folder / "caddy.log", "wb") as log, subprocess.Popen(command, env=env, stderr=log) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def behind(request: pytest.FixtureRequest, front: Front) -> Iterator[Front]:
    with request.param(front):
        until(front.answers, "the proxy answers")
        yield front
    for job in front.system.http.get("/jobs", params={"status": ["scheduled", "running"]}).json()["jobs"]:
        front.system.cancel(job["job_id"])  # of a failed test
        front.system.ended(job["job_id"])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(PATIENCE * 1000)
    yield context.new_page()
    context.close()


# ── programs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_links_have_the_public_address_and_work(behind: Front) -> None:
    assert behind.get("/livez").text == "ok\n"
    assert behind.get("/status/x").status_code == 401
    with behind.with_key() as api:
        assert api.get("/").json()["watch"] == {
            "desktops": f"https://desktops.{NAME}:{behind.port}/",
            "notebooks": f"https://notebooks.{NAME}:{behind.port}/",
        }
        answer = api.post("/schedule", json={"steps": [shell(f"echo hello; {GATE}")]}, headers={"Origin": behind.url})
        assert answer.status_code == 202, answer.text
        job = answer.json()["job_id"]
        shown: Any = until(lambda: api.get(f"/status/{job}").json()["views"], "the status has links")
        for service, link in (("desktop", shown["desktop"]["watch"]), ("notebook", shown["notebook"])):
            assert link.startswith(f"https://{service}-{job}.{NAME}:{behind.port}/?link=")
            view = behind.get(link.partition(str(behind.port))[2], f"{service}-{job}.{NAME}")
            assert view.status_code == 200
            assert "secure" in view.headers["set-cookie"].lower().split("; ")
        with api.stream("GET", f"/jobs/{job}/events") as stream:
            text = ""
            for part in stream.iter_text():
                text += part
                if any(event["event"] == "output" for event in parse_events(text)):
                    break  # while the job runs: the proxy keeps nothing back
            assert api.get(f"/status/{job}").json()["status"] == "running"
        go_on(behind.system, job)
        behind.system.completed(job)
        assert api.get(f"/download/{job}").headers["content-type"] == "application/zip"
        assert f"-d @- {behind.url}/schedule" in behind.system.zip(job).report
        lists = behind.get("/", f"desktops.{NAME}", Authorization=f"Bearer {KEY}")
        assert f'href="{behind.url}/docs"' in lists.text
        assert f'href="https://notebooks.{NAME}:{behind.port}/"' in lists.text


def test_a_page_of_another_origin_is_refused_and_a_large_file_passes(behind: Front) -> None:
    with behind.with_key() as api:
        for origin in (
            f"http://{NAME}:{behind.port}",
            f"https://desktop-7.{NAME}:{behind.port}",
            "https://evil.example",
        ):
            refused = api.post("/schedule", json={"prompt": "Hello world"}, headers={"Origin": origin})
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/foreign-origin"), origin
        files = {"files": ("large.bin", bytes(30 << 20)), "prompt": (None, "```bash\nstat -c %s large.bin\n```")}
        answer = api.post("/schedule?wait=60", files=files)
        assert answer.json()["status"] == "completed", answer.text


# ── browsers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_browser_opens_the_desktop_and_the_notebook_over_tls(behind: Front, page: Page) -> None:
    job = behind.system.submit(steps=[python("print(6 * 7)"), shell(f"echo ready; {GATE}")])
    behind.system.says(job, "ready")
    sockets: list[str] = []
    page.context.on("page", lambda new: new.on("websocket", lambda socket: sockets.append(socket.url)))
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(f"https://desktops.{NAME}:{behind.port}/")
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button").click()
    page.get_by_role("link", name="watch").click()
    page.wait_for_selector("body[data-state=connected]")
    cookies = {one["domain"]: one for one in page.context.cookies()}
    assert cookies.keys() == {f"desktops.{NAME}", f"desktop-{job}.{NAME}"}, "of the login, and of the view"
    assert all(one["secure"] and one["httpOnly"] for one in cookies.values())
    page.goto(str(views(behind.system, job)["notebook"]))
    lab = page.frame_locator("iframe")
    expect(lab.locator(".jp-OutputArea-output").first).to_have_text("42", timeout=3 * PATIENCE * 1000)
    hosts = {f"wss://{service}-{job}.{NAME}:{behind.port}/" for service in ("desktop", "notebook")}
    until(lambda: page.wait_for_timeout(50) or hosts <= {re.sub(r"(wss?://[^/]+/).*", r"\1", url) for url in sockets},
          "both views have a WebSocket")  # fmt: skip
    go_on(behind.system, job)


# ── addresses of clients ─────────────────────────────────────────────────────────────────────────────────────────────

#: Calls the API through the proxy, at the address of the host that a container sees.
CALL = f"""
import json, ssl, urllib.error, urllib.request
host = [line.split() for line in open("/proc/net/route")][1][2]
host = ".".join(str(byte) for byte in bytes.fromhex(host)[::-1])
headers = {{"Host": "{NAME}:%d", "Authorization": "Bearer {KEY}", "X-Forwarded-For": "203.0.113.5"}}
request = urllib.request.Request(f"https://{{host}}:%d/health", headers=headers)
try:
    print(urllib.request.urlopen(request, context=ssl._create_unverified_context()).status)
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["type"])
"""


def test_a_job_cannot_use_the_api_through_the_proxy(front: Front) -> None:
    with nginx(front):
        job = front.system.submit(steps=[python(CALL % (front.port, front.port))], network="internet")
        found = front.system.ended(job)
        assert front.system.output(job) == "403 /problems/sandbox\n", found["detail"]


def test_the_address_of_a_client_is_read_from_a_trusted_proxy(front: Front) -> None:
    with nginx(front), front.with_key(**{"X-Forwarded-For": "203.0.113.5"}) as api:
        until(front.answers, "the proxy answers")
        api.delete("/jobs/through-the-proxy")
    lines = [json.loads(line) for line in front.system.log.read_text().splitlines() if "through-the-proxy" in line]
    assert {line.get("client") for line in lines} == {"203.0.113.5"}  # the test itself is on a trusted machine


def test_without_trusted_proxies_no_header_changes_the_address_of_a_client(parked: System) -> None:
    parked.http.delete("/jobs/with-a-forged-header", headers={"X-Forwarded-For": "203.0.113.5"})
    lines = [json.loads(line) for line in parked.log.read_text().splitlines() if "with-a-forged-header" in line]
    assert {line.get("client") for line in lines} == {"127.0.0.1"}
