"""The steps of a job: what runs, what it prints, and how it ends. On real containers, through the front door."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import System

from protocol import messages


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"kind": "shell", "script": script, **more}


def python(code: str, **more: Any) -> dict[str, Any]:
    return {"kind": "python", "code": code, **more}


def file(path: str, content: str) -> dict[str, Any]:
    return {"kind": "file", "path": path, "content": content}


def test_steps_run_one_after_the_other_and_see_each_others_files(system: System) -> None:
    job = system.submit(
        steps=[
            file("lib/greet.py", "def greet(name):\n    return f'Hello, {name}!'\n"),
            shell("echo Ada > name.txt"),
            python("from lib.greet import greet\nprint(greet(open('name.txt').read().strip()))"),
        ],
        outputs=["lib/*.py", "*.txt"],
    )
    found = system.completed(job)
    assert [step["status"] for step in found["steps"]] == ["completed"] * 3
    assert [step["exit_code"] for step in found["steps"]] == [0, 0, 0]
    assert found["progress"] == {"done": 3, "of": 3}
    assert system.output(job) == "Hello, Ada!\n"
    artifact = system.zip(job)
    assert artifact.paths == {"lib/greet.py", "name.txt"}
    assert not found["artifact"]["partial"]
    assert "=== step 3 of 3:" in artifact.output_log


def test_the_order_of_stdout_and_stderr_is_kept(system: System) -> None:
    job = system.shell("for i in 1 2 3 4 5; do echo out$i; echo err$i >&2; done")
    system.completed(job)
    assert system.output(job) == "".join(f"out{i}\nerr{i}\n" for i in range(1, 6))


def test_output_comes_while_the_step_still_runs(system: System) -> None:
    job = system.python("print('ready')\nimport time\ntime.sleep(600)")
    system.says(job, "ready")
    assert system.status(job)["phase"] == "python"
    assert system.cancel(job).status_code == 200
    system.ended(job)


def test_a_chatty_step_makes_few_events_and_loses_nothing(system: System) -> None:
    job = system.python("import time\nfor i in range(600):\n    print(i, flush=True)\n    time.sleep(0.003)")
    found = system.completed(job)
    events = [event for event in system.events(job) if event["event"] == "output"]
    assert "".join(event["data"]["text"] for event in events) == "".join(f"{i}\n" for i in range(600))
    assert len(events) <= 12 * found["timings"]["working"] + 3


def test_a_failing_step_ends_the_job_and_later_ones_are_skipped(system: System) -> None:
    job = system.submit(steps=[shell("echo kept > kept.txt; echo the reason >&2; exit 7"), shell("touch never.txt")])
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "step_failed")
    assert "exit code 7" in found["detail"] and "the reason" in found["detail"]
    assert [step["status"] for step in found["steps"]] == ["failed", "skipped"]
    assert [step["exit_code"] for step in found["steps"]] == [7, None]
    artifact = system.zip(job)
    assert artifact.paths == {"kept.txt"}
    assert artifact.manifest["partial"] and artifact.manifest["status"] == "failed"
    assert "step_failed" in artifact.report


@pytest.mark.parametrize(
    ("script", "code"),
    [("false; echo not reached", 1), ("false | true; echo not reached", 1), ("kill -TERM $$", 143), ("exit 255", 255)],
)
def test_a_shell_step_ends_at_its_first_failure(system: System, script: str, code: int) -> None:
    job = system.shell(script)
    found = system.ended(job)
    assert (found["reason"], found["steps"][0]["exit_code"]) == ("step_failed", code)
    assert "not reached" not in system.output(job)


def test_a_python_traceback_shows_the_line(system: System) -> None:
    job = system.python("values = {}\nvalues['missing']  # here\n")
    assert "KeyError: 'missing'" in system.ended(job)["detail"]
    assert "values['missing']  # here" in system.output(job)


def test_too_much_output_is_cut_with_a_marker_that_says_how_much(system: System) -> None:
    job = system.python("import sys\n_ = sys.stdout.write('begin\\n' + 'x' * 5_000_000 + '\\nend\\n')")
    found = system.completed(job)
    text = system.output(job)
    assert text.startswith("begin\n") and text.endswith("\nend\n")
    left_out = 5_000_011 - messages.OUTPUT_HEAD - messages.OUTPUT_TAIL
    assert f"[… {left_out:,} bytes of output are left out here …]" in text
    assert found["steps"][0]["output_bytes"] == 5_000_011
    assert len(text) < messages.OUTPUT_HEAD + messages.OUTPUT_TAIL + 1000
    assert text.split("===\n")[-1] in system.zip(job).output_log


def test_the_output_of_many_steps_together_is_bounded(system: System) -> None:
    steps = [python("print('x' * 1_000_000); print('end')") for _ in range(14)]
    job = system.submit(steps=steps)
    system.completed(job)
    text = system.output(job)
    assert len(text) < messages.OUTPUT_JOB + len(steps) * (messages.OUTPUT_TAIL + 1000)
    assert text.count("end\n") == len(steps)
    assert "bytes of output are left out here" in text


def test_output_that_is_no_text_does_no_harm(system: System) -> None:
    job = system.submit(
        steps=[
            shell(r"printf 'a\xff\xfeb\n'"),
            shell("head -c 300000 /dev/urandom"),
            python("print('y' * 1_000_000, end='')"),
            python("import sys\nsys.stdout.buffer.write('ä'.encode()[:1]); sys.stdout.flush()"),
            shell(r"printf '\0\033[31mred\033[0m\r\n'"),
            shell("echo fine"),
        ]
    )
    found = system.completed(job)
    assert system.output(job, 1) == "a��b\n"
    assert found["steps"][1]["output_bytes"] == 300_000
    assert system.output(job, 3) == "y" * 1_000_000
    assert system.output(job, 4) == "�"
    assert system.output(job, 5) == "\0\033[31mred\033[0m\r\n"
    assert system.output(job, 6) == "fine\n"


def test_a_character_that_is_printed_in_two_parts_is_one(system: System) -> None:
    code = "import sys, time\nfor b in 'ä€😀'.encode():\n    sys.stdout.buffer.write(bytes([b]))\n"
    job = system.python(code + "    sys.stdout.flush()\n    time.sleep(0.15)")
    system.completed(job)
    assert system.output(job) == "ä€😀"


def test_a_step_that_reads_its_input_meets_the_end_of_it(system: System) -> None:
    found = system.run(steps=[shell("cat; read x || echo nothing"), python("try:\n    input()\nexcept EOFError: pass")])
    assert found["status"] == "completed", found


def test_what_a_step_leaves_running_ends_with_it(system: System) -> None:
    job = system.submit(
        steps=[
            shell("setsid bash -c 'trap \"\" TERM HUP; while true; do date +%N > beat; sleep 0.02; done' & sleep 0.2"),
            shell('ls beat; a=$(cat beat); sleep 0.3; b=$(cat beat); test "$a" = "$b"'),
        ]
    )
    system.completed(job)


def test_a_background_step_lasts_until_packing(system: System) -> None:
    wait = "import time, urllib.request as u\n"
    wait += (
        "for _ in range(500):\n    try:\n        print(u.urlopen('http://127.0.0.1:8765/hello.txt').read()); break\n"
    )
    wait += "    except OSError: time.sleep(0.02)\nelse: raise SystemExit('no server')\n"
    job = system.submit(
        steps=[
            file("hello.txt", "hello"),
            shell("python -m http.server 8765 --bind 127.0.0.1 > /dev/null 2>&1", background=True),
            python(wait),
            python(wait),
        ]
    )
    found = system.completed(job)
    assert system.output(job) == "b'hello'\n" * 2
    assert found["steps"][1]["status"] == "completed" and "until packaging" in found["steps"][1]["detail"]


def test_a_background_step_that_breaks_down_fails_the_job(system: System) -> None:
    job = system.submit(steps=[shell("echo no port >&2; exit 3", background=True), shell("sleep 0.3; echo on")])
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "step_failed")
    assert "exit code 3" in found["detail"] and "no port" in found["detail"]


def test_the_check_decides(system: System) -> None:
    bad = system.submit(steps=[shell("echo 41 > answer")], check="echo looking; grep -q 42 answer")
    good = system.submit(steps=[shell("echo 42 > answer")], check="grep -q 42 answer")
    found = system.ended(bad)
    assert (found["status"], found["reason"]) == ("failed", "check_failed")
    assert (found["check"]["status"], found["check"]["exit_code"]) == ("failed", 1)
    assert "looking" in system.zip(bad).output_log
    found = system.completed(good)
    assert found["check"]["exit_code"] == 0


def test_a_declared_output_that_is_not_there_fails_the_job(system: System) -> None:
    found = system.run(steps=[shell("touch report.txt")], outputs=["report.txt", "charts/**/*.png"])
    assert (found["status"], found["reason"]) == ("failed", "check_failed")
    assert "charts/**/*.png" in found["detail"]


@pytest.mark.parametrize(
    ("script", "output", "words"),
    [
        (
            "echo 1 > /tmp/out.csv; ln -s /tmp/out.csv result.csv",
            "result.csv",
            "'result.csv' is a link to '/tmp/out.csv'",
        ),
        ("ln -s nowhere result.csv", "*.csv", "which is not in the ZIP: copy it there"),
        ("mkdir -p charts/empty", "charts", "No file in the workspace matches"),
    ],
)
def test_a_link_to_elsewhere_and_an_empty_folder_are_no_output(
    system: System, script: str, output: str, words: str
) -> None:
    found = system.run(steps=[shell(script)], outputs=[output])
    assert (found["status"], found["reason"]) == ("failed", "check_failed") and words in found["detail"]


def test_a_folder_with_files_and_links_to_what_is_there_are_outputs(system: System) -> None:
    script = "mkdir a; echo 1 > a/x; ln -s a b; ln -s a/x c; ln -s c d; ln -s /workspace/a/x e; mkdir f; ln -s ../c f/g"
    job = system.submit(steps=[shell(script)], outputs=["a", "b", "c", "d", "e", "f/*", "f"])
    system.completed(job)


def test_a_declared_output_with_brackets_in_its_name_is_itself(system: System) -> None:
    names = ["app/[id]/page.tsx", "report [final].pdf"]
    job = system.submit(
        steps=[shell("mkdir -p 'app/[id]'; tee 'app/[id]/page.tsx' 'report [final].pdf'")], outputs=names
    )
    system.completed(job)
    assert system.zip(job).paths >= set(names)


def test_a_step_that_needs_a_network_is_told_which_field_to_set(system: System) -> None:
    found = system.run(steps=[python("import urllib.request\nurllib.request.urlopen('http://example.com')")])
    assert found["reason"] == "step_failed"
    assert '"network": "internet"' in found["detail"]


def test_the_tools_that_people_expect_are_there(system: System) -> None:
    names = "numpy pandas matplotlib sklearn requests bs4 PIL openpyxl tqdm ipykernel jupyterlab"
    tools = "git curl zip gcc make node npm tini python3"
    chart = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.savefig('chart.png')\n"
    job = system.submit(
        steps=[
            python(f"import {', '.join(names.split())}\n{chart}"),
            shell(f"for t in {tools}; do command -v $t; done"),
        ],
        outputs=["chart.png"],
    )
    system.completed(job)


def test_a_job_can_install_and_remove_packages_of_its_own_environment(system: System) -> None:
    script = "test -w /opt/venv/lib && pip --version && pip uninstall -y -q openpyxl && ! python -c 'import openpyxl'"
    found = system.run(steps=[shell(script)])
    assert found["status"] == "completed", found


def test_a_step_as_large_as_allowed_runs(system: System) -> None:
    filler = "# " + "x" * 490_000 + "\n"
    found = system.run(
        steps=[shell(filler + "echo ok"), python(filler + "print('ok')"), file("big.txt", "z" * 500_000)]
    )
    assert found["status"] == "completed", found


def test_a_removed_workspace_does_not_stop_the_ending(system: System) -> None:
    job = system.submit(steps=[shell("rm -rf /workspace/* /home/user/* /tmp/*; echo gone")])
    system.completed(job)
    assert system.zip(job).paths == set()
