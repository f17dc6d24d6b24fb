"""Python steps as the cells of one notebook: what they share, show and leave, and how they end."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from protocol import messages
from tests.support.notebook import cells, ended, session
from tests.support.steps import file, python, shell
from tests.support.system import System, docker, touch, until


def kernels(system: System, job: str) -> list[str]:
    """The command lines of the kernels that a job's sandbox has at this moment."""
    sandbox = system.status(job)["sandbox"]
    lines = docker("top", f"containerized-agent-{sandbox}", "-o", "pid,args").splitlines()
    return [line for line in lines if "ipython_kernel.py" in line]


# ── what steps share ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_state_lives_from_step_to_step_past_shell_and_file_steps(system: System) -> None:
    job, found = ended(
        system,
        python("import os\nnumbers = [1, 2, 3]\nos.makedirs('inner'); os.chdir('inner')"),
        shell("echo from the shell > word.txt"),
        file("data.txt", "from a file\n"),
        python("print(sum(numbers), open('../word.txt').read() + open('../data.txt').read(), os.getcwd())"),
    )
    assert found["status"] == "completed", found
    assert system.output(job, 4) == "6 from the shell\nfrom a file\n /workspace/inner\n"


def test_a_job_without_code_for_a_notebook_starts_no_kernel(system: System) -> None:
    script = "import json, sys\nprint(json.dumps(sys.argv[1:]))\nprint(__name__)\nsys.exit(4 if sys.argv[1:] else 0)"
    gate = "while [ ! -e go ]; do sleep 0.05; done"
    job = system.submit(
        steps=[
            file("tools/main.py", script),
            {"kind": "python", "file": "tools/main.py"},
            shell(f"echo ready; {gate}"),
            {"kind": "python", "file": "tools/main.py", "args": ["--name", "a b", "$HOME"]},
        ]
    )
    system.says(job, "ready")
    assert kernels(system, job) == []
    touch(f"containerized-agent-{system.status(job)['sandbox']}", "/workspace/go", "10001")
    found = system.ended(job)
    assert [step["exit_code"] for step in found["steps"]] == [0, 0, 0, 4]
    assert system.output(job, 4) == '["--name", "a b", "$HOME"]\n__main__\n'
    plan = system.zip(job).manifest["plan"]["steps"]
    assert plan[3] | {"title": ""} == {
        "kind": "python", "title": "", "file": "tools/main.py", "args": ["--name", "a b", "$HOME"],
    }  # fmt: skip


def test_one_kernel_runs_all_steps_and_ends_with_the_job(system: System) -> None:
    job = system.submit(
        steps=[python("import os\nfirst = os.getpid()"), python("print(os.getpid() == first)"), shell("sleep 600")]
    )
    system.says(job, "True")
    until(lambda: system.status(job)["phase"] == "shell", "the shell step runs")
    assert len(kernels(system, job)) == 1
    system.cancel(job)
    assert system.ended(job)["status"] == "cancelled"
    assert "step-1" in cells(session(system, job))


# ── what steps show ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_figures_tables_values_and_prints_stand_in_their_order(system: System) -> None:
    code = """
import matplotlib.pyplot as plt, pandas as pd
print("before")
plt.plot([1, 2, 3]); plt.show()
print("between")
display(pd.DataFrame({"city": ["Oslo", "Rome"], "degrees": [3, 21]}))
plt.bar([1, 2], [3, 4])
print("after")
40 + 2
"""
    job, found = ended(system, python(code))
    assert found["status"] == "completed", found
    artifact = system.zip(job)
    assert artifact.paths == {"figures/figure-1.png", "figures/figure-2.png"}
    assert artifact.read("workspace/figures/figure-1.png").startswith(b"\x89PNG")
    outputs = cells(session(system, job))["step-1"]["outputs"]
    seen = [output.get("text") or sorted(output["data"]) for output in outputs]
    assert seen == [
        "before\n",
        ["image/png", "text/plain"],
        "between\n",
        ["text/html", "text/plain"],
        "after\n",
        ["text/plain"],
        ["image/png", "text/plain"],
    ]
    assert "<td>Oslo</td>" in outputs[3]["data"]["text/html"] and outputs[5]["data"]["text/plain"] == "42"
    log = artifact.output_log
    places = [log.index(word) for word in ("before", "figure-1.png", "between", "Oslo", "after", "42", "figure-2.png")]
    assert places == sorted(places)
    results = [event["data"] for event in system.events(job) if event["event"] == "result"]
    assert [result.get("file", "") for result in results] == ["figures/figure-1.png", "", "", "figures/figure-2.png"]
    assert all("image/png" not in result["data"] for result in results), "the stream names pictures, and has none"


def test_a_figure_never_takes_the_place_of_a_file(system: System) -> None:
    job, _ = ended(
        system,
        file("figures/figure-1.png", "mine"),
        python("import matplotlib.pyplot as plt\n_ = plt.plot([1])"),
        python("_ = plt.plot([2])"),
    )
    artifact = system.zip(job)
    assert artifact.text("figures/figure-1.png") == "mine"
    assert artifact.paths == {f"figures/figure-{number}.png" for number in (1, 2, 3)}


def test_a_picture_that_has_two_forms_is_one_file(system: System) -> None:
    job, _ = ended(system, python("from PIL import Image\nImage.new('RGB', (10, 10))"))
    assert system.zip(job).paths == {"figures/figure-1.png"}
    (shown,) = (event["data"] for event in system.events(job) if event["event"] == "result")
    assert shown["file"] == "figures/figure-1.png"


def test_a_display_that_is_updated_is_shown_as_it_was_last(system: System) -> None:
    code = "from IPython.display import display\nhandle = display('first', display_id=True)\nhandle.update('second')"
    job, _ = ended(system, python(code))
    outputs = cells(session(system, job))["step-1"]["outputs"]
    assert [output["data"]["text/plain"] for output in outputs] == ["'second'"]


def test_results_are_bounded_and_what_is_left_out_is_said(system: System) -> None:
    code = """
from IPython.display import HTML, display
display(HTML("<p>" + "x" * 300_000 + "</p>"))
display("y" * 300_000)
for number in range(300):
    display(number)
print("end")
"""
    job, found = ended(system, python(code))
    assert found["status"] == "completed", found
    outputs = cells(session(system, job))["step-1"]["outputs"]
    results = [output["data"] for output in outputs if output["output_type"] == "display_data"]
    assert len(results) == messages.RESULTS_STEP
    assert "text/html" not in results[0] and "text/html of 300,007 characters is left out" in results[0]["text/plain"]
    assert (
        len(results[1]["text/plain"]) < messages.RESULT_TEXT
        and "characters are left out here" in results[1]["text/plain"]
    )
    assert f"a step has {messages.RESULTS_STEP} results: more are left out" in system.output(job)
    assert system.output(job).endswith("end\n")


def test_all_results_of_a_job_are_bounded_together(system: System) -> None:
    code = "import os, base64\nfor _ in range(190):\n    display(base64.b64encode(os.urandom(90_000)).decode())"
    job, found = ended(system, python(code))
    assert found["status"] == "completed", found
    results = [event["data"]["data"]["text/plain"] for event in system.events(job) if event["event"] == "result"]
    assert sum(map(len, results)) < messages.RESULTS_JOB + 100_000
    assert "characters is left out: a job has 16,777,216 together" in results[-1]


def test_an_error_is_shown_as_python_shows_that_of_a_script(system: System) -> None:
    code = "def half(n):\n    return n / 0  # here\n\ntry:\n    half(3)\nexcept ZeroDivisionError as error:\n"
    job, found = ended(system, python("x = 1"), python(code + "    raise KeyError('what') from error\n"))
    assert (found["reason"], found["steps"][1]["exit_code"]) == ("step_failed", 1)
    assert system.output(job) == (
        "Traceback (most recent call last):\n"
        '  File "/run/steps/step-2.py", line 5, in <module>\n    half(3)\n    ~~~~^^^\n'
        '  File "/run/steps/step-2.py", line 2, in half\n    return n / 0  # here\n           ~~^~~\n'
        "ZeroDivisionError: division by zero\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n"
        '  File "/run/steps/step-2.py", line 7, in <module>\n'
        "    raise KeyError('what') from error\nKeyError: 'what'\n"
    )
    assert "KeyError: 'what'" in found["detail"]
    error = cells(session(system, job))["step-2"]["outputs"][-1]
    assert (error["output_type"], error["ename"], error["evalue"]) == ("error", "KeyError", "'what'")


@pytest.mark.parametrize(
    ("code", "words"),
    [("values = (1,\n", "SyntaxError: '(' was never closed"), ("if True:\nx = 1\n", "IndentationError: expected an")],
)
def test_an_error_in_the_syntax_is_shown_as_pythons_own(system: System, code: str, words: str) -> None:
    job, found = ended(system, python("x = 1"), python(code))
    assert found["steps"][1]["exit_code"] == 1
    said = system.output(job)
    assert words in said and 'File "/run/steps/step-2.py", line' in said and "IPython" not in said


# ── who looks on ─────────────────────────────────────────────────────────────────────────────────────────────────────

#: A client of the job's kernel, as Jupyter Lab is one; prints what comes of each cell.
VIEWER = """
import glob, json, sys
from jupyter_client.blocking import BlockingKernelClient
client = BlockingKernelClient(connection_file=glob.glob("/home/user/kernel/*.json")[0])
client.load_connection_file()
client.start_channels()
client.wait_for_ready(timeout=60)
for code in json.loads(sys.argv[1]):
    seen = []
    client.execute_interactive(code, timeout=60, output_hook=lambda message: seen.append(message["content"]))
    texts = [part.get("text") or part.get("data", {}).get("text/plain") or part.get("ename") for part in seen]
    print(json.dumps([text for text in texts if text]))
"""


def view(system: System, job: str, *codes: str) -> list[list[str]]:
    """Run cells in a job's kernel, as somebody who watches it; what they got to see of each."""
    name = f"containerized-agent-{system.status(job)['sandbox']}"
    user = ("-u", "10001:10001", "-e", "HOME=/home/user")
    printed = docker("exec", *user, name, "/opt/venv/bin/python", "-c", VIEWER, json.dumps(codes))
    return [json.loads(line) for line in printed.splitlines()]


def test_a_viewer_looks_at_variables_and_what_they_run_is_recorded_as_theirs(system: System) -> None:
    job = system.submit(
        steps=[
            python("secret_sum = 40 + 2"),
            shell("echo ready; while [ ! -e go ]; do sleep 0.05; done"),
            python("print('the job goes on', secret_sum)"),
        ]
    )
    system.says(job, "ready")
    cells_run = ("print('mine', secret_sum)", "secret_sum + 1", "1 / 0", "open('go', 'w').close()")
    assert view(system, job, *cells_run[:3]) == [["mine 42\n"], ["43"], ["ZeroDivisionError"]]
    with contextlib.suppress(subprocess.CalledProcessError):  # the job may end before the viewer is answered
        view(system, job, cells_run[3])
    found = system.ended(job)
    assert found["status"] == "completed", found
    assert system.output(job) == "ready\nthe job goes on 42\n", "what a viewer's cell prints is not the job's"
    told = cells(session(system, job))
    viewers = [cell for name, cell in told.items() if name.startswith("viewer-")]
    assert [cell["source"] for cell in viewers] == list(cells_run)
    assert all("viewer" in cell["metadata"]["tags"] for cell in viewers)
    assert viewers[0]["outputs"][0]["text"] == "mine 42\n"
    assert viewers[1]["outputs"][0]["data"]["text/plain"] == "43"
    assert viewers[2]["outputs"][0]["ename"] == "ZeroDivisionError"
    order = [name.partition("-")[0] + name.partition("-")[2][:1] for name in told if told[name]["cell_type"] == "code"]
    assert order[:2] == ["setup", "step1"] and order[-1] == "step3" and len(order) == 7
    assert [event["event"] for event in system.events(job)].count("viewer_cell") == 4


def test_a_viewers_cell_that_fails_takes_no_step_along(system: System) -> None:
    job = system.submit(
        steps=[
            python("x = 1"),
            shell("echo ready; while [ ! -e go ]; do sleep 0.05; done"),
            python("print('ran', x)"),
        ]
    )
    system.says(job, "ready")
    with contextlib.suppress(subprocess.CalledProcessError):
        view(system, job, "open('go', 'w').close()\nimport time; time.sleep(1)\nraise RuntimeError('viewer')")
    assert system.ended(job)["status"] == "completed"
    assert system.output(job, 3) == "ran 1\n"


def test_what_a_viewers_programs_print_is_the_viewers(system: System) -> None:
    steps = [
        python("x = 1"),
        shell("echo ready; while [ ! -e go ]; do sleep 0.05; done"),
        python("print('ours')"),
        shell("true"),
    ]
    job = system.submit(steps=steps)
    system.says(job, "ready")
    code = "import os, subprocess\nos.system('echo one')\n_ = subprocess.run(['echo', 'two'])\nprint('three')"
    assert "".join(view(system, job, code)[0]) == "three\none\ntwo\n"
    sandbox = f"containerized-agent-{system.status(job)['sandbox']}"
    touch(sandbox, "/workspace/go", "10001")
    assert system.ended(job)["status"] == "completed"
    assert system.output(job) == "ready\nours\n"
    (own,) = (one for name, one in cells(session(system, job)).items() if name.startswith("viewer-"))
    assert own["outputs"][0]["text"] == "three\none\ntwo\n"


def test_what_a_viewer_shows_does_not_end_a_step_that_waits(system: System) -> None:
    steps = [python("x = 1"), shell("echo ready; while [ ! -e go ]; do sleep 0.05; done"), python("print('ours', x)")]
    job = system.submit(steps=steps)
    system.says(job, "ready")
    code = """
import os, time
from IPython.display import display
from PIL import Image
noise = Image.frombytes('RGB', (560, 560), os.urandom(560 * 560 * 3))
open('go', 'w').close()
time.sleep(1)
for _ in range(18):
    display(noise)
"""
    with contextlib.suppress(subprocess.CalledProcessError):  # the job may end before the viewer is answered
        view(system, job, code)
    assert system.ended(job)["status"] == "completed"
    assert system.output(job, 3) == "ours 1\n"
    (own,) = (one for name, one in cells(session(system, job)).items() if name.startswith("viewer-"))
    assert len(own["outputs"]) == 2 and "image/png" in own["outputs"][0]["data"]
    assert own["outputs"][1]["data"]["text/plain"] == "[… 17 results are left out …]"


# ── how steps end ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("end", ["by itself", "from outside"])
def test_a_kernel_that_has_ended_between_steps_is_replaced(system: System, end: str) -> None:
    first = "import threading, os\nthreading.Timer(1, os._exit, [0]).start()" if end == "by itself" else "x = 1"
    kill = "sleep 2" if end == "by itself" else "pkill -9 -f ipython_kernel.py; sleep 0.5"
    job, found = ended(system, python(first), shell(kill), python("open('proof', 'w').close(); print('I ran')"))
    assert found["status"] == "completed", found
    assert system.output(job, 3).endswith("this one is fresh, without their variables …]\nI ran\n")
    assert system.zip(job).text("proof") == ""


def test_what_a_step_leaves_running_ends_with_it_and_the_kernel_does_not(system: System) -> None:
    code = "import subprocess, time\nleft = subprocess.Popen(['sleep', '600'], start_new_session=True)"
    job, found = ended(system, python(code), python("print(left.wait(20), 'and I am here')"))
    assert found["status"] == "completed", found
    assert system.output(job, 2) == "-9 and I am here\n"


def test_a_background_step_goes_on_beside_the_kernel(system: System) -> None:
    server = python(
        "from http.server import SimpleHTTPRequestHandler, test\ntest(SimpleHTTPRequestHandler, port=8123)",
        background=True,
    )
    ask = (
        "import time, urllib.request\nfor _ in range(200):\n    try:\n"
        "        status = urllib.request.urlopen('http://127.0.0.1:8123').status\n        break\n"
        "    except OSError:\n        time.sleep(0.05)"
    )
    job, found = ended(system, server, python(ask), python("print(status)"), python(ask + "\nprint('still', status)"))
    assert found["status"] == "completed", found
    assert system.output(job, 3) == "200\n" and system.output(job, 4) == "still 200\n"


@pytest.mark.parametrize(
    ("end", "code", "reason"),
    [
        ("import os; os._exit(7)", 7, "step_failed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 139, "step_failed"),
        ("import os; os.execvp('sh', ['sh', '-c', 'echo other; exit 9'])", 9, "step_failed"),
        ("x = bytearray(1 << 30)\nfor i in range(0, 1 << 30, 4096): x[i] = 1", 137, "out_of_memory"),
    ],
)
def test_a_kernel_that_dies_fails_its_step_and_the_job_is_packed(
    system: System, end: str, code: int, reason: str
) -> None:
    job, found = ended(system, python("open('kept.txt', 'w').write('kept')"), python(end), limits={"memory": "256m"})
    assert (found["status"], found["reason"]) == ("failed", reason), found
    assert found["steps"][1]["exit_code"] == code
    assert system.zip(job).text("kept.txt") == "kept"
    if reason == "step_failed":
        assert "The kernel's process has ended" in found["detail"]


def test_after_a_kernel_has_ended_the_next_step_has_a_fresh_one_and_says_so(system: System) -> None:
    job, found = ended(system, python("kept = 1\nimport os\nos._exit(0)"), python("print('kept' in globals())"))
    assert found["status"] == "completed", found
    assert system.output(job, 2) == (
        "[… the kernel of the steps before has ended: this one is fresh, without their variables …]\nFalse\n"
    )


@pytest.mark.parametrize(
    "code", ["while True: pass", "import time; time.sleep(600)", "import os; os.system('sleep 600')"]
)
def test_a_time_limit_ends_a_step_in_the_kernel(system: System, code: str) -> None:
    job, found = ended(system, python("x = 1"), python(code, seconds=1))
    assert (found["status"], found["reason"]) == ("failed", "timed_out"), found
    assert "its time limit of 1 s" in found["detail"]
    assert cells(session(system, job))["step-2"]["metadata"]["tags"] == ["raises-exception"]


def test_a_step_that_ignores_interrupts_and_floods_is_cancelled(system: System) -> None:
    code = (
        "import signal\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\n"
        "print('ready')\nwhile True: print('x' * 1000)"
    )
    job = system.submit(steps=[python("x = 1"), python(code)])
    system.says(job, "ready")
    system.cancel(job)
    until(lambda: system.status(job)["status"] == "cancelled" or system.status(job)["phase"] == "package", "it ends", 5)
    assert system.ended(job)["status"] == "cancelled"
    assert "ready" in cells(session(system, job))["step-2"]["outputs"][0]["text"]


# ── the notebook ─────────────────────────────────────────────────────────────────────────────────────────────────────

STORY = [
    file("numbers.csv", "n\n1\n2\n3\n"),
    shell("wc -l < numbers.csv\nprintf '```\\n# no heading\\n'", title="Count *lines*"),
    python("import pandas as pd\ntable = pd.read_csv('numbers.csv')\ntable", title="Read"),
    python("import matplotlib.pyplot as plt\ntable.n.plot()\nprint(__file__ != '')", title="Draw"),
    python("import sys\ntotal = int(table.n.sum())\nsys.exit(0)", title="Sum"),
    python("print('total', total)\nopen('total.txt', 'w').write(str(total)) and None", title="Tell"),
]

#: Checks a notebook, and runs it again from its top to its end, as somebody would who has the ZIP.
AGAIN = """
import nbformat, os
from nbclient import NotebookClient
book = nbformat.read("session.ipynb", as_version=nbformat.NO_CONVERT)
nbformat.validate(book)
before = {cell.id: [out.get("text", "") for out in cell.outputs] for cell in book.cells if cell.cell_type == "code"}
os.makedirs("workspace/figures", exist_ok=True)
os.rename("numbers.csv", "workspace/numbers.csv")
NotebookClient(book, timeout=120).execute()
after = {cell.id: [out.get("text", "") for out in cell.outputs] for cell in book.cells if cell.cell_type == "code"}
print(book.nbformat, book.nbformat_minor, list(before))
print(before["step-6"] == after["step-6"] == ["total 6\\n"], open("workspace/total.txt").read())
"""


def test_the_notebook_tells_the_story_and_runs_again(system: System) -> None:
    job, found = ended(system, *STORY, check="grep -q 6 total.txt")
    assert found["status"] == "completed", found
    artifact = system.zip(job)
    book = session(system, job)
    told = cells(book)
    assert list(told) == [
        "job", "setup", "step-1", "step-2", "step-3-title", "step-3", "step-4-title", "step-4", "step-5-title",
        "step-5", "step-6-title", "step-6", "step-0",
    ]  # fmt: skip
    assert told["step-2"]["cell_type"] == "markdown" and "Count \\*lines\\*" in told["step-2"]["source"]
    assert "It printed:\n\n````\n4\n```\n# no heading\n````" in told["step-2"]["source"]
    assert "The file `numbers.csv`" in told["step-1"]["source"] and "grep -q 6 total.txt" in told["step-0"]["source"]
    assert told["step-3"]["source"] == STORY[2]["code"] and "## Step 3: Read" in told["step-3-title"]["source"]
    files = [
        ("files", ("session.ipynb", io.BytesIO(artifact.read("session.ipynb")))),
        ("files", ("numbers.csv", io.BytesIO(artifact.read("workspace/numbers.csv")))),
    ]
    steps = json.dumps([python(AGAIN)])
    answer = system.http.post("/schedule", data={"steps": steps}, files=files)
    assert answer.status_code == 202, answer.text
    again = answer.json()["job_id"]
    assert system.ended(again)["status"] == "completed", system.output(again)
    assert system.output(again).splitlines()[-2:] == [
        "4 5 ['setup', 'step-3', 'step-4', 'step-5', 'step-6']",
        "True 6",
    ]


#: What a cell does like a script and, but for the setup, not like a notebook's.
RUN_AGAIN = {
    "import asyncio\nasync def main():\n    print('awaited')\n    return 4\nprint(asyncio.run(main()))": "awaited\n4\n",
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('--n', default=3)\nprint(p.parse_args().n)": "3\n",
    "import sys\nprint(sys.argv[1:], __file__.endswith('nothing'))": "[] False\n",
    "print('left')\nraise SystemExit(0)": "left\n",
    "print('quit')\nquit()": "quit\n",
    "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        print('tested')\nunittest.main()": (
        "tested\n"
    ),
    "import helper\nhelper.main()": "helped\n",
    (
        "import asyncio\nasync def work(n):\n    return await asyncio.sleep(0.01, n)\nloop = asyncio.get_event_loop()\n"
        "tasks = [loop.create_task(work(n)) for n in (1, 2)]\nprint(loop.run_until_complete(asyncio.gather(*tasks)))"
    ): "[1, 2]\n",
    "print(asyncio.get_event_loop() is loop)\nprint(loop.run_until_complete(work(3)))\nloop.close()": "True\n3\n",
    "print(asyncio.get_event_loop().run_until_complete(work(4)))": "4\n",
    "with asyncio.Runner() as runner:\n    print(runner.run(work(5)), runner.run(asyncio.to_thread(abs, -6)))": "5 6\n",
    "loop = asyncio.new_event_loop()\nloop.call_later(0.01, loop.stop)\nloop.run_forever()\nprint('end')": "end\n",
    "async def leave():\n    print('left')\n    exit(0)\nasyncio.run(leave())": "left\n",
    (
        "import asyncio\nasked = asyncio.get_event_loop().create_future()\n"
        "asyncio.get_running_loop().call_soon(asked.set_result, 7)\nprint(await asked, await work(8))"
    ): "7 8\n",
    "import asyncio\nprint(asyncio._get_running_loop())": "None\n",
    "try:\n    name = input('name? ')\nexcept EOFError:\n    name = 'nobody'\nprint(name)": "nobody\n",
    "from getpass import getpass\ntry:\n    getpass()\nexcept EOFError:\n    print('no password')": "no password\n",
}

#: Runs a notebook again, and prints what each cell printed then, and which of them ended with an error.
PRINTED = """
import nbformat, json
from nbclient import NotebookClient
book = nbformat.read("session.ipynb", as_version=nbformat.NO_CONVERT)
NotebookClient(book, timeout=120).execute()
found = [cell for cell in book.cells if cell.cell_type == "code"]
print(json.dumps({c.id: "".join(out.text for out in c.outputs if out.get("name") == "stdout") for c in found}))
print(json.dumps([cell.id for cell in found if any(out.output_type == "error" for out in cell.outputs)]))
"""


def test_what_works_in_a_script_runs_again_in_the_notebook(system: System) -> None:
    helper = file("helper.py", "import sys\ndef main():\n    print('helped')\n    sys.exit()\n")
    last = python("print('last')\nraise SystemExit(3)")
    job, found = ended(system, helper, *(python(code) for code in RUN_AGAIN), last)
    assert found["reason"] == "step_failed" and found["steps"][-1]["exit_code"] == 3, found["detail"]
    told = cells(session(system, job))
    tagged = [name for name, one in told.items() if "raises-exception" in one["metadata"].get("tags", [])]
    end = f"step-{len(RUN_AGAIN) + 2}"
    assert tagged == [end], "who fails, fails again"
    files = [
        ("files", ("session.ipynb", io.BytesIO(system.zip(job).read("session.ipynb")))),
        ("files", ("helper.py", io.BytesIO(system.zip(job).read("workspace/helper.py")))),
    ]
    answer = system.http.post("/schedule", data={"steps": json.dumps([python(PRINTED)])}, files=files)
    again = answer.json()["job_id"]
    assert system.ended(again)["status"] == "completed", system.output(again)
    printed, failed = (json.loads(line) for line in system.output(again).splitlines()[-2:])
    assert printed == {"setup": "", end: "last\n"} | {
        f"step-{number}": text for number, text in enumerate(RUN_AGAIN.values(), 2)
    }
    assert failed == [end]


def test_the_notebook_is_written_as_the_job_goes(system: System) -> None:
    job = system.submit(steps=[python("print('one')"), python("print('two')\nimport time\ntime.sleep(600)")])
    system.says(job, "two\n")
    answer = system.http.get(f"/jobs/{job}/notebook")
    assert answer.headers["content-type"] == "application/x-ipynb+json"
    told = cells(answer.json())
    assert [told[name]["outputs"][0]["text"] for name in ("step-1", "step-2")] == ["one\n", "two\n"]
    assert "*python, running*" in told["step-2-title"]["source"]
    system.cancel(job)
    system.ended(job)
    assert cells(system.http.get(f"/jobs/{job}/notebook").json()).keys() == cells(session(system, job)).keys()


def test_there_is_a_notebook_on_every_ending(system: System, parked: System) -> None:
    job = parked.submit(steps=[python("1 + 1")])
    parked.cancel(job)
    parked.ended(job)
    assert list(cells(session(parked, job))) == ["job", "step-1"], "what did not run is no cell"
    job = system.submit(steps=[python("print('here')\nimport time\ntime.sleep(600)"), python("2")])
    system.says(job, "here\n")
    docker("rm", "-f", f"containerized-agent-{system.status(job)['sandbox']}")
    assert system.ended(job)["reason"] == "agent_lost"
    told = cells(session(system, job))
    assert told["step-1"]["outputs"][0]["text"] == "here\n" and told["step-2"]["cell_type"] == "markdown"


# ── a process of its own, where nobody could tell ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("steps", "kernel"),
    [
        ([python("import json, time\nprint('ready')\ntime.sleep(600)\nprint(json)")], False),
        ([shell("true"), python("print('ready')\nwhile True: pass")], False),
        ([python("print('ready')\nimport time; time.sleep(600)"), shell("true")], True),
        ([python("x = 1"), python("print('ready')\nimport time; time.sleep(600)")], True),
        ([python("import numpy\nprint('ready')\nimport time; time.sleep(600)")], True),
        ([python("print('ready')\nimport time; time.sleep(600)\n1 + 1")], True),
        ([python("print('ready')\nimport time; time.sleep(600)\ndisplay(1)\nNone")], True),
        ([python("print('ready')\n!sleep 600")], True),
    ],
)
def test_a_step_is_a_process_of_its_own_where_nobody_could_tell(
    system: System, steps: list[dict[str, Any]], kernel: bool
) -> None:
    job = system.submit(steps=steps)
    system.says(job, "ready")
    assert bool(kernels(system, job)) == kernel
    system.cancel(job)
    system.ended(job)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"kind": "python"}, "give code or file, not both"),
        ({"kind": "python", "code": "1", "file": "a.py"}, "give code or file, not both"),
        ({"kind": "python", "code": "1", "args": ["x"]}, "args need a file"),
        ({"kind": "python", "file": "../a.py"}, "inside the workspace"),
        ({"kind": "python", "file": "a.py", "args": ["x"] * 101}, "has too many items; the maximum is 100"),
    ],
)
def test_a_python_step_has_code_or_a_file(system: System, step: dict[str, Any], words: str) -> None:
    answer = system.http.post("/schedule", json={"steps": [step]})
    assert answer.status_code == 422 and words in answer.json()["detail"], answer.text


def test_a_script_that_is_not_there_fails_its_step(system: System) -> None:
    _, found = ended(system, {"kind": "python", "file": "missing.py"})
    assert found["reason"] == "step_failed" and "missing.py" in found["detail"]


def test_the_kernel_runs_in_little_memory(make_system: Callable[..., System]) -> None:
    system = make_system().start()
    _, found = ended(system, python("x = 1"), python("print(x)"), limits={"memory": "128m", "processes": 32})
    assert found["status"] == "completed", found


def test_no_event_of_a_result_has_more_than_its_shape(system: System) -> None:
    job, _ = ended(system, python("1 + 1"))
    events = [event for event in system.events(job) if event["event"] == "result"]
    assert [sorted(event["data"]) for event in events] == [["at", "data", "step"]]
    assert re.fullmatch(r"\d+", events[0]["data"]["data"]["text/plain"])
