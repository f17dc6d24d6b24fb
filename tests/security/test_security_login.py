"""Attacks on the login of browsers: on its cookie, on its page, and through pages of other servers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser

from orchestrator.live.grants import Signer
from tests.support.answers import nothing_stored, problem
from tests.support.system import System, until
from tests.support.viewing import get, origin, views

KEY = "the key of the house: schlüssel"

#: How a browser asks for a page.
PAGE = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def locked(no_engine: str) -> Iterator[System]:
    """A system with a key and without an engine."""
    one = System(DOCKER_HOST=no_engine)
    one.settings["API_KEY"] = KEY
    as_curl: dict[str, Any] = {"Authorization": f"Bearer {KEY}".encode()}
    one.http.headers.update(as_curl)
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture
def stranger(locked: System) -> Iterator[httpx.Client]:
    """A client without the key and without a cookie."""
    with httpx.Client(base_url=f"http://localhost:{locked.port}", timeout=60) as client:
        yield client


def log_in(client: httpx.Client, key: str = KEY, **more: str) -> httpx.Response:
    own = str(client.base_url).rstrip("/")
    return client.post("/login", data={"key": key, **more}, headers={"Origin": own})


def name_of(system: System) -> str:
    return f"containerized-agent-{system.port}"


def test_a_login_gives_a_cookie_that_only_the_key_opens(locked: System, stranger: httpx.Client) -> None:
    for wrong in ("", "x", KEY[:-1], f"{KEY}x", KEY.upper(), f" {KEY}"):
        answer = log_in(stranger, wrong)
        assert answer.status_code == 403 and "set-cookie" not in answer.headers and "not the key" in answer.text
    answer = log_in(stranger)
    assert answer.status_code == 303
    cookie, *attributes = [part.strip().lower() for part in answer.headers["set-cookie"].split(";")]
    assert cookie.startswith(f"{name_of(locked)}=")
    assert {"httponly", "samesite=lax", "path=/"} <= set(attributes)
    assert not any(part.startswith("domain") for part in attributes), "it is of this host alone"
    assert "secure" not in attributes, "there is no TLS here"
    assert stranger.get("/jobs").status_code == 200
    secure = stranger.post("/login", data={"key": KEY}, headers={"Origin": f"https://localhost:{locked.port}"})
    assert "secure" in secure.headers["set-cookie"].lower(), "behind TLS, it never crosses the network in clear text"


def test_a_changed_guessed_or_foreign_cookie_opens_nothing(locked: System, stranger: httpx.Client) -> None:
    log_in(stranger)
    name = name_of(locked)
    value = str(stranger.cookies[name])
    key, later, api_key = (locked.record / "views.key").read_bytes(), int(time.time()) + 600, KEY.encode()
    mine, other = Signer(key), Signer(os.urandom(32))
    assert value.partition(".")[0].isdigit(), "it holds a time and a signature"
    for text in (
        "",
        "1",
        value[:-1],
        f"{value}A",
        value[:-1] + ("A" if value[-1] != "A" else "B"),
        f"{int(value.partition('.')[0]) + 1}.{value.partition('.')[2]}",
        other.sign_session(later, api_key),
        mine.sign_session(later, b"another key"),
        mine.sign_session(later, b""),
        mine.sign_session(int(time.time()) - 1, api_key),
        f"Bearer {KEY}".encode().hex(),
    ):
        answer = httpx.get(f"http://localhost:{locked.port}/jobs", headers={"Cookie": f"{name}={text}"})
        assert answer.status_code == 401, text
    assert "set-cookie" not in stranger.get("/jobs").headers
    good = {"Cookie": f"{name}=x; {name}={mine.sign_session(later, api_key)}; a=b"}
    assert httpx.get(f"http://localhost:{locked.port}/jobs", headers=good).status_code == 200
    stranger.cookies.clear()
    named = {"Cookie": f"containerized-agent-1={value}; session={value}"}
    assert stranger.get("/jobs", headers=named).status_code == 401, "the cookie of another system has another name"


def test_with_another_key_every_login_ends(make_parked: Callable[..., System]) -> None:
    system = make_parked(API_KEY="the first key").start()
    with httpx.Client(base_url=f"http://localhost:{system.port}") as client:
        log_in(client, "the first key")
        assert client.get("/jobs").status_code == 200
        system.stop()
        system.start()
        assert client.get("/jobs").status_code == 200, "a restart ends no login"
        system.stop()
        system.settings["API_KEY"] = "the second key"
        system.http.headers["Authorization"] = "Bearer the second key"
        system.start()
        assert client.get("/jobs").status_code == 401


def test_the_key_is_in_no_page_of_the_login(locked: System, stranger: httpx.Client) -> None:
    answers = [
        stranger.get("/login"),
        stranger.get("/login", params={"next": "/docs"}),
        log_in(stranger, KEY[:-1]),
        log_in(stranger),
        stranger.get("/login"),
        stranger.get("/docs"),
        stranger.get("/openapi.json"),
        stranger.post("/logout", headers={"Origin": f"http://localhost:{locked.port}"}),
    ]
    for answer in answers:
        seen = f"{answer.headers}{answer.text}"
        assert KEY[:12] not in seen and quote(KEY[:12]) not in seen, answer.request.url
    page = answers[0]
    assert page.headers["cache-control"] == "no-store" and page.headers["referrer-policy"] == "same-origin"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
    assert KEY[:12] not in locked.log.read_text()


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/", "//evil.example/", "///evil.example", "/\\evil.example", "\\\\evil.example",
        "/\t/evil.example", "/\n/evil.example", "/ /evil.example", "javascript:alert(1)", "data:text/html,x",
        "evil.example", "http:evil.example", " //evil.example", "/\x00/evil.example", "/x\r\nSet-Cookie: a=b", "/ä", "",
    ],
)  # fmt: skip
def test_a_login_leads_to_no_other_server(stranger: httpx.Client, target: str) -> None:
    assert log_in(stranger, next=target).headers["location"] == "/docs"
    again = stranger.get("/login", params={"next": target})
    assert again.status_code == 200 and "location" not in again.headers and "You are logged in" in again.text
    stranger.cookies.clear()
    page = stranger.get("/login", params={"next": target})
    assert page.status_code == 200 and 'name="next" value="/docs"' in page.text


def test_a_page_that_is_wanted_leads_to_the_login_and_back(locked: System, stranger: httpx.Client) -> None:
    for target in (
        "/docs",
        "/jobs?limit=5&label=a%3Db",
        "/download/0123456789abcdef",
        "//evil.example/x",
        "/%0d%0aX:y",
    ):
        url = f"http://localhost:{locked.port}{target}"
        answer = httpx.get(url, headers=PAGE)
        assert answer.status_code == 303 and len(answer.headers.get_list("location")) == 1 and "x" not in answer.headers
        location = answer.headers["location"]
        assert location == f"/login?next={quote(target, safe='')}"
        page = stranger.get(location)
        shown = page.text.partition('name="next" value="')[2].partition('"')[0].replace("&amp;", "&")
        assert shown == ("/docs" if target.startswith("//") else target)
    quoted = stranger.get("/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script" not in quoted.text, "the address is text in the page"


def test_no_page_elsewhere_uses_the_login_of_its_visitor(locked: System, stranger: httpx.Client) -> None:
    log_in(stranger)
    own = f"http://localhost:{locked.port}"
    body = {"json": {"prompt": "Hello world"}}
    with nothing_stored(locked):
        for headers in (
            {},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:1"},
            {"Origin": f"http://127.0.0.1:{locked.port}"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
            {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:1"},
            {"Sec-Fetch-Site": "none"},
        ):
            found = problem(stranger.post("/schedule", headers=headers, **body), 403)  # type: ignore[arg-type]
            assert found["type"] == "/problems/foreign-origin", headers
            for method, path in (("DELETE", "/jobs/0123456789abcdef"), ("POST", "/cancel/0123456789abcdef")):
                problem(stranger.request(method, path, headers=headers), 403)
    for site in ("same-site", "cross-site"):
        for mode in ({"Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}):
            problem(stranger.get("/jobs", headers={"Sec-Fetch-Site": site, **mode}), 403)
    for path in ("/login", "/logout"):
        answer = stranger.post(path, data={"key": KEY}, headers={"Origin": "https://evil.example"})
        problem(answer, 403)
        assert "set-cookie" not in answer.headers
    assert stranger.post("/schedule", headers={"Origin": own}, **body).status_code == 202  # type: ignore[arg-type]
    same = {"Sec-Fetch-Site": "same-origin"}
    assert stranger.post("/schedule", headers=same, **body).status_code == 202  # type: ignore[arg-type]
    assert not [name for name in stranger.get("/jobs").headers if name.startswith("access-control")]


class Elsewhere(BaseHTTPRequestHandler):
    """A page on another port of the same host name. The browser sends it, and from it, the cookie of the login."""

    seen: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Cookie", ""))
        body = b"<!doctype html><title>elsewhere</title><iframe name=hidden></iframe>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


#: Submits a job in each way that needs no permission of the server.
SUBMITS = """async ([api, body]) => {
    const tries = [
        fetch(api + "/schedule", {method: "POST", mode: "no-cors", credentials: "include", body}),
        fetch(api + "/schedule", {method: "POST", credentials: "include", body}),
        fetch(api + "/jobs", {credentials: "include"}).then(answer => answer.text()),
    ];
    navigator.sendBeacon(api + "/schedule", body);
    const form = document.createElement("form");
    form.method = "POST"; form.enctype = "text/plain"; form.action = api + "/schedule"; form.target = "hidden";
    const field = document.createElement("input");
    field.name = '{"prompt": "Hello world", "labels": {"a": "'; field.value = '"}}';
    form.append(field); document.body.append(form);
    const loaded = new Promise(done => document.querySelector("iframe").onload = done);
    form.submit();
    await loaded;
    return (await Promise.allSettled(tries)).map(one => one.status === "fulfilled" && typeof one.value === "string");
}"""


def test_a_page_on_another_port_of_this_host_submits_and_reads_nothing(locked: System, browser: Browser) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context()
    try:
        page = context.new_page()
        api = f"http://localhost:{locked.port}"
        page.goto(f"{api}/docs")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{api}/docs")
        page.wait_for_selector(".opblock")
        assert page.evaluate("document.cookie") == "", "no script reads it"
        page.goto(f"http://localhost:{server.server_port}/")
        assert name_of(locked) in Elsewhere.seen[-1], "the browser sends the cookie to each port"
        with nothing_stored(locked):
            read = page.evaluate(SUBMITS, [api, '{"prompt": "Hello world"}'])
            assert read == [False, False, False]
            until(lambda: locked.log.read_text().count('"path": "/schedule", "status": 403') >= 4, "all four came")
    finally:
        context.close()
        server.shutdown()
        server.server_close()


# ── through the live gateway ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_of_a_job_gets_no_cookie_of_the_login(make_system: Callable[..., System], browser: Browser) -> None:
    system = make_system(API_KEY="the key of the house").start().with_gateway()
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://localhost:{system.desktop_port}/")
    page.get_by_label("API key").fill("the key of the house")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Running jobs").wait_for()
    job = system.python(
        "import os, time, socketserver\nfrom http.server import BaseHTTPRequestHandler\n"
        "while not os.path.exists('/run/services/lab'): time.sleep(0.02)\n"
        "class Answer(BaseHTTPRequestHandler):\n"
        "    def address_string(self): return 'x'\n"
        "    def do_GET(self):\n"
        "        body = repr(self.headers.get('Cookie')).encode()\n"
        "        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()\n"
        "        self.wfile.write(body)\n"
        "class Server(socketserver.ThreadingUnixStreamServer): daemon_threads = True\n"
        "time.sleep(0.1); os.unlink('/run/services/lab')\n"
        "server = Server('/run/services/lab', Answer); os.chmod('/run/services/lab', 0o666)\n"
        "print('STEERS', flush=True); server.serve_forever()"
    )
    link = views(system, job)["notebook"]
    page.goto(link)
    system.says(job, "STEERS")
    page.goto(f"{origin(link)}/x")
    (cookie,) = [one for one in context.cookies() if one["name"] == name_of(system)]
    seen = page.inner_text("body")  # the cookies that the job's server got: none, or those of Jupyter before it
    assert seen == "None" or "username" in seen, seen
    assert cookie["name"] not in seen and cookie["value"] not in seen
    sent = get(f"{origin(link)}/x", Cookie=f"a=b; {cookie['name']}={cookie['value']}")
    assert sent.status_code == 403, "the login opens no view"
    host = urlsplit(link).netloc
    for path in ("/login", "/logout"):
        answer = httpx.post(
            f"http://127.0.0.1:{system.notebook_port}{path}",
            data={"key": "the key of the house"},
            headers={"Host": host, "Origin": origin(link)},
        )
        assert answer.status_code == 403 and "set-cookie" not in answer.headers, "a view has no login"
    desktop = views(system, job)["desktop"]["watch"]
    answer = httpx.post(
        f"http://127.0.0.1:{system.desktop_port}/login",
        data={"key": "the key of the house"},
        headers={"Host": urlsplit(desktop).netloc, "Origin": origin(desktop)},
    )
    assert answer.status_code == 404 and "set-cookie" not in answer.headers
    context.close()
