"""The pages around the views: lists, links, and why something cannot be shown, each with its status."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Browser

from orchestrator.live.grants import Grant, Mode, Signer
from tests.support.system import NO_ENGINE, PATIENCE, System, docker, touch, until
from tests.support.viewing import (
    CYAN,
    GATE,
    MAGENTA,
    Picture,
    container,
    get,
    go_on,
    opened,
    origin,
    said,
    services,
    views,
)


def signer(system: System) -> Signer:
    """Signs as the system itself does."""
    return Signer((system.record / "views.key").read_bytes())


def link(system: System, job: str, until: int = 10_000_000_000, mode: Mode = "watch") -> str:
    token = signer(system).sign("link", Grant(job, "desktop", mode, until))
    return f"http://desktop-{job}.localhost:{system.desktop_port}/?link={token}"


def test_the_status_has_links_while_a_job_runs_and_only_then(watched: System, parked: System) -> None:
    assert parked.status(parked.shell("true"))["views"] is None
    job = watched.shell(GATE)
    found = views(watched, job)
    links = [found["desktop"]["watch"], found["desktop"]["control"], found["notebook"]]
    assert len(set(links)) == 3
    for one in links:
        answer = get(one)
        assert answer.status_code == 200 and "Opening the" in said(answer), one
    watched.cancel(job)
    assert watched.ended(job)["views"] is None


def test_without_a_good_link_nothing_of_a_job_is_shown_and_the_page_says_why(watched: System) -> None:
    job, other = watched.shell(GATE), watched.shell(GATE)
    watched.says(job, "ready")
    good = views(watched, job)["desktop"]["watch"]
    place, token = good.split("?link=")
    foreign = views(watched, other)["desktop"]["watch"].split("?link=")[1]
    notebook = views(watched, job)["notebook"].split("?link=")[1]
    tries = {
        place: "A link is needed",
        f"{place}websockify": "A link is needed",
        f"{place}?link=": "Invalid link",
        f"{place}?link=x": "Invalid link",
        f"{place}?link={token[:-1]}{'A' if token[-1] != 'A' else 'B'}": "Invalid link",
        f"{place}?link={token.replace('.watch.', '.control.')}": "Invalid link",
        f"{place}?link={foreign}": "Link to another view",
        f"{place}?link={notebook}": "Link to another view",
        link(watched, job, until=int(time.time()) - 1): "The link has expired",
    }
    for url, title in tries.items():
        answer = get(url)
        assert (answer.status_code, title in said(answer)) == (403, True), (url, said(answer))
        assert "GET /status/{job_id} has new links" in said(answer)
        assert "set-cookie" not in answer.headers
    assert get(place, Cookie=opened(good)).status_code == 200


def test_of_a_job_that_is_over_or_unknown_the_page_says_so(watched: System) -> None:
    job = watched.shell("true")
    watched.completed(job)
    answer = get(link(watched, job))
    assert answer.status_code == 410 and f"Job {job} is completed" in said(answer)
    assert f'href="http://localhost:{watched.port}/download/{job}"' in answer.text
    for later in (0, 1):  # also where it was open before
        cookie = "view-watch=" + signer(watched).sign(
            "cookie", Grant(job, "desktop", "watch", int(time.time()) + 60 + later)
        )
        answer = get(origin(link(watched, job)) + "/", Cookie=cookie)
        assert answer.status_code == 410 and f"/download/{job}" in answer.text
    watched.http.delete(f"/jobs/{job}")
    assert get(link(watched, job)).status_code == 404
    answer = get(link(watched, "0123456789abcdef"))
    assert answer.status_code == 404 and "There is no job" in said(answer)


def test_the_page_of_a_job_that_waits_asks_again_until_it_runs(make_system: Callable[..., System]) -> None:
    system = make_system(DOCKER_HOST=NO_ENGINE).start().with_gateway()
    answer = get(link(system, system.shell("true")))
    assert answer.status_code == 503 and "is waiting to start" in said(answer)
    assert 'http-equiv="refresh"' in answer.text


def test_links_are_short_lived(make_system: Callable[..., System]) -> None:
    system = make_system(VIEW_LINK_SECONDS="5").start().with_gateway()
    job = system.shell(GATE)
    found = views(system, job)["desktop"]["watch"]
    cookie = opened(found)
    until(lambda: get(found).status_code == 403, "the link has expired")
    assert "VIEW_LINK_SECONDS" in said(get(found))
    assert get(origin(found) + "/", Cookie=cookie).status_code == 200, "what was opened in time stays open"


def test_the_list_has_the_running_jobs_and_follows_the_newest(watched: System, browser: Browser) -> None:
    first, second = Picture(MAGENTA), Picture(CYAN)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://localhost:{watched.desktop_port}/")
    assert "Nothing runs now" in page.inner_text("main")
    job = watched.shell(f"{first.script}\n{GATE}", prompt="Paint <b>me</b>")
    watched.says(job, "ready")
    page.reload()
    assert page.inner_text(".jobs strong") == "Paint <b>me</b>", "a prompt is text"
    assert [one.inner_text() for one in page.locator(".jobs a").all()] == ["watch", "take control"]
    page.goto(f"http://localhost:{watched.notebook_port}/")
    assert (page.locator(".jobs a").first.get_attribute("href") or "").startswith(
        f"http://notebook-{job}.localhost:{watched.notebook_port}/?link="
    )
    page.goto(f"http://localhost:{watched.desktop_port}/")
    page.get_by_role("link", name="Follow the newest").click()
    page.wait_for_selector("body[data-state=connected]")
    first.waited_for(page)
    later = watched.shell(f"{second.script}\n{GATE}")
    page.wait_for_url(f"http://desktop-{later}.localhost:*/?as=watch-follow")
    page.wait_for_selector("body[data-state=connected]")
    second.waited_for(page)
    watched.cancel(later)
    page.wait_for_url(f"http://desktop-{job}.localhost:*/?as=watch-follow", timeout=PATIENCE * 1000)
    watched.cancel(job)
    page.get_by_role("heading", name="Waiting for the next job").wait_for()
    page.get_by_role("link", name="Download the ZIP").wait_for()
    context.close()


def test_a_tab_that_watches_and_a_tab_that_controls_do_not_disturb_each_other(
    watched: System, browser: Browser
) -> None:
    job = watched.shell(GATE)
    watched.says(job, "ready")
    for order in (("watch", "control"), ("control", "watch")):
        context = browser.new_context()
        pages = {mode: context.new_page() for mode in order}
        for mode, page in pages.items():
            page.goto(views(watched, job)["desktop"][mode])
            page.wait_for_selector(f"body[data-mode={mode}][data-state=connected]")
        for mode, page in pages.items():
            page.reload()
            page.wait_for_selector("body[data-state=connected]")
            assert page.get_attribute("body", "data-mode") == mode, f"opened in the order {order}"
        context.close()


def test_following_the_newest_job_in_one_tab_leaves_a_tab_of_one_job_where_it_is(
    watched: System, browser: Browser
) -> None:
    job = watched.shell(GATE)
    watched.says(job, "ready")
    context = browser.new_context()
    plain, follows = context.new_page(), context.new_page()
    plain.goto(views(watched, job)["desktop"]["watch"])
    plain.wait_for_selector("body[data-state=connected]")
    follows.goto(f"http://localhost:{watched.desktop_port}/newest")
    follows.wait_for_url(f"http://desktop-{job}.localhost:*/?as=watch-follow")
    later = watched.shell(GATE)
    follows.wait_for_url(f"http://desktop-{later}.localhost:*/?as=watch-follow")
    plain.reload()
    plain.wait_for_selector("body[data-state=connected]")
    assert plain.get_attribute("body", "data-newest") == "" and f"desktop-{job}." in plain.url
    watched.cancel(job)
    plain.get_by_role("link", name="Download the ZIP").wait_for()
    context.close()


def test_a_notebook_in_a_tab_of_its_own_is_not_moved_on_either(watched: System) -> None:
    job = watched.shell(GATE)
    watched.says(job, "ready")
    plain = views(watched, job)["notebook"]
    newest = get(f"http://localhost:{watched.notebook_port}/newest/link").json()["url"]
    cookies = f"{opened(plain)}; {opened(newest)}"
    later = watched.shell(GATE)
    views(watched, later)
    newer = origin(plain) + "/newer"
    assert get(f"{newer}?as=control", Cookie=cookies).status_code == 204
    assert get(f"{newer}?as=control-follow", Cookie=cookies).status_code == 200
    for path in ("/follow?as=control", "/follow?as=control-follow"):
        page = get(origin(plain) + path, Cookie=cookies).text
        assert ("/newest?after=" in page) == path.endswith("-follow"), path
    for choice in ("watch", "x", "", "control-follow"):
        answer = get(f"{origin(plain)}/follow?as={choice}", Cookie=opened(plain))
        assert answer.status_code == 403 and "A link is needed" in said(answer), choice


def test_with_a_key_the_lists_ask_for_it_and_links_need_none(make_system: Callable[..., System]) -> None:
    system = make_system(API_KEY="the key of the house").start().with_gateway()
    job = system.shell(GATE)
    for port in (system.desktop_port, system.notebook_port):
        for path in ("/", "/newest", "/newest/link"):
            url = f"http://localhost:{port}{path}"
            answer = get(url)
            assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic"), url
            assert job not in answer.text and "Enter API_KEY as the password" in said(answer)
            assert get(url, Authorization="Bearer wrong").status_code == 401
            assert get(url, Authorization="Bearer the key of the house").status_code in (200, 204)
            basic = "Basic YW55Ym9keTp0aGUga2V5IG9mIHRoZSBob3VzZQ=="
            assert get(url, Authorization=basic).status_code in (200, 204)
    assert opened(views(system, job)["desktop"]["watch"])


@pytest.mark.parametrize(("memory", "service"), [("64m", "desktop"), ("128m", "notebook")])
def test_a_job_with_too_little_memory_goes_on_and_its_viewer_is_told(
    watched: System, memory: str, service: str
) -> None:
    job = watched.shell(GATE, limits={"memory": memory})
    watched.says(job, "ready")
    answer = asked_for(watched, job, service)
    assert answer.status_code == 503 and "too little memory left for it (limits.memory)" in said(answer), said(answer)
    go_on(watched, job)
    watched.completed(job)


def test_what_is_there_for_viewers_goes_before_the_job_where_memory_ends(watched: System) -> None:
    wait = "import os, time\nprint('ready')\nwhile not os.path.exists('/tmp/go'):\n    time.sleep(0.05)\n"
    job = watched.python(f"{wait}print(len(b'x' * 430_000_000))", limits={"memory": "512m"})
    watched.says(job, "ready")
    until(lambda: asked_for(watched, job, "notebook").status_code == 200, "the notebook answers")
    touch(container(watched, job), "/tmp/go")
    watched.completed(job)  # so much fits into its limit alone, but not beside a notebook


#: Leaves its container no process, until somebody signals.
GREEDY = """\
import signal, subprocess
signal.signal(signal.SIGUSR1, lambda *_: print("went on"))
children = []
try:
    while True:
        children.append(subprocess.Popen(["sleep", "600"]))
except OSError:
    print("ready")
signal.pause()
for child in children:
    child.kill()
"""


def test_a_job_that_has_used_up_its_processes_goes_on_and_its_viewer_is_told(watched: System) -> None:
    job = watched.python(GREEDY, limits={"processes": 32})
    watched.says(job, "ready")
    for service in ("desktop", "notebook"):
        answer = asked_for(watched, job, service)
        assert answer.status_code == 503 and "could not be started" in said(answer), said(answer)
    lines = docker("top", container(watched, job), "-o", "pid,args").splitlines()
    os.kill(next(int(line.split()[0]) for line in lines if "python" in line and "agent" not in line), signal.SIGUSR1)
    watched.completed(job)
    assert watched.output(job).endswith("went on\n")


def test_what_is_there_for_viewers_leaves_the_job_its_processes(watched: System) -> None:
    many = "import subprocess\nfor one in [subprocess.Popen(['sleep', '600']) for _ in range(10)]:\n    one.kill()"
    steps = [{"kind": "python", "code": "x = 1"}, {"kind": "shell", "script": GATE}, {"kind": "python", "code": many}]
    job = watched.submit(steps=steps, limits={"processes": 40})
    watched.says(job, "ready")
    for service in ("desktop", "notebook"):
        answer = asked_for(watched, job, service)
        assert answer.status_code == 503 and "too few processes left for it (limits.processes)" in said(answer)
    go_on(watched, job)
    watched.completed(job)  # so many fit into its limit alone, but not beside a desktop and a notebook


def test_a_notebook_ends_where_the_jobs_processes_get_short(watched: System) -> None:
    script = f"{GATE}; for one in {{1..44}}; do sleep 600 & done; echo begun; {GATE}"
    job = watched.shell(script, limits={"processes": 64})
    watched.says(job, "ready")
    until(lambda: asked_for(watched, job, "notebook").status_code == 200, "the notebook answers")
    go_on(watched, job)
    until(lambda: "lab_server.py" not in services(watched, job), "it has ended")
    answer = asked_for(watched, job, "notebook")
    assert answer.status_code == 503 and "too few processes left for it (limits.processes)" in said(answer)
    go_on(watched, job)
    watched.completed(job)


def asked_for(system: System, job: str, service: str) -> httpx.Response:
    """What the gateway answers to who has a link, and wants what is behind it."""
    found = views(system, job)
    one, path = (found["notebook"], "/lab") if service == "notebook" else (found["desktop"]["watch"], "/websockify")
    return get(origin(one) + path, Cookie=opened(one))
