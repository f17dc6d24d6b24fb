"""Jupyter Lab on a running job, as its viewers see and use it: in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from conftest import PATIENCE, System, until
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect
from test_notebook import cells, session
from test_steps import file, python, shell
from test_views import views
from viewing import GATE, get, go_on, inside, opened, origin, services

#: The live notebook, below the workspace.
LIVE = "live-session.ipynb"

#: Asks Jupyter's server for a kernel, and gives its name.
START = """async () => {
    const token = document.cookie.match(/_xsrf=([^;]*)/)[1];
    const asked = {method: "POST", headers: {"X-XSRFToken": token}, body: "{}"};
    return (await (await fetch("/api/kernels", asked)).json()).id;
}"""

#: A figure that is one colour but for its frame.
FIGURE = """\
import matplotlib.pyplot as plt
secret_sum = 40 + 2
plt.figure(facecolor='#ff00ff'); plt.axis('off'); plt.plot([1, 2], color='#ff00ff'); plt.show()
"""

MAGENTA_OF = """image => {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let found = 0;
    for (let at = 0; at < data.length; at += 4) found += data[at] > 250 && data[at + 1] < 5 && data[at + 2] > 250;
    return found / (data.length / 4);
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 1400})
    context.set_default_timeout(PATIENCE * 1000)
    yield context.new_page()
    context.close()


def lab(page: Page, link: str) -> Page:
    """Open a link to a notebook and wait until Jupyter Lab shows it."""
    page.goto(link)
    shown(page).locator(".jp-Notebook .jp-Cell").first.wait_for()
    return page


def shown(page: Page) -> FrameLocator:
    """What the frame shows that a link opens."""
    return page.frame_locator("iframe")


def cell(page: Page, words: str) -> Locator:
    """The code cell whose source has these words."""
    return shown(page).locator(".jp-CodeCell").filter(has=shown(page).locator(".jp-InputArea", has_text=words))


def run_own(page: Page, source: str) -> Locator:
    """Put a cell at the end, as a person does who looks at what comes of each key, and run it."""
    shown(page).locator(".jp-Notebook .jp-Cell").last.locator(".jp-InputPrompt").click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    active = shown(page).locator(".jp-CodeCell.jp-mod-active")
    expect(active.locator(".cm-content")).to_have_text("", timeout=PATIENCE * 1000)
    page.keyboard.press("Enter")
    active.locator(".cm-editor.cm-focused").wait_for()
    page.keyboard.insert_text(source)
    expect(active.locator(".cm-content")).to_have_text(source, timeout=PATIENCE * 1000)
    page.keyboard.press("Control+Enter")
    return cell(page, source)


def live(system: System, job: str) -> str:
    """The live notebook's file; nothing where it is written anew while it is read."""
    with suppress(httpx.RemoteProtocolError):
        answer = system.http.get(f"/jobs/{job}/files/{LIVE}")
        return answer.text if answer.status_code == 200 else ""
    return ""


def listed(system: System, job: str) -> set[str]:
    """The files of a job that runs."""
    return {one["path"] for one in system.http.get(f"/jobs/{job}/files").json()["files"]}


def test_jupyter_lab_shows_the_job_live_and_runs_cells_of_the_viewers_own(watched: System, page: Page) -> None:
    job = watched.submit(
        steps=[
            file("sales.csv", "month,sales\n1,2\n"),
            python(FIGURE, title="Draw"),
            shell(GATE),
            python("print('the job goes on', secret_sum)", title="Go on"),
            shell(GATE),
        ]
    )
    watched.says(job, "ready")
    lab(page, views(watched, job)["notebook"])
    listed = shown(page).locator(".jp-DirListing-itemText")
    until(lambda: {"figures", "sales.csv"} <= set(listed.all_inner_texts()), "the workspace is listed")
    picture = cell(page, "secret_sum = 40").locator(".jp-RenderedImage img")
    picture.wait_for()
    assert picture.evaluate(MAGENTA_OF) > 0.9, "the picture is the figure"
    shown(page).locator(".jp-RenderedMarkdown h2", has_text="Step 2: Draw").wait_for()

    own = run_own(page, "print('mine', secret_sum + 1)")
    own.locator(".jp-OutputArea-output", has_text="mine 43").wait_for()
    draw = cell(page, "secret_sum = 40").locator(".cm-content")
    draw.click()
    cell(page, "secret_sum = 40").locator(".cm-editor.cm-focused").wait_for()
    page.keyboard.press("Control+Home")
    page.keyboard.insert_text("# changed by a viewer\n")

    assert cell(page, "the job goes on").count() == 0
    go_on(watched, job)
    later = cell(page, "the job goes on")
    later.locator(".jp-OutputArea-output", has_text="the job goes on 42").wait_for()
    assert "changed by a viewer" in draw.inner_text(), "what a viewer has changed is his to see"
    until(lambda: watched.status(job)["steps"][4]["status"] == "running", "the last step runs")
    go_on(watched, job)
    watched.completed(job)
    told = cells(session(watched, job))
    viewers = {name: one for name, one in told.items() if name.startswith("viewer-")}
    assert [one["source"] for one in viewers.values()] == ["print('mine', secret_sum + 1)"]
    assert all("viewer" in one["metadata"]["tags"] for one in viewers.values())
    assert next(iter(viewers.values()))["outputs"][0]["text"] == "mine 43\n"
    steps = [one["source"] for one in told.values() if "secret_sum = 40" in one["source"]]
    assert [source.strip() for source in steps] == [FIGURE.strip()], "the record is the agent's"


@pytest.mark.parametrize("wait", ["import time; time.sleep(600)", "import asyncio; await asyncio.sleep(600)"])
def test_a_viewers_cell_that_does_not_end_makes_way_for_the_job(watched: System, page: Page, wait: str) -> None:
    job = watched.submit(steps=[python("kept = 7"), shell(GATE), python("print('goes on', kept)"), shell(GATE)])
    watched.says(job, "ready")
    lab(page, views(watched, job)["notebook"])
    endless = f"print('begun'); {wait}"
    run_own(page, endless).locator(".jp-OutputArea-output", has_text="begun").wait_for()
    go_on(watched, job)
    watched.says(job, "goes on 7")
    told = cells(watched.http.get(f"/jobs/{job}/notebook").json())
    (own,) = (one for name, one in told.items() if name.startswith("viewer-"))
    assert own["source"] == endless and own["outputs"][-1]["ename"] in ("KeyboardInterrupt", "CancelledError")
    assert "a viewer's cell kept this step waiting" in watched.output(job)
    go_on(watched, job)
    watched.completed(job)


def test_a_viewer_can_interrupt_the_jobs_kernel_and_not_end_it(watched: System, page: Page) -> None:
    waits = "import time\ntry:\n    print('wait'); time.sleep(600)\nexcept KeyboardInterrupt:\n    print('interrupted')"
    job = watched.submit(steps=[python("kept = 7"), shell(GATE), python(waits), shell(GATE), python("print(kept)")])
    watched.says(job, "ready")
    link = views(watched, job)["notebook"]
    lab(page, link)
    go_on(watched, job)
    watched.says(job, "wait")
    shown(page).get_by_role("menuitem", name="Kernel", exact=True).click()
    shown(page).get_by_role("menuitem", name="Interrupt Kernel").click()
    watched.says(job, "interrupted")
    until(lambda: watched.status(job)["steps"][3]["status"] == "running", "the fourth step runs")
    shown(page).get_by_role("menuitem", name="Kernel", exact=True).click()
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as ending:
        shown(page).get_by_role("menuitem", name="Shut Down Kernel", exact=True).click()
    assert ending.value.status == 409, "it is the job's own, and ends with the job"
    cookie = opened(link)
    kernels = get(f"{origin(link)}/api/kernels", Cookie=cookie).json()
    assert len(kernels) == 1
    assert "lab_server.py" in services(watched, job)
    go_on(watched, job)
    watched.completed(job)
    assert watched.output(job, 5) == "7\n", "it is the same kernel"


def test_when_the_job_ends_the_notebooks_page_says_how_and_offers_the_zip(watched: System, page: Page) -> None:
    job = watched.submit(steps=[python("kept = 7"), shell(f"{GATE}; exit 3")])
    watched.says(job, "ready")
    lab(page, views(watched, job)["notebook"])
    run_own(page, "print(kept)").locator(".jp-OutputArea-output", has_text="7").wait_for()
    go_on(watched, job)
    page.get_by_role("heading", name="The job has ended").wait_for()
    assert f"Job {job} is failed" in page.inner_text("main")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the ZIP").click()
    assert download.value.suggested_filename == f"{job}.zip"


def test_a_notebook_server_that_was_killed_comes_again_for_who_asks(watched: System) -> None:
    job = watched.submit(steps=[file("json.py", "mine = 1"), python("kept = 7"), shell(GATE)])
    watched.says(job, "ready")
    link = views(watched, job)["notebook"]
    cookie = opened(link)
    for _ in range(3):
        until(lambda: get(f"{origin(link)}/lab", Cookie=cookie).status_code == 200, "it answers")
        kernels = until(lambda: get(f"{origin(link)}/api/kernels", Cookie=cookie).json(), "it has the job's kernel")
        assert len(kernels) == 1
        inside(watched, job, "pkill", "-9", "-f", "lab_server.py")
    go_on(watched, job)
    watched.completed(job)


def test_what_viewers_run_runs_in_the_jobs_kernel_or_not_at_all(watched: System, page: Page) -> None:
    steps = [shell(GATE), python("kept = 7"), shell(GATE), python("import os; os._exit(0)")]
    job = watched.submit(steps=[*steps, python("kept = 8"), shell(GATE)])
    watched.says(job, "ready")
    link = views(watched, job)["notebook"]
    sockets: list[str] = []
    page.on("websocket", lambda one: sockets.append(one.url) if "/api/kernels/" in one.url else None)
    lab(page, link)
    cookie = opened(link)

    def kernel() -> str:
        (one,) = get(f"{origin(link)}/api/kernels", Cookie=cookie).json()
        return str(one["id"])

    early = run_own(page, "open('early', 'w'); print('early')")
    early.locator(".jp-OutputArea-output", has_text="it comes with its next python step").wait_for()
    assert "early" not in listed(watched, job)
    for number, kept in ((3, 7), (6, 8)):  # and the page comes to the job's kernel, and to its next, by itself
        go_on(watched, job)
        until(lambda: watched.status(job)["steps"][number - 1]["status"] == "running", "a step")  # noqa: B023
        until(lambda: page.evaluate("1") and kernel() in sockets[-1], "the page is with the job's kernel")
        own = f"print('I see', kept)  # {kept}"
        run_own(page, own).locator(".jp-OutputArea-output", has_text=f"I see {kept}").wait_for()
    assert page.evaluate(START) == kernel(), "also who asks for another gets the job's"
    go_on(watched, job)
    watched.completed(job)
    told = cells(session(watched, job))
    assert [one["source"][-3:] for name, one in told.items() if name.startswith("viewer-")] == ["# 7", "# 8"]


@pytest.mark.parametrize("away", ["rm -f *.ipynb", "mkdir notebooks; mv *.ipynb notebooks/"])
def test_a_step_that_removes_the_live_notebook_keeps_no_viewer_out(watched: System, page: Page, away: str) -> None:
    steps = [shell(GATE), shell(f"{away}; echo gone; {GATE}"), shell(f"echo later; {GATE}")]
    job = watched.submit(steps=steps)
    watched.says(job, "ready")
    link = views(watched, job)["notebook"]
    lab(page, link)
    go_on(watched, job)
    watched.says(job, "gone")
    until(lambda: LIVE in listed(watched, job), "its file is there again")
    go_on(watched, job)
    watched.says(job, "later")
    for one in (page, lab(page.context.new_page(), link)):
        shown(one).locator(".jp-OutputArea-output", has_text="gone").wait_for()
        shown(one).locator(".jp-OutputArea-output", has_text="later").wait_for()
    go_on(watched, job)
    watched.completed(job)
    assert LIVE in watched.zip(job).paths


def test_what_viewers_typed_is_in_no_other_file_of_the_zip(watched: System, page: Page) -> None:
    job = watched.submit(steps=[python("kept = 7"), shell(GATE)])
    watched.says(job, "ready")
    lab(page, views(watched, job)["notebook"])
    run_own(page, "print('typed', kept)").locator(".jp-OutputArea-output", has_text="typed 7").wait_for()
    until(lambda: "typed" in live(watched, job), "the live notebook is saved")
    go_on(watched, job)
    watched.completed(job)
    assert watched.zip(job).paths == {LIVE}


def test_of_much_output_the_live_notebook_has_the_newest_and_says_so(watched: System) -> None:
    much = "head -c 250000 /dev/zero | tr '\\0' 'x' | fold -w 100"
    steps = [shell(much) for _ in range(18)]
    job = watched.submit(steps=[*steps, shell(f"{much}; {much}; echo newest; {GATE}"), python("'last'"), shell(GATE)])
    watched.says(job, "ready")
    link = views(watched, job)["notebook"]
    assert get(f"{origin(link)}/lab", Cookie=opened(link)).status_code == 200

    def outputs() -> dict[str, str]:
        with suppress(ValueError):  # it was read while it was written
            content = json.loads(live(watched, job))["cells"]
            return {one["id"]: json.dumps(one["outputs"]) for one in content if one["cell_type"] == "code"}
        return {}

    assert "newest" in until(lambda: outputs().get("step-19"), "the notebook has the step")
    go_on(watched, job)
    until(lambda: "last" in outputs().get("step-20", ""), "and what comes while somebody looks")
    found = until(outputs, "it can be read whole")
    cut = [name for name, text in found.items() if "left out here" in text]
    assert cut == [*list(found)[: len(cut) - 1], "step-19"] and len(cut) < 6, "what came first is left out"
    assert all(text.count("left out here") <= 1 for text in found.values()), "once a cell"
    assert all(len(found[f"step-{number}"]) > 100 for number in range(1, 20)), "none is empty"
    go_on(watched, job)
    watched.completed(job)


def test_the_live_notebook_has_marks_in_the_place_of_secrets(watched: System) -> None:
    value = "correct-horse-battery"
    job = watched.submit(
        steps=[python("import os\nprint('it is', os.environ['TOKEN'])\nos.environ['TOKEN']"), shell(GATE)],
        secrets={"TOKEN": value},
    )
    watched.says(job, "ready")
    link = views(watched, job)["notebook"]
    assert get(f"{origin(link)}/lab", Cookie=opened(link)).status_code == 200

    until(lambda: live(watched, job).count("[secret TOKEN]") == 2, "what was printed and what was shown have marks")
    assert value not in until(lambda: live(watched, job), "it can be read whole")
    go_on(watched, job)
    watched.completed(job)
