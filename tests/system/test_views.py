"""The desktop of a running job, as its viewers see it: in a real browser, by its pixels."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.steps import file, shell
from tests.support.system import System, until
from tests.support.viewing import (
    CYAN,
    GATE,
    MAGENTA,
    YELLOW,
    Picture,
    Vnc,
    container,
    get,
    go_on,
    inside,
    look,
    many,
    opened,
    origin,
    password,
    screen,
    services,
    views,
)

#: What a step's own programs look like, and nothing else.
OLIVE, PINK = (102, 102, 0), (255, 175, 215)

#: A program of a step that takes what is typed.
TYPED = f"xterm -bg '#{bytes(OLIVE).hex()}' -fg '#{bytes(OLIVE).hex()}' -cr '#{bytes(OLIVE).hex()}' -T Typed"
TAKES = f"{TYPED} -geometry 60x20+300+300 -e /bin/sh -c 'cat > typed'"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of a browser that has seen nothing."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    yield context.new_page()
    context.close()


def desktop(page: Page, link: str) -> Page:
    """Open a link to a desktop and wait until it is connected."""
    page.goto(link)
    page.wait_for_selector("body[data-state=connected]")
    return page


def client(link: str) -> Vnc:
    """A VNC client with what a link gives, and no good will."""
    cookie = opened(link)
    return Vnc(link, cookie, password(link, cookie))


def test_two_jobs_have_two_desktops_that_show_what_their_steps_print(watched: System, browser: Browser) -> None:
    pictures = [Picture(MAGENTA), Picture(MAGENTA)]
    words = ["The quick brown fox", "jumps"]
    context = browser.new_context()
    jobs, pages = [], []
    for picture, text in zip(pictures, words, strict=True):
        script = f"{picture.script}; printf '\\033[1;38;5;{YELLOW[0]}m{text}\\033[0m\\n'; {GATE}; {{}}"
        jobs.append(watched.submit(steps=[shell(script.format("true"), title=f"Say {text}"), shell(GATE)]))
    for job in jobs:
        watched.says(job, "ready")
        pages.append(desktop(context.new_page(), views(watched, job)["desktop"]["watch"]))
    for page, picture, text in zip(pages, pictures, words, strict=True):
        box = picture.waited_for(page)
        wide = (box["right"] + 1 - box["left"]) / Picture.COLUMNS / 2
        written = look(page, YELLOW[1])
        assert written["pixels"] > 10 * len(text), "words have pixels"
        assert written["top"] > box["bottom"] and abs(written["left"] - box["left"]) <= wide, (written, box)
        assert abs((written["right"] + 1 - written["left"]) / wide - len(text)) < 1, "as wide as that many letters"
    assert not pictures[0].shown(pages[1]) and not pictures[1].shown(pages[0])
    assert len({page.evaluate("location.host") for page in pages}) == 2
    for job, text in zip(jobs, words, strict=True):
        assert f'Step 1 "Say {text}"' in screen(watched, job).names, "the terminal's title has the current step"
    go_on(watched, jobs[0])
    until(lambda: any(name.startswith("Step 2 ") for name in screen(watched, jobs[0]).names), "the title has step 2")
    assert pictures[0].shown(pages[0]), "the desktop outlives a step"
    context.close()


def test_who_controls_may_type_and_who_watches_may_not_whatever_his_client_says(watched: System, page: Page) -> None:
    job = watched.submit(steps=[shell(TAKES)])
    link = views(watched, job)["desktop"]
    desktop(page, link["watch"])
    many(page, OLIVE)
    size = screen(watched, job).size
    box = look(page, OLIVE)
    centre = (box["left"] + box["right"]) // 2, (box["top"] + box["bottom"]) // 2
    page.mouse.click(*centre)
    page.keyboard.type("from a page that watches\n")
    with client(link["watch"]) as liar:
        liar.click(*centre)
        liar.type("from a client that lies\n")
        liar.cut("cut")
        liar.click(*centre, button=2)
        liar.resize(640, 480)
        liar.settle()
    assert screen(watched, job).size == size
    assert inside(watched, job, "cat", "typed") == ""
    control = desktop(page.context.new_page(), link["control"])
    many(control, OLIVE)
    _click(watched, job, control, OLIVE, "Typed")
    control.keyboard.type("I may\n")
    until(lambda: inside(watched, job, "cat", "typed") == "I may", "what is typed arrives, and nothing else")


def test_a_browser_whose_video_decoder_hangs_shows_the_desktop_all_the_same(watched: System, page: Page) -> None:
    job = watched.submit(steps=[shell(GATE)])
    page.add_init_script("VideoDecoder.prototype.flush = () => new Promise(() => {})")
    desktop(page, views(watched, job)["desktop"]["watch"])


def test_a_watchers_password_does_not_become_a_controllers(watched: System, page: Page) -> None:
    job = watched.submit(steps=[shell(GATE)])
    link = views(watched, job)["desktop"]
    cookies = {mode: opened(link[mode]) for mode in ("watch", "control")}
    known = {mode: password(link[mode], cookie) for mode, cookie in cookies.items()}
    assert len(set(known.values())) == 2 and all(len(word) == 8 for word in known.values())
    with pytest.raises(PermissionError):
        Vnc(link["watch"], cookies["watch"], "")
    with pytest.raises(PermissionError):
        Vnc(link["watch"], cookies["watch"], known["watch"][::-1])


def _on_screen(page: Page, colour: tuple[int, int, int]) -> tuple[float, float]:
    """A point of the page in the middle of what has a colour."""
    box, canvas = look(page, colour), page.locator("#screen canvas").bounding_box()
    size = page.evaluate("document.querySelector('#screen canvas').width")
    assert canvas
    scale = canvas["width"] / size
    x, y = (box["left"] + box["right"]) / 2 * scale, (box["top"] + box["bottom"]) / 2 * scale
    return canvas["x"] + x, canvas["y"] + y


def _click(system: System, job: str, page: Page, colour: tuple[int, int, int], title: str) -> None:
    """Click what has a colour, and wait until the window manager has given its window the keyboard."""
    page.mouse.click(*_on_screen(page, colour))
    until(lambda: screen(system, job).focus.startswith(title), f"{title} has the keyboard")


def test_no_key_ends_the_terminal_and_where_it_is_closed_it_comes_again(watched: System, page: Page) -> None:
    first, second, third = Picture(MAGENTA), Picture(CYAN), Picture(YELLOW)
    script = "\n".join(f"{picture.script}\n{GATE}" for picture in (first, second, third))
    job = watched.submit(steps=[shell(script)])
    desktop(page, views(watched, job)["desktop"]["control"])
    first.waited_for(page)
    _click(watched, job, page, MAGENTA[1], "Step 1")
    for keys in ("Control+c", "Control+\\", "Control+z", "Control+d", "Control+s"):
        page.keyboard.press(keys)
    go_on(watched, job)
    second.waited_for(page)
    assert first.shown(page), "it is the same terminal"
    inside(watched, job, "pkill", "-f", "xterm -name output")
    go_on(watched, job)
    third.waited_for(page)
    assert first.shown(page) and second.shown(page), "it has what was printed before"


def test_the_terminal_takes_the_keyboard_from_no_program_of_a_step(watched: System, page: Page) -> None:
    job = watched.submit(steps=[shell(f"{GATE}; {TAKES}")])
    desktop(page, views(watched, job)["desktop"]["control"])
    go_on(watched, job)
    until(lambda: screen(watched, job).focus == "Typed", "a new window has the keyboard")
    find = ("pgrep", "-f", "^xterm -name output")
    before = inside(watched, job, *find)
    inside(watched, job, "kill", before)
    until(lambda: inside(watched, job, "sh", "-c", f"{shlex.join(find)} || true") not in ("", before), "it comes again")
    until(lambda: any(name.startswith("Step 1") for name in screen(watched, job).names), "its window too")
    page.keyboard.type("I may\n")
    until(lambda: inside(watched, job, "cat", "typed") == "I may", "what is typed arrives")


def test_the_screen_takes_the_size_of_the_controllers_window(watched: System, page: Page) -> None:
    job = watched.submit(steps=[shell(GATE)])
    desktop(page, views(watched, job)["desktop"]["control"])
    for width, height in ((900, 700), (1300, 650)):
        page.set_viewport_size({"width": width, "height": height})
        until(lambda: screen(watched, job).size[0] == width, f"the screen is {width} wide")  # noqa: B023
        assert height - 60 < screen(watched, job).size[1] < height
        until(lambda: page.evaluate("document.querySelector('canvas').width") == width, "the canvas too")  # noqa: B023


def test_what_a_job_opens_before_anybody_watches_is_there_when_somebody_comes(watched: System, page: Page) -> None:
    picture = Picture(CYAN)
    html = f"<title>A page of the job</title><body style='background: rgb{PINK}'>"
    script = (
        f"{picture.script}\n{TAKES} & chromium --new-window --window-size=500,400 --window-position=500,50 "
        f"file:///workspace/page.html >/dev/null 2>&1 &\n{GATE}"
    )
    job = watched.submit(steps=[file("page.html", html), shell(script)])
    watched.says(job, "ready")

    def opened_by_the_job() -> bool:
        names = screen(watched, job).names
        return "Typed" in names and any("A page of the job" in name for name in names)

    until(lambda: "Xtigervnc" in services(watched, job), "the step has started the screen")
    assert services(watched, job).isdisjoint({"agent.children.viewer_proxy", "lab_server.py"}), (
        "but nothing listens for viewers"
    )
    until(opened_by_the_job, "both have opened a window")
    desktop(page, views(watched, job)["desktop"]["watch"])
    many(page, OLIVE, 5_000)
    many(page, PINK)
    assert look(page, CYAN[1])["pixels"], "the terminal with the output is there too"


def test_a_job_that_nobody_watches_runs_nothing_for_viewers(watched: System) -> None:
    job = watched.submit(steps=[shell(GATE), {"kind": "python", "code": "1 + 1"}, shell(GATE)])
    watched.says(job, "ready")
    assert views(watched, job)
    assert services(watched, job) == set()
    go_on(watched, job)
    until(lambda: watched.status(job)["steps"][2]["status"] == "running", "the third step runs")
    assert services(watched, job) == set()
    go_on(watched, job)
    watched.completed(job)


def test_services_outlive_the_steps_and_are_gone_when_the_job_is_packed(watched: System, page: Page) -> None:
    first, second = Picture(MAGENTA), Picture(CYAN)
    job = watched.submit(
        steps=[
            shell(f"{first.script}\n{GATE}"),
            shell(f"{second.script}\n{GATE}\nhead -c 250M /dev/urandom > large"),
        ]
    )
    watched.says(job, "ready")
    desktop(page, views(watched, job)["desktop"]["watch"])
    first.waited_for(page)
    go_on(watched, job)
    second.waited_for(page)
    assert first.shown(page) and services(watched, job) == {
        "Xtigervnc",
        "openbox",
        "xterm",
        "agent.children.viewer_proxy",
    }
    name = container(watched, job)
    go_on(watched, job)
    until(lambda: watched.status(job)["phase"] == "package", "it is packed")
    assert services(watched, job) == set(), name
    assert watched.status(job)["views"] is None
    assert watched.completed(job)["artifact"]
    page.get_by_role("heading", name="The job has ended").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the ZIP").click()
    assert download.value.suggested_filename == f"{job}.zip"


def test_the_desktop_outlives_the_orchestrator(watched: System, browser: Browser) -> None:
    picture, later = Picture(MAGENTA), Picture(CYAN)
    context = browser.new_context()
    page, other = context.new_page(), context.new_page()
    job = watched.submit(steps=[shell(f"{picture.script}\n{GATE}\n{later.script}\n{GATE}")])
    watched.says(job, "ready")
    link = views(watched, job)["desktop"]["watch"]
    desktop(page, link)
    picture.waited_for(page)
    watched.kill()
    try:
        inside_name = watched.containers()[-1]
        assert inside_name
        answer = get(origin(link) + "/", Cookie="view=x")
        assert answer.status_code == 503 and "The orchestrator is unavailable" in answer.text
        assert get(f"http://localhost:{watched.desktop_port}/").status_code == 503
        other.goto(link)
        assert "The orchestrator is unavailable" in other.inner_text("h1")
        assert picture.shown(page), "an open desktop stays"
    finally:
        watched.start()
    go_on(watched, job)
    later.waited_for(page)
    assert page.evaluate("document.body.dataset.state") == "connected", "it has been the same connection all the while"
    other.wait_for_selector("body[data-state=connected]")
    later.waited_for(other)
    fresh = desktop(context.new_page(), views(watched, job)["desktop"]["control"])
    later.waited_for(fresh)
    context.close()
