"""What a script may do, a python step in the kernel does too: a table, and what takes more than a line of it."""

from __future__ import annotations

import pytest

from tests.support.notebook import cells, ended, session
from tests.support.steps import file, python, shell
from tests.support.system import System, docker

#: What a script does, what it prints, and its exit code. Each runs after another step, so in the kernel.
LIKE_SCRIPTS: dict[str, tuple[str, str, int]] = {
    "exit": ("import sys\nprint(1)\nsys.exit(3)", "1\n", 3),
    "exit well": ("import sys\nprint(1)\nsys.exit()\nprint(2)", "1\n", 0),
    "exit with words": ("import sys\nsys.exit('the reason')", "the reason\n", 1),
    "exit by name": ("exit(5)", "", 5),
    "exit code that wraps": ("raise SystemExit(-1)", "", 255),
    "main": ("def main():\n    print('main')\nif __name__ == '__main__':\n    main()", "main\n", 0),
    "argparse": (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--n', default=3)\nprint(p.parse_args().n)",
        "3\n",
        0,
    ),
    "file": ("print(open(__file__).read() == 'print(open(__file__).read() == ' + repr(1) + ')')", "False\n", 0),
    "threads": (
        "import threading\nt = threading.Thread(target=print, args=['thread'])\nt.start(); t.join()\nprint('end')",
        "thread\nend\n",
        0,
    ),
    "processes": (
        "from multiprocessing import Pool\ndef square(n):\n    return n * n\nif __name__ == '__main__':\n"
        "    with Pool(2) as pool:\n        print(pool.map(square, range(4)))",
        "[0, 1, 4, 9]\n",
        0,
    ),
    "futures": (
        "from concurrent.futures import ProcessPoolExecutor\ndef twice(n):\n    return 2 * n\n"
        "with ProcessPoolExecutor(2) as pool:\n    print(list(pool.map(twice, [1, 2])))",
        "[2, 4]\n",
        0,
    ),
    "fork": (
        "import os, sys\nif (pid := os.fork()) == 0:\n    print('child'); sys.stdout.flush(); os._exit(0)\n"
        "os.waitpid(pid, 0)\nprint('parent')",
        "child\nparent\n",
        0,
    ),
    "asyncio": (
        "import asyncio\nasync def work():\n    await asyncio.sleep(0.01)\n    return 'done'\n"
        "print(asyncio.run(work()))",
        "done\n",
        0,
    ),
    "await": ("import asyncio\nawait asyncio.sleep(0.01)\nprint('awaited')", "awaited\n", 0),
    "subprocess": (
        "import os, subprocess\nprint('one')\nsubprocess.run(['echo', 'two'])\nos.system('echo three >&2')\n"
        "print('four')",
        "one\ntwo\nthree\nfour\n",
        0,
    ),
    "order": (
        "import sys\nfor i in range(3):\n    print('out', i)\n    print('err', i, file=sys.stderr)",
        "out 0\nerr 0\nout 1\nerr 1\nout 2\nerr 2\n",
        0,
    ),
    "bytes": ("import sys\n_ = sys.stdout.buffer.write('ä\\n'.encode())\nprint('ö')", "ä\nö\n", 0),
    "a child that exits": (
        "import os, sys\nif (pid := os.fork()) == 0:\n    print('child')\n    sys.exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
        "child\n7\n",
        0,
    ),
    "a child that falls through": (
        "import os\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\nprint('parent' if pid else 'child')",
        "child\nparent\n",
        0,
    ),
    "a loop of its own": (
        "import asyncio\nasync def work():\n    return await asyncio.sleep(0.01, 'done')\n"
        "loop = asyncio.get_event_loop()\nprint(loop.run_until_complete(work()))\nloop.close()",
        "done\n",
        0,
    ),
    "a kind of exit": ("class Quit(SystemExit):\n    pass\nraise Quit(3)", "", 3),
    "a thread that goes on": (
        "import threading, time\ndef work():\n    time.sleep(0.5)\n    print('worked')\n"
        "threading.Thread(target=work).start()\nprint('begun')",
        "begun\nworked\n",
        0,
    ),
    "warnings": ("import warnings\nwarnings.warn('mind this')", "mind this", 0),
}


@pytest.mark.parametrize("name", LIKE_SCRIPTS)
def test_in_the_kernel_a_step_is_like_a_script(system: System, name: str) -> None:
    code, printed, exit_code = LIKE_SCRIPTS[name]
    job, found = ended(system, python("before = 1"), python(code))
    assert found["steps"][1]["exit_code"] == exit_code, found
    said = system.output(job, 2)
    assert said == printed or (name == "warnings" and printed in said)
    assert found["status"] == ("failed" if exit_code else "completed")


#: What a step may do to standard output and error; what it prints itself.
STREAMS = {
    "with": ("import sys\nwith sys.stdout as out:\n    _ = out.write('mine\\n')", "mine\n"),
    "a file, closed": ("import sys\nsys.stdout = open('log', 'w')\nprint('lost')\nsys.stdout.close()", ""),
    "a file, open": ("import sys\nsys.stdout = sys.stderr = open('log', 'w')\nprint('lost')", ""),
    "nothing": ("import sys\nsys.stdout = sys.stderr = None", ""),
    "closed": ("import sys\nsys.stderr.close()\nsys.stdout.close()", ""),
    "without flush": (
        "import sys\nclass Tee:\n    def __init__(self, to): self.to = to\n"
        "    def write(self, text): self.to.write(text.upper())\nsys.stdout = Tee(sys.stdout)\nprint('mine')",
        "MINE\n",
    ),
    "another encoding": (
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-8')\nprint('mine')",
        "mine\n",
    ),
    "detached": ("import sys\n_ = sys.stdout.detach().write(b'mine\\n')", "mine\n"),
    "descriptors": ("import os\nos.close(1)\nos.close(2)", ""),
    "descriptors elsewhere": ("import os\nos.dup2(os.open('log', os.O_CREAT | os.O_WRONLY), 1)\nprint('lost')", ""),
}


@pytest.mark.parametrize("name", STREAMS)
def test_each_step_has_its_own_standard_output(system: System, name: str) -> None:
    code, printed = STREAMS[name]
    following = python("print('next')\n!echo child")
    job, found = ended(system, python("x = 1"), python(code), following, limits={"seconds": 30})
    assert found["status"] == "completed", found
    assert system.output(job, 2) == printed and system.output(job, 3).split() == ["next", "child"]


@pytest.mark.parametrize(
    "code",
    ["import builtins\nvars(builtins).clear()", "import ipykernel.kernelbase as base\nbase.json_clean = None"],
    ids=["no builtins", "no answer"],
)
def test_a_kernel_that_is_broken_ends_and_says_why(system: System, code: str) -> None:
    job, found = ended(system, python("x = 1"), python(code), limits={"seconds": 60})
    assert found["reason"] == "step_failed" and "The kernel's process has ended" in found["detail"], found
    assert "Error" in system.output(job, 2)


TAKEN = ("queue", "json", "random", "types", "code", "calendar", "enum", "socket", "asyncio", "email", "zmq")


def test_files_with_names_of_pythons_own_modules_do_no_harm_to_the_kernel(system: System) -> None:
    files = [file(f"{name}.py", f"mine = '{name}'\n") for name in TAKEN]
    last = [python("import numpy\nprint('fine')"), python("import json, queue\nprint(queue.Queue, json.loads('1'))")]
    job, found = ended(system, *files, *last)
    assert found["status"] == "completed", found
    assert system.output(job, len(files) + 1) == "fine\n"
    for name in ("json", "queue"):
        assert f"{name} of the workspace is not imported" in system.output(job, len(files) + 2)


@pytest.mark.parametrize("before", [python("x = 1"), shell("true")], ids=["kernel", "process"])
@pytest.mark.parametrize("mode", ["w", "r"])
def test_a_file_beside_the_source_is_refused_and_not_lost(system: System, before: dict[str, str], mode: str) -> None:
    code = f"from pathlib import Path\nopen(Path(__file__).parent / 'data.txt', '{mode}')\nprint('not reached')"
    _, found = ended(system, before, python(code))
    assert found["reason"] == "step_failed" and "not in /workspace" in found["detail"], found


def test_what_a_shell_step_writes_beside_its_source_is_refused(system: System) -> None:
    _, found = ended(system, shell('echo 1 > 1.txt\ncd "$(dirname "$0")"\nmkdir build'), shell("true"))
    assert found["reason"] == "step_failed" and "not in /workspace" in found["detail"], found


def test_a_file_that_is_missed_elsewhere_is_not_said_to_be_beside_the_source(system: System) -> None:
    _, found = ended(system, shell("awk '{print $0}' nothing.csv"))
    assert found["reason"] == "step_failed" and "not in /workspace" not in found["detail"], found


def test_a_step_waits_for_its_timers(system: System) -> None:
    code = "import threading\nthreading.Timer(0.5, lambda: print('rang')).start()"
    job, _ = ended(system, python("x = 1"), python(code))
    assert system.output(job, 2) == "rang\n"


def test_what_a_step_starts_is_asked_for_no_colours(system: System) -> None:
    code = "import subprocess\nprint(int(subprocess.check_output(['node', '-p', '1 + 1'])))"
    job, found = ended(system, python("x = 1"), python(code))
    assert found["status"] == "completed" and system.output(job, 2) == "2\n"


def test_joblib_works_in_one_step_after_the_other(system: System) -> None:
    code = "from joblib import Parallel, delayed\nprint(Parallel(n_jobs=2)(delayed(abs)(n) for n in [-1, -2]))"
    job, found = ended(system, *[python(code)] * 4)
    assert found["status"] == "completed", found
    assert [system.output(job, number) for number in range(1, 5)] == ["[1, 2]\n"] * 4


@pytest.mark.parametrize("ask", ["input('name? ')", "import getpass\ngetpass.getpass()"])
def test_who_asks_for_input_is_told_that_nobody_answers(system: System, ask: str) -> None:
    job, found = ended(system, python("x = 1"), python(f"try:\n    x\nfinally:\n    pass\n{ask}"))
    assert found["steps"][1]["exit_code"] == 1
    assert "there is nobody to answer: a job has no terminal" in found["detail"]
    assert system.output(job).rstrip().splitlines()[-1].startswith("EOFError: ")


def test_what_python_warns_of_in_a_source_is_said_once(system: System) -> None:
    job, _ = ended(system, python("x = 1"), python("print('\\d')"))
    assert system.output(job, 2).count("SyntaxWarning") == 1


def test_an_error_has_its_line_also_below_empty_ones(system: System) -> None:
    job, _ = ended(system, python("x = 1"), python("\n\n\nx = 2\n1 / 0"))
    assert 'step-2.py", line 5, in <module>' in system.output(job, 2)


def test_pip_that_fails_fails_its_step(system: System) -> None:
    job, found = ended(system, python("x = 1"), python("%pip install nosuchpackage12345\nprint('not reached')"))
    assert (found["reason"], found["steps"][1]["exit_code"]) == ("step_failed", 1)
    assert "pip has ended with exit code 1" in system.output(job, 2) and "not reached" not in system.output(job, 2)


def test_processes_that_are_spawned_work_in_each_step(system: System) -> None:
    spawn = """
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(pool.map(abs, [-1]))
"""
    server = spawn.replace('"spawn"', '"forkserver"')
    joblib = "from joblib import Parallel, delayed\nprint(Parallel(n_jobs=2)(delayed(abs)(n) for n in [-1, -2]))"
    job, found = ended(system, *(python(code) for code in (spawn, joblib, server, spawn, joblib, server)))
    assert found["status"] == "completed", found
    assert [system.output(job, number) for number in range(1, 7)] == ["[1]\n", "[1, 2]\n", "[1]\n"] * 2


def test_a_module_that_was_changed_is_imported_anew(system: System) -> None:
    steps = [
        file("calc.py", "from deep import rows\ntotal = sum(rows) / 0 if rows == [1] else sum(rows)\n"),
        file("deep/__init__.py", "from deep.data import rows\n"),
        file("deep/data.py", "rows = [1]\n"),
        python("try:\n    from calc import total\nexcept ZeroDivisionError:\n    print('broken')"),
        file("deep/data.py", "rows = [2]\n"),
        python("from calc import total; import deep; print(total); kept = deep"),
        python("import deep; print(deep is kept)"),
    ]
    job, found = ended(system, *steps)
    assert found["status"] == "completed", found
    assert [system.output(job, number) for number in (4, 6, 7)] == ["broken\n", "2\n", "True\n"]


def test_pip_and_shell_lines_work_and_an_uninstalled_package_can_be_built(system: System) -> None:
    job, found = ended(system, python("x = 1"), python("!echo from the shell\n%pip --version"))
    assert found["status"] == "completed", found
    assert "from the shell" in system.output(job, 2) and "pip " in system.output(job, 2)


def test_what_is_written_is_in_its_files_when_the_next_step_begins(system: System) -> None:
    code = "import csv\nout = open('table.csv', 'w', newline='')\n_ = csv.writer(out).writerow([1, 2])"
    job, found = ended(system, python(code), shell("cat table.csv"))
    assert found["status"] == "completed" and system.output(job, 2) == "1,2\n".replace("\n", "\r\n")


def test_what_is_to_be_done_at_the_exit_is_done_before_packing(system: System) -> None:
    code = "import atexit\nfrom pathlib import Path\natexit.register(Path('left.txt').write_text, 'at the exit')"
    job, _ = ended(system, python(code), python("atexit.register(print, 'goodbye')\nNone"))
    assert system.zip(job).text("left.txt") == "at the exit"
    assert system.output(job, 2) == "goodbye\n"


def test_what_threads_and_exits_do_is_done_before_packing(system: System) -> None:
    code = """
import atexit, time
from concurrent.futures import ThreadPoolExecutor
def work(n):
    time.sleep(2)
    open(f'{n}.txt', 'w').write('done')
pool = ThreadPoolExecutor(1)
for n in range(3):
    _ = pool.submit(work, n)
atexit.register(work, 'exit')
None
"""
    job, found = ended(system, python("x = 1"), python(code), outputs=["[0-2].txt", "exit.txt"])
    assert found["status"] == "completed", found
    assert [system.zip(job).text(f"{n}.txt") for n in (0, 1, 2, "exit")] == ["done"] * 4


def test_what_is_left_to_do_at_the_exit_has_the_time_of_the_job_and_no_more(system: System) -> None:
    code = "import atexit, time\natexit.register(time.sleep, 600)\nNone"
    job, found = ended(system, python("x = 1"), python(code), limits={"seconds": 4})
    assert found["status"] == "completed", found
    assert "the kernel was killed: what was left to do at its end" in system.output(job, 2)


def test_an_interrupt_ends_the_waiting_for_a_steps_threads(system: System) -> None:
    code = """
import os, threading, time
def wait():
    while not os.path.exists('go'):
        time.sleep(0.05)
threading.Thread(target=wait).start()
print('pid', os.getpid())
"""
    job = system.submit(steps=[python("x = 1"), python(code), shell("touch go"), python("print(x)")])
    system.says(job, "pid ")
    pid = system.output(job, 2).split()[1]
    sandbox = f"containerized-agent-{system.status(job)['sandbox']}"
    docker("exec", "--detach", "-u", "10001:10001", sandbox, "bash", "-c", f"kill -INT {pid}")
    system.completed(job)
    assert system.output(job, 4) == "1\n"


def test_a_progress_bar_is_one_line_in_the_end(system: System) -> None:
    code = """
import sys, time
for done in range(5001):
    print(f"\\r{done / 50:5.1f} % of the work", end="", file=sys.stderr)
    if done % 500 == 0:
        time.sleep(0.05)
print("\\ndone")
"""
    job, found = ended(system, python("x = 1"), python(code))
    assert found["status"] == "completed"
    stream = cells(session(system, job))["step-2"]["outputs"][0]["text"]
    assert stream == "100.0 % of the work\ndone\n"
    assert system.zip(job).output_log.endswith("100.0 % of the work\ndone\n")
    printed = system.output(job, 2)
    assert printed.count("\r") < 200, "what is redrawn within a tenth of a second is told once"


def test_tqdm_does_not_become_ten_thousand_lines(system: System) -> None:
    code = "from tqdm import tqdm\nfor _ in tqdm(range(10_000), mininterval=0):\n    pass\nprint('done')"
    job, found = ended(system, python("x = 1"), python(code))
    assert found["status"] == "completed"
    lines = cells(session(system, job))["step-2"]["outputs"][0]["text"].splitlines()
    assert len(lines) == 2 and lines[0].startswith("100%|") and lines[1] == "done"
    assert system.output(job, 2).count("\r") < 200


def test_ten_megabytes_of_prints_are_cut_with_a_marker(system: System) -> None:
    job, found = ended(system, python("x = 1"), python("for i in range(100_000):\n    print('x' * 99)"))
    assert found["steps"][1]["output_bytes"] == 10_000_000
    assert "bytes of output are left out here" in system.output(job)
    assert "bytes of output are left out here" in cells(session(system, job))["step-2"]["outputs"][0]["text"]
