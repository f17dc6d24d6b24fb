"""Steps drive a browser with Playwright, and the desktop with xdotool, wmctrl and screenshot."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.plans import accept, plan, step
from tests.support.providers import OpenAIServer
from tests.support.steps import file, python, shell
from tests.support.system import System

#: A page that turns green when its button is clicked.
BUTTON = """<title>A button</title>
<button onclick="document.body.style.background = 'rgb(0, 128, 0)'; this.textContent = 'Clicked'">Click me</button>"""

#: A page that greets whoever fills its form.
FORM = """<title>A form</title>
<form onsubmit="document.querySelector('h1').textContent = 'Hello, ' + this.name.value; return false">
<label>Name <input name="name"></label> <button>Send</button></form><h1></h1>"""

CLICK = """
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    browser = p.chromium.launch()
    page = browser.new_page()
    page.goto("file:///workspace/page.html")
    page.get_by_role("button").click()
    print(page.get_by_role("button").text_content())
    page.screenshot(path="screenshot.png")
    browser.close()
"""

FILL = """
import asyncio, subprocess
from playwright.async_api import async_playwright
async with async_playwright() as p:
    browser = await p.chromium.launch(headless=False)
    page = await browser.new_page()
    await page.goto("file:///workspace/page.html")
    while "A form" not in subprocess.check_output(["wmctrl", "-l"], text=True):
        await asyncio.sleep(0.1)
    await page.get_by_label("Name").fill("Ada")
    await page.get_by_role("button").click()
    print(await page.get_by_role("heading").text_content())
    await browser.close()
"""

#: Exits with 0 if the picture's corner is green.
GREEN = """python -c '
from PIL import Image
assert Image.open("screenshot.png").convert("RGB").getpixel((1, 1)) == (0, 128, 0)'"""


def without_notes(output: str) -> str:
    """Leave out the notes about processes that a step left running."""
    return re.sub(r"^\[… ended with the step.*…\]\n", "", output, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("prompt", "page", "source", "check", "said"),
    [
        ("Open page.html, click the button, save a screenshot", BUTTON, CLICK, GREEN, "Clicked\n"),
        ("Fill the form of this local page", FORM, FILL, "", "Hello, Ada\n"),
    ],
    ids=["click", "fill"],
)
def test_a_model_uses_the_browser_for_a_prompt(
    make_system: Callable[..., System], prompt: str, page: str, source: str, check: str, said: str
) -> None:
    with OpenAIServer((plan(step("python", source), check=check), accept())) as server:
        system = make_system(**server.settings).start()
        files = [("prompt", (None, prompt)), ("files", ("page.html", page.encode()))]
        job = system.http.post("/schedule", files=files).json()["job_id"]
        found = system.completed(job)
    assert found["planned_by"] == "model" and found["usage"]["repairs"] == 0
    assert system.output(job, 1) == said


def test_scripts_and_cells_drive_a_browser_and_only_a_visible_one_starts_the_screen(system: System) -> None:
    left_open = CLICK.replace("with sync_playwright() as p:", "if p := sync_playwright().start():")
    left_open = left_open.replace("    browser.close()\n", "")
    job = system.submit(
        network="none",
        steps=[
            file("page.html", BUTTON),
            python(left_open),
            python(CLICK),
            shell("! pgrep Xtigervnc"),
            file("click.py", CLICK.replace("launch()", "launch(headless=False)")),
            {"kind": "python", "file": "click.py"},
            shell(f"pgrep --count Xtigervnc\n{GREEN}"),
        ],
    )
    system.completed(job)
    assert without_notes(system.output(job)) == "Clicked\n" * 3 + "1\n"


def test_a_step_types_into_a_window_lists_it_and_takes_a_screenshot(system: System) -> None:
    script = """
xterm -bg '#008000' -T Typed -e sh -c 'cat > typed' 2>/dev/null &
until wmctrl -l 2>/dev/null | grep -q ' Typed$'; do sleep 0.1; done
xdotool search --name '^Typed$' windowactivate --sync
xdotool type 'Hello, window'
xdotool key Return
until grep -s . typed; do sleep 0.1; done
screenshot screen.png
screenshot screen.png
"""
    picture = """
from PIL import Image
screen = Image.open("screen.png")
colours = {colour: count for count, colour in screen.convert("RGB").getcolors(1 << 24)}
print(screen.format, screen.size, colours[0, 128, 0] > 10_000)
"""
    job = system.submit(steps=[shell(script), python(picture)])
    system.completed(job)
    assert without_notes(system.output(job)) == "Hello, window\nPNG (1280, 800) True\n"
    assert system.zip(job).paths == {"typed", "screen.png"}
