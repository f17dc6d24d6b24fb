"""Attacks on the promises of docs/security.md about views: by jobs, by callers, and by pages in a viewer's browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser
from websockets.exceptions import ConnectionClosed, InvalidStatus

from orchestrator.live.grants import Grant, Signer
from tests.support.attack import TOOLS
from tests.support.steps import python, shell
from tests.support.system import System, docker, until
from tests.support.viewing import GATE, container, get, go_on, opened, origin, password, views, web_socket

# ── a job, and what listens for its viewers ──────────────────────────────────────────────────────────────────────────

#: Attacks what listens for viewers. The id of a front is 10002.
ATTACK = r"""
fronts = [pid for pid in pids if fields(pid)["Uid"].split()[0] == "10002"]
found["fronts"] = len(fronts)
for place in ("/run/live", "/run"):
    found[f"write {place}"] = tried(write, place + "/x", b"x")
    found[f"link {place}"] = tried(os.symlink, "/etc/passwd", place + "/notebook")
for path in ("/run/live/desktop", f"/proc/{agent}/root/run/live/desktop", f"/proc/{fronts[0]}/root/run/live/desktop"):
    found[f"connect {path}"] = tried(connect, path)
found["list"] = tried(os.listdir, "/run/live")
found["rename"] = tried(os.rename, "/run/live/desktop", "/run/live/other")
found["remove"] = tried(os.unlink, "/run/live/desktop")
found["chmod"] = tried(os.chmod, "/run/live", 0o777)
found["umount"] = tried(c, "umount", b"/run/live")
found["mv services"] = tried(os.rename, "/run/services", "/run/mine")
for front in fronts:
    for name in ("SIGKILL", "SIGSTOP", "SIGTERM"):
        found[f"{name}"] = tried(os.kill, front, getattr(signal, name))
    found["mem"] = tried(read, f"/proc/{front}/mem")
    found["environ"] = tried(read, f"/proc/{front}/environ")
    found["descriptors"] = tried(os.listdir, f"/proc/{front}/fd")
    found["attach"] = tried(c, "ptrace", 16, front, 0, 0)
    found["seize"] = tried(c, "ptrace", 0x4206, front, 0, 0)
    found["getfd"] = tried(c, 438, os.pidfd_open(front), 3, 0)
    found["renice"] = tried(os.setpriority, os.PRIO_PROCESS, front, 19)
found["mounts"] = [line.split()[3] for line in read("/proc/self/mountinfo").decode().splitlines() if "/live" in line]
print("FOUND" + json.dumps(found))
"""


def test_a_job_cannot_reach_or_replace_what_listens_for_its_viewers(watched: System) -> None:
    job = watched.submit(steps=[shell(GATE), python(TOOLS + ATTACK)])
    other = watched.submit(steps=[shell(GATE)])
    watched.says(job, "ready")
    link = views(watched, job)["desktop"]["watch"]
    cookie = opened(link)
    with web_socket(link, Cookie=cookie) as viewer:
        assert viewer.recv(timeout=60) == b"RFB 003.008\n"
        go_on(watched, job)
        watched.says(job, "FOUND")
    text = until(lambda: watched.output(job, 2).partition("FOUND")[2], "what it found")
    found: dict[str, Any] = json.loads(text)
    assert found.pop("fronts") == 1
    mounts = found.pop("mounts")
    assert len(mounts) == 1 and watched.status(other)["sandbox"] not in mounts[0], "of live folders it has its own"
    refused = {name: result for name, result in found.items() if result not in ("EACCES", "EPERM", "ESRCH", "EBUSY")}
    assert not refused, refused


def test_a_socket_that_is_no_socket_is_not_followed(watched: System) -> None:
    one, other = watched.shell(GATE), watched.shell(GATE)
    links = {job: views(watched, job)["desktop"]["watch"] for job in (one, other)}
    cookies = {job: opened(link) for job, link in links.items()}
    for job, link in links.items():
        with web_socket(link, Cookie=cookies[job]) as viewer:
            assert viewer.recv(timeout=60)
    folders = {job: watched.run_dir / "live" / watched.status(job)["sandbox"] for job in links}
    (folders[one] / "desktop").unlink()
    for target in (folders[other] / "desktop", watched.run_dir / "gateway" / "gateway.sock"):
        (folders[one] / "desktop").symlink_to(target)
        with pytest.raises(InvalidStatus), web_socket(links[one], Cookie=cookies[one]):
            pass
        (folders[one] / "desktop").unlink()


def test_what_a_job_puts_before_its_viewers_reaches_no_more_than_the_job(watched: System) -> None:
    swap = "rm /run/services/rfb; ln -s /run/link/link.sock /run/services/rfb; ls -l /run/services; echo swapped"
    job = watched.shell(f"{GATE}; {swap}; {GATE}")
    watched.says(job, "ready")
    link = views(watched, job)["desktop"]["watch"]
    cookie = opened(link)
    with web_socket(link, Cookie=cookie) as viewer:
        assert viewer.recv(timeout=60) == b"RFB 003.008\n"
        go_on(watched, job)
        watched.says(job, "swapped")
    with web_socket(link, Cookie=cookie) as viewer, pytest.raises(ConnectionClosed):
        viewer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        viewer.recv(timeout=60)


#: Puts a server of its own in the place of Jupyter's: its answers try to steer nginx, and browsers beyond this view.
STEERS = r"""
import http.server, json, os, socketserver, time
PATH = "/run/services/lab"
while not os.path.exists(PATH):
    time.sleep(0.02)

class Handler(http.server.BaseHTTPRequestHandler):
    def address_string(self):
        return "viewer"
    def log_message(self, *arguments):
        pass
    def do_GET(self):
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        for name, value in (
            ("Content-Length", str(len(body))), ("Service-Worker-Allowed", "/"), ("Access-Control-Allow-Origin", "*"),
            ("Set-Cookie", "evil=1; Domain=localhost; Path=/"),
            ("Set-Cookie", "view-control=evil; Domain=.localhost; Path=/"),
            ("Clear-Site-Data", '"cookies"'), ("Alt-Svc", 'h2="evil:1"'),
        ):
            self.send_header(name, value)
        if self.path == "/accel":
            self.send_header("X-Accel-Redirect", "/gateway/authorise")
        self.end_headers()
        self.wfile.write(body)

class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
os.unlink(PATH)
server = Server(PATH, Handler)
os.chmod(PATH, 0o666)
print("STEERS", flush=True)
server.serve_forever()
"""


def test_what_a_job_answers_steers_neither_the_gateway_nor_a_browser(watched: System) -> None:
    job = watched.python(STEERS)
    link = views(watched, job)["notebook"]
    cookie = opened(link)
    watched.says(job, "STEERS")
    answer = get(f"{origin(link)}/x", Cookie=f"{cookie}; mine=1")
    assert answer.status_code == 200, answer.text
    assert "view-" not in answer.json().get("Cookie", ""), "the cookie that opens the view is not the job's"
    domains = [item.lower().partition("domain=")[2].partition(";")[0] for item in answer.headers.get_list("set-cookie")]
    assert domains == [urlsplit(origin(link)).hostname] * 2
    for name in ("service-worker-allowed", "access-control-allow-origin", "clear-site-data", "alt-svc"):
        assert name not in answer.headers
    redirected = get(f"{origin(link)}/accel", Cookie=cookie)
    assert redirected.status_code == 200 and "Host" in redirected.json(), "nginx has followed no word of the job's"


# ── links and cookies ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_link_and_its_cookie_open_one_view_and_nothing_else(watched: System) -> None:
    job, other = watched.shell(GATE), watched.shell(GATE)
    found = {one: views(watched, one) for one in (job, other)}
    link = found[job]["desktop"]["watch"]
    answer = get(link)
    header = answer.headers["set-cookie"]
    cookie, *attributes = [part.strip().lower() for part in header.split(";")]
    assert {"httponly", "samesite=strict"} <= set(attributes)
    assert not any(part.startswith("domain") for part in attributes), "it is of this host alone"
    cookie = header.partition(";")[0]
    token = link.partition("?link=")[2]
    for place in (found[other]["desktop"]["watch"], found[other]["notebook"], found[job]["notebook"]):
        for path in ("/", "/websockify", "/lab", "/api/contents", "/api/kernels"):
            assert get(origin(place) + path, Cookie=cookie).status_code == 403, (place, path)
        assert get(f"{origin(place)}/?link={token}").status_code == 403
    page = get(origin(link) + "/", Cookie=cookie)
    assert page.status_code == 200 and 'data-mode="watch"' in page.text
    changed = cookie.replace(".watch.", ".control.")
    assert changed != cookie
    key = (watched.record / "views.key").read_bytes()
    later = int(time.time()) + 600
    grants = Signer(key), Signer(os.urandom(32))
    for value in (
        changed,
        cookie[:-1],
        cookie + "A",
        cookie[:-1] + ("A" if cookie[-1] != "A" else "B"),
        f"view-watch={token}",  # a link is no cookie
        "view-watch=" + grants[1].sign("cookie", Grant(job, "desktop", "watch", later)),
        "view-watch=" + grants[0].sign("cookie", Grant(other, "desktop", "watch", later)),
        "view-control=" + grants[0].sign("cookie", Grant(job, "notebook", "control", later)),
        "view-watch=" + grants[0].sign("cookie", Grant(job, "desktop", "watch", int(time.time()) - 1)),
        "view=" + grants[0].sign("cookie", Grant(job, "desktop", "watch", later)),  # another name
    ):
        assert get(origin(link) + "/", Cookie=value).status_code == 403, value
    assert get(f"{origin(link)}/?link={cookie.partition('=')[2]}").status_code == 403, "a cookie is no link"
    expected = "view-watch=" + grants[0].sign("cookie", Grant(job, "desktop", "watch", later))
    assert get(origin(link) + "/", Cookie=expected).status_code == 200, "the same, signed by the system's key, is one"


def raw(port: int, text: str) -> str:
    """The first line and the rest of an answer to a request as it is written."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall(text.encode())
        parts = b""
        while data := sock.recv(65536):
            parts += data
    return parts.decode("utf-8", "replace")


def test_no_name_path_or_header_leads_to_another_view(watched: System) -> None:
    job, other = watched.shell(GATE), watched.shell(GATE)
    watched.says(other, "ready")
    link = views(watched, job)["desktop"]["watch"]
    foreign = views(watched, other)["desktop"]["watch"]
    assert opened(foreign)
    cookie, port = opened(link), watched.desktop_port
    names = urlsplit(link).hostname or "", urlsplit(foreign).hostname or ""
    end = f"Cookie: {cookie}\r\nConnection: close\r\n"
    wanted = f'data-password="{password(foreign, opened(foreign))}"'
    trick = "X-Forwarded-Host: {0}\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: host={0}\r\n".format(names[1])
    said_by_gateway = (
        f"X-Gateway-Service: desktop\r\nX-Gateway-Uri: /\r\nX-View-Socket: /run/x\r\nX-View-Cookies: {cookie}\r\n"
    )
    requests = [
        f"GET / HTTP/1.1\r\nHost: {names[1]}:{port}\r\n{end}\r\n",
        f"GET / HTTP/1.1\r\nHost: {names[1].upper()}:{port}\r\n{end}\r\n",
        f"GET / HTTP/1.1\r\nHost: {names[1]}.:{port}\r\n{end}\r\n",
        f"GET / HTTP/1.1\r\nHost: {names[1]}\r\n{end}\r\n",
        f"GET / HTTP/1.1\r\nHost: {names[1]}:1\r\n{end}\r\n",
        f"GET http://{names[0]}:{port}/ HTTP/1.1\r\nHost: {names[1]}:{port}\r\n{end}\r\n",
        f"GET / HTTP/1.1\r\nHost: {names[1]}:{port}\r\nHost: {names[0]}:{port}\r\n{end}\r\n",
        f"GET / HTTP/1.1\r\nHost: {names[1]}:{port}\r\n{trick}{said_by_gateway}{end}\r\n",
        f"GET / HTTP/1.1\r\nHost: evil.example\r\n{trick}{said_by_gateway}{end}\r\n",
        f"GET /websockify HTTP/1.1\r\nHost: {names[1]}:{port}\r\n{said_by_gateway}{end}\r\n",
    ]
    for request in requests:
        answer = raw(port, request)
        assert answer.split()[1] in ("400", "403", "421"), (request, answer[:300])
        assert wanted not in answer, request
    for path in ("/gateway/authorise", "//gateway/authorise", "/gateway/%61uthorise", "/gateway/../gateway/authorise",
                 "/page", "/authorise", "/%2e%2e/authorise", "/gateway/%2e%2e/%2e%2e/etc/passwd",
                 "/novnc/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/gateway/away.html"):  # fmt: skip
        answer = raw(port, f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{said_by_gateway}{end}\r\n")
        assert answer.split()[1] in ("400", "403", "404"), (path, answer[:300])
        assert "root:" not in answer and "x-view-socket" not in answer.lower(), path


def test_no_page_elsewhere_opens_a_web_socket_or_posts_to_a_view(watched: System) -> None:
    job = watched.shell(GATE)
    found = views(watched, job)
    link, notebook = found["desktop"]["watch"], found["notebook"]
    cookie = opened(link)
    with web_socket(link, Cookie=cookie) as viewer:
        assert viewer.recv(timeout=60)
    for foreign in (
        "https://evil.example", "null", "http://localhost", f"http://localhost:{watched.desktop_port}", None,
        origin(notebook), origin(link).replace("http:", "https:") + "1", origin(link) + ".evil.example",
    ):  # fmt: skip
        with pytest.raises(InvalidStatus) as refused, web_socket(link, Cookie=cookie, Origin=foreign):
            pass
        assert refused.value.response.status_code == 403, foreign
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
        {"Service_Worker": "script"},
    ):
        assert get(origin(link) + "/", Cookie=cookie, **headers).status_code == 403, headers
        assert get(f"http://localhost:{watched.desktop_port}/newest/link", **headers).status_code == 403, headers


# ── a page of one job in its viewer's browser ────────────────────────────────────────────────────────────────────────

#: Takes the place of the job's own notebook server, and says what it likes.
HOSTILE = r"""
import os, socketserver, time
from http.server import BaseHTTPRequestHandler
class Answer(BaseHTTPRequestHandler):
    def address_string(self): return "x"
    def do_GET(self):
        kind, body = "text/html", b"<title>hostile</title><body>hostile"
        if "sw.js" in self.path:
            kind, body = "text/javascript", b"onfetch = () => {}"
        self.send_response(200)
        for name, value in (
            ("Content-Type", kind), ("Content-Length", str(len(body))), ("Service-Worker-Allowed", "/"),
            ("Set-Cookie", "view-control=tossed; Domain=localhost; Path=/"), ("Access-Control-Allow-Origin", "*"),
            ("Cross-Origin-Opener-Policy", "unsafe-none"), ("X-Accel-Redirect", "/gateway/authorise"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
while not os.path.exists("/run/services/lab"):
    time.sleep(0.02)
time.sleep(0.1)
os.unlink("/run/services/lab")
class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
server = Server("/run/services/lab", Answer)
os.chmod("/run/services/lab", 0o666)
print("hostile", flush=True)
server.serve_forever()
"""

TRY = """async ({pages, sockets, api, victim}) => {
    const read = [], done = [], late = (promise) => Promise.race([promise, new Promise(r => setTimeout(r, 3000))]);
    for (const url of [...pages, api + "/jobs", api + "/status/" + victim]) {
        try {
            const answer = await fetch(url, {credentials: "include"});
            read.push([url, answer.status, (await answer.text()).slice(0, 100)]);
        } catch {}
        try { await fetch(url, {mode: "no-cors", credentials: "include", method: "POST", body: "x"}); } catch {}
    }
    const body = JSON.stringify({steps: [{kind: "shell", script: "true"}], labels: {by: "evil"}});
    for (const [path, text] of [["/schedule", body], ["/cancel/" + victim, ""]]) {
        for (const mode of ["no-cors", "cors"])
            try { await fetch(api + path, {method: "POST", mode, credentials: "include", body: text}); } catch {}
        const form = Object.assign(document.createElement("form"),
            {action: api + path, method: "POST", enctype: "text/plain", target: "frame"});
        const field = Object.assign(document.createElement("input"), {name: text, value: ""});
        const frame = Object.assign(document.createElement("iframe"), {name: "frame"});
        form.append(field); document.body.append(frame, form); form.submit();
        await late(new Promise(resolve => { frame.onload = resolve; }));
    }
    for (const url of sockets)
        done.push(...await late(new Promise(resolve => {
            const one = new WebSocket(url);
            one.onopen = () => resolve([["socket", url]]);
            one.onerror = () => resolve([]);
        })) || []);
    for (const url of pages) {
        const frame = Object.assign(document.createElement("iframe"), {src: url});
        document.body.append(frame);
        await late(new Promise(resolve => { frame.onload = resolve; }));
        try { if (frame.contentDocument.body.innerText) read.push(["frame", url]); } catch {}
        const script = Object.assign(document.createElement("script"), {src: url});
        document.body.append(script);
        script.onload = () => done.push(["script", url]);
        const picture = Object.assign(new Image(), {src: url});
        picture.onload = () => done.push(["picture", url]);
        const other = window.open(url);
        try { if (other && other.document.body.innerText) read.push(["window", url]); } catch {}
    }
    for (const domain of ["localhost", ".localhost", new URL(pages[0]).hostname])
        document.cookie = "view-control=tossed; Path=/; Domain=" + domain;
    try { await navigator.serviceWorker.register("/sw.js", {scope: "/"}); done.push(["service worker"]); } catch {}
    await new Promise(resolve => setTimeout(resolve, 500));
    return {read, done};
}"""


def test_a_page_of_one_job_does_nothing_to_another_through_its_viewers_browser(
    watched: System, browser: Browser
) -> None:
    hostile = watched.python(HOSTILE)
    victim = watched.shell(GATE, prompt="the victim")
    watched.says(victim, "ready")
    context = browser.new_context()
    found = views(watched, victim)
    desktop, notebook, page = context.new_page(), context.new_page(), context.new_page()
    desktop.goto(found["desktop"]["control"])
    desktop.wait_for_selector("body[data-state=connected]")
    notebook.goto(found["notebook"], timeout=100_000)
    notebook.frame_locator("iframe").locator(".jp-Notebook").wait_for(timeout=100_000)
    lists = [f"http://localhost:{port}/" for port in (watched.desktop_port, watched.notebook_port)]
    api = f"http://127.0.0.1:{watched.port}"
    link = views(watched, hostile)["notebook"]
    opened(link)
    watched.says(hostile, "hostile")
    page.goto(link)
    until(lambda: page.frames[-1].title() == "hostile", "the hostile page is shown")
    victims = [origin(found["desktop"]["control"]), origin(found["notebook"])]
    pages = [
        victims[0] + "/", victims[1] + "/lab", victims[1] + "/api/contents", victims[1] + "/api/kernels",
        *lists, *(one + "newest/link" for one in lists),
    ]  # fmt: skip
    sockets = [
        victims[0].replace("http", "ws") + "/websockify",
        victims[1].replace("http", "ws") + "/api/events/subscribe",
        victims[1].replace("http", "ws") + "/api/collaboration/room/JupyterLab:globalAwareness",
    ]
    before = watched.http.get("/jobs", params={"limit": 100}).json()["jobs"]
    result = page.frames[-1].evaluate(TRY, {"pages": pages, "sockets": sockets, "api": api, "victim": victim})
    assert result == {"read": [], "done": []}
    assert [one["job_id"] for one in watched.http.get("/jobs", params={"limit": 100}).json()["jobs"]] == [
        one["job_id"] for one in before
    ]
    assert watched.status(victim)["status"] == "running"
    host = urlsplit(link).hostname
    for cookie in context.cookies():
        assert cookie["value"] != "tossed" or cookie["domain"].lstrip(".") == host, cookie
    assert desktop.evaluate("document.body.dataset.state") == "connected"
    mine = notebook.evaluate("fetch('/api/contents').then(answer => answer.status)")
    assert mine == 200, "the viewer himself goes on"
    context.close()


# ── what is kept where ───────────────────────────────────────────────────────────────────────────────────────────────


def test_links_and_passwords_are_in_no_log_and_in_no_environment(watched: System) -> None:
    job, other = watched.shell(GATE), watched.submit(steps=[shell(GATE), python("import subprocess\nTrue")])
    watched.says(other, "ready")
    found = views(watched, job)
    link, control = found["desktop"]["watch"], found["desktop"]["control"]
    cookies = opened(link), opened(control)
    with web_socket(link, Cookie=cookies[0]) as viewer:
        assert viewer.recv(timeout=60)
    assert get(link + "x").status_code == 403
    key = (watched.record / "views.key").read_bytes()
    secrets = [one.partition("?link=")[2] for one in (link, control, found["notebook"])]
    secrets += [cookie.partition("=")[2] for cookie in cookies]
    secrets += [password(origin(one) + "/", cookie) for one, cookie in zip((link, control), cookies, strict=True)]
    secrets += [key.hex(), os.fsdecode(key)]
    places = {
        "the orchestrator's log": watched.log.read_text(errors="replace"),
        "the gateway's log": watched.gateway_log(),
        "the gateway": docker("inspect", watched.gateway),
    }
    for one in (job, other):
        name = container(watched, one)
        places[f"the container of {one}"] = docker("inspect", name)
        places[f"its log of {one}"] = docker("logs", name)
        places[f"its processes of {one}"] = docker("top", name, "-o", "pid,args")
        places[f"its environment of {one}"] = docker("exec", name, "sh", "-c", "cat /proc/[0-9]*/environ 2>&1 || true")
    for place, text in places.items():
        for secret in secrets:
            assert secret and secret not in text, place
    passwords = docker("exec", "-u", "10001", container(watched, other), "sh", "-c", "ls /run/services")
    assert "passwords" not in passwords, "another job has none of them"


def test_the_key_of_links_is_its_owners_alone(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    path = system.record / "views.key"
    mode = path.stat().st_mode
    assert stat.S_ISREG(mode) and stat.S_IMODE(mode) == 0o600 and path.stat().st_uid == os.getuid()
    key = path.read_bytes()
    assert len(key) == 44, "32 bytes, in base64"
    system.stop()
    system.start()
    assert path.read_bytes() == key, "it outlives a restart"
    system.stop()
    shutil.rmtree(system.record)
    system.start()
    assert path.read_bytes() != key, "and no deletion"


def test_the_gateway_is_nobody_and_has_nothing_of_the_host(watched: System) -> None:
    found = json.loads(docker("inspect", watched.gateway))[0]
    mounts = {one["Source"]: one["RW"] for one in found["Mounts"] if one["Type"] == "bind"}
    assert mounts == {str(watched.run_dir / "live"): False, str(watched.run_dir / "gateway"): False}
    assert found["HostConfig"]["ReadonlyRootfs"] and not found["HostConfig"]["Privileged"]
    pids = [line.split() for line in docker("top", watched.gateway, "-o", "pid,comm").splitlines()[1:]]
    nginx = [pid for pid, name in pids if name == "nginx"]
    assert len(nginx) == 2
    for pid in nginx:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"10003"}
        assert {status[name] for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"
