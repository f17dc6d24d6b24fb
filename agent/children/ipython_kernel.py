"""The kernel: the process that runs a job's python steps as cells of one notebook. It runs as the job's user.

    python -P ipython_kernel.py FD TEXT PICTURE VIEWER

It runs in the users' environment, so it cannot import the agent's package. FD is a socket to the agent, with one JSON
object per line. TEXT and PICTURE limit the characters and bytes of one part of a result. VIEWER limits the characters
of all results of a viewer's cell. Messages from the agent:

    {"run": number, "source": text}   run a step, whose file is in SOURCES: {"begun": true} is the first answer, and
                                      the last one is
                                      {"ended": exit code, "error": [name, message] or null, "spared": [pid]}
    {"heard": true}                   a result is stored: later output comes after it
    {"exit": true}                    exit as a script does, with all exit handlers

Other messages to the agent: {"result": {kind: text}, "file": path, "id": text}; and for a cell that a viewer ran,
{"viewer": {"source": text, "printed": text, "results": [{kind: text}], "error": [name, message] or null}}. A step's
output goes to file descriptors 1 and 2, a pipe to the agent, as in any process. The output of a viewer's cell goes to
the viewer.

A thread sends steps to the kernel through its shell socket, as any client does, so attached viewers see them run. If
notebooks and scripts differ in behaviour, a step behaves as in a script.
"""

from __future__ import annotations

import os
import sys

# A workspace file may have the name of a module that the kernel needs. So the workspace joins the path after the kernel
# has started.
sys.path[:] = [folder for folder in sys.path if folder != os.getcwd()]

import ast  # noqa: E402
import asyncio  # noqa: E402
import base64  # noqa: E402
import builtins  # noqa: E402
import codeop  # noqa: E402
import functools  # noqa: E402
import gc  # noqa: E402
import importlib  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
import traceback  # noqa: E402
import types  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable, Iterator, Mapping  # noqa: E402
from contextlib import ExitStack, contextmanager, nullcontext, suppress  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

#: Importing a debugger would take a fifth of the start-up time. A later import still works.
sys.modules["debugpy"] = None  # type: ignore[assignment]
import zmq  # noqa: E402
from ipykernel.compiler import XCachingCompiler  # noqa: E402
from ipykernel.displayhook import ZMQShellDisplayHook  # noqa: E402
from ipykernel.iostream import OutStream  # noqa: E402
from ipykernel.ipkernel import IPythonKernel  # noqa: E402
from ipykernel.kernelapp import IPKernelApp  # noqa: E402
from ipykernel.zmqshell import ZMQDisplayPublisher, ZMQInteractiveShell  # noqa: E402
from IPython.core.error import UsageError  # noqa: E402
from IPython.core.inputtransformer2 import leading_empty_lines  # noqa: E402
from jupyter_client.session import Session  # noqa: E402
from result_pages import WIDGET, Pages, for_notebook, is_load, widgets  # noqa: E402
from traitlets import Type  # noqa: E402

FOLDER = Path.home() / "kernel"
SOURCES = Path("/run/steps")  # the agent stores the steps' sources here
WORKSPACE = Path.cwd()

#: Seconds to wait for the agent to confirm a result. It confirms at once, but only while a step runs.
HEARD_SECONDS = 5.0

#: Seconds that a viewer's cell may delay a step.
VIEWERS_SECONDS = 10

#: Stored bytes of the output of programs that a viewer's cell starts.
APART_BYTES = 100_000

#: Helper processes of multiprocessing and joblib. They track shared resources, so they survive from step to step.
TRACKERS = ("multiprocessing.resource_tracker", "joblib.externals.loky.backend.resource_tracker")

#: Maximum results sent for a viewer's cell. The last one then states how many are left out.
VIEWED = 20

#: Stored representations of a result: texts and pictures, and the file suffixes of pictures.
TEXTS = (
    "text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml", "application/javascript",
    "application/json", "application/geo+json", "application/vnd.plotly.v1+json", "application/vnd.vega.v5+json",
    "application/vnd.vega.v6+json", "application/vnd.vega.v6.json", "application/vnd.vegalite.v4+json",
    "application/vnd.vegalite.v5+json", "application/vnd.vegalite.v6+json", "application/vnd.vegalite.v6.json",
    "application/vnd.jupyter.widget-view+json",
)  # fmt: skip
WIDGETS = "application/vnd.jupyter.widget-state+json"
PICTURES = {"image/png": "png", "image/jpeg": "jpg"}

#: Python's builtins. A step can remove or replace them for the whole process.
BUILTINS = dict(vars(builtins))

NOBODY = "there is nobody to answer: a job has no terminal. Give it what it needs as files or inputs."


class Steps:
    """Runs the steps of the job as cells, and reports to the agent."""

    def __init__(self, fd: int, text: int, picture: int, of_viewer: int) -> None:
        self._text, self._picture, self.of_viewer = text, picture, of_viewer
        self._agent = socket.socket(fileno=fd)
        self._printed = os.dup(2)  # to the agent, even while a viewer's cell redirects output
        self.spared: list[int] = []  # processes that survive the step
        self._modules: dict[str, tuple[int, int]] = {}  # imported workspace files, with their state at import
        self._loaded: dict[str, types.ModuleType] = {}  # the modules before the running step
        self._sending = threading.Lock()
        self._heard = threading.Event()
        self.current: str | None = None  # the file of the running step
        self.viewer: Viewed | None = None  # the running viewer's cell
        self.others = False  # whether the running cell is not a step's
        self.turn = threading.Lock()  # prevents an interrupt for a viewer's cell that has just ended
        self.session = ""  # of the thread that drives the kernel
        self.viewers: dict[str, OutStream] = {}  # standard output and error of viewers' cells
        self._streams: dict[str, Printed] = {}  # the same for steps, as originally set
        self._figures = 0
        self._pages = Pages()
        self._widgets: list[str] = []  # the ids of the shown widgets
        self._widgets_told = self._widgets_page = ""  # their last known state, and its page

    # ── on the thread that drives the kernel ─────────────────────────────────────────────────────────────────────

    def drive(self, app: IPKernelApp) -> None:
        """Execute the agent's messages until it disconnects. A second thread runs the steps."""
        with self.or_end():
            session = Session(key=app.session.key)
            self.session = session.session
            door = zmq.Context().socket(zmq.DEALER)
            door.connect(f"{app.transport}://{app.ip}-{app.shell_port}")
            for line in self._agent.makefile("rb"):
                told = json.loads(line)
                if "run" in told:
                    threading.Thread(target=self._run, args=(session, door, told["run"], told["source"])).start()
                elif "exit" in told:
                    app.io_loop.add_callback(app.io_loop.stop)
                    self._interrupt_others("")
                else:
                    self._heard.set()

    def _run(self, session: Session, door: Any, number: int, source: str) -> None:
        with self.or_end():
            self._run_cell(session, door, f"{SOURCES}/step-{number}.py", source)

    def _run_cell(self, session: Session, door: Any, path: str, source: str) -> None:
        # a failed viewer's cell aborts the waiting requests, so the step is requested again
        content = {"code": source, "allow_stdin": False, "stop_on_error": False}
        status = "aborted"
        while status == "aborted":
            session.send(door, "execute_request", content, metadata={"step": path})
            idle = False
            while not door.poll(VIEWERS_SECONDS * 1000):
                if idle and self.idle:
                    raise RuntimeError("the kernel does nothing, and gives no answer")
                idle = self.idle
                self._interrupt_others(
                    f"[a viewer's cell kept this step waiting for {VIEWERS_SECONDS} s: interrupted]\n"
                )
            _, frames = session.feed_identities(door.recv_multipart())
            reply = session.deserialize(frames)["content"]
            status = reply["status"]
        error = [reply["ename"], reply["evalue"]] if status == "error" else None
        self._send({"ended": self.code(error), "error": error, "spared": self.spared})

    @contextmanager
    def or_end(self) -> Iterator[None]:
        """Exit on an error and print it, because otherwise the agent would wait without an answer."""
        try:
            yield
        except Exception as error:
            try:
                os.write(self._printed, traceback.format_exc().encode())
            except Exception:
                os.write(self._printed, f"{type(error).__name__}: {error}\n".encode())
            finally:
                os._exit(os.EX_SOFTWARE)

    def _interrupt_others(self, why: str) -> None:
        """Interrupt a viewer's cell for which a step waits."""
        with self.turn:
            if self.others:
                os.write(self._printed, why.encode())
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # ── on the kernel's own thread, and those of its steps ───────────────────────────────────────────────────────

    def begin(self, path: str, source: str) -> None:
        """Begin a step. Changed workspace modules are imported again, as in the next script."""
        self._send({"begun": True})
        self.current, self.exited = path, None
        self._loaded = dict(sys.modules)
        importlib.invalidate_caches()
        loaded = _of_workspace()
        if any(self._modules.get(file, now) != now for file, now in loaded.values()):
            for name in loaded:
                del sys.modules[name]
        for name in _taken(source):
            said = f"[… {name} of the workspace is not imported: the kernel uses another module {name}. Rename it …]\n"
            os.write(self._printed, said.encode())

    def end(self) -> None:
        """End a step. Wait for its threads, as a script does."""
        self.mend()
        self.send_widgets()
        with suppress(KeyboardInterrupt):  # an interrupt ends the waiting
            for thread in threading.enumerate():
                if not thread.daemon and thread is not threading.current_thread() and _is_users(thread):
                    thread.join()
        if server := getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None):
            server._forkserver_pid = None  # noqa: SLF001 - it ends with the step; the next use starts another one
        if executor := getattr(sys.modules.get("joblib.externals.loky.reusable_executor"), "_executor", None):
            with suppress(Exception):
                executor.shutdown(kill_workers=True)  # the same
        _end_pools()
        trackers = (getattr(sys.modules.get(name), "_resource_tracker", None) for name in TRACKERS)
        self.spared = [pid for tracker in trackers if (pid := getattr(tracker, "_pid", None))]
        self.renew_streams()
        _flush_files()
        self._modules.update(_of_workspace().values())
        self.current = None

    def mend(self) -> None:
        """Restore what the kernel needs of Python: builtins that cannot be called any more, and cleared modules."""
        usable = BUILTINS["callable"]
        for name, value in BUILTINS.items():
            if usable(value) and not usable(builtins.__dict__.get(name)):
                builtins.__dict__[name] = value
        if sys.modules.get("sys") is not sys:
            sys.modules.update(self._loaded)

    def renew_streams(self) -> None:
        """Give the next step fresh standard output and error, whatever the last step assigned to them."""
        for number, name in ((1, "stdout"), (2, "stderr")):
            with suppress(Exception):  # it may be closed, or have no flush
                getattr(sys, name).flush()
                if os.path.sameopenfile(number, self._printed) and getattr(sys, name) is self._streams.get(name):
                    continue
            os.dup2(self._printed, number)
            self._streams[name] = Printed(number, getattr(sys, f"__{name}__"), self.viewers[name])
            setattr(sys, name, self._streams[name])

    @property
    def idle(self) -> bool:
        """Return whether no step and no viewer's cell runs."""
        return self.current is None and not self.others

    def is_mine(self, parent: Mapping[str, Any]) -> bool:
        """Return whether the running code belongs to a step, not to a viewer."""
        return bool(self.session) and parent.get("session") == self.session

    def send_result(self, data: Mapping[str, Any], display_id: str = "") -> None:
        """Send a result of the step to the agent, and wait for its confirmation."""
        file = ""
        with suppress(Exception):
            if not PICTURES.keys() & data.keys() and (picture := self._pages.picture(data)):
                data = {**data, "image/png": picture}
        for kind, suffix in PICTURES.items():
            if kind in data:
                file = self._save(_picture(data[kind]), suffix)
                break  # other representations show the same picture
        with suppress(Exception):
            file = self._save(self._pages.page(data, WORKSPACE / "figures", self._text).encode(), "html") or file
        if isinstance(view := data.get(WIDGET), dict):
            self._widgets.append(str(view.get("model_id")))
        if is_load(data):  # its pages contain it, and a notebook needs it only if it is small
            data = {kind: part for kind, part in data.items() if len(str(part)) <= self._text}
        with suppress(Exception):
            data = for_notebook(data)
        kept = self.bounded(data, file)
        if kept or file:
            self._tell_result(kept, file, display_id)

    def send_widgets(self) -> None:
        """Send the state of the shown widgets after a step, and save a page of them."""
        with suppress(Exception):
            state, page = widgets(self._widgets)
            text = json.dumps(_strict(state))
            if state and text != self._widgets_told:
                self._widgets_told = text
                first = not self._widgets_page
                self._widgets_page = self._widgets_page or self._save(page.encode(), "html")
                if not first:
                    (WORKSPACE / self._widgets_page).write_text(page, "utf-8")
                kept = {WIDGETS: text} if len(text) <= self._text else {}
                self._tell_result(kept, self._widgets_page if first else "", "")

    def _tell_result(self, kept: dict[str, str], file: str, display_id: str) -> None:
        self._heard.clear()
        self._send({"result": kept, "file": file, "id": display_id})
        self._heard.wait(HEARD_SECONDS)

    def bounded(self, data: Mapping[str, Any], file: str = "") -> dict[str, str]:
        """Return the part of a result within the limits. Notes replace dropped parts."""
        kept: dict[str, str] = {}
        notes: list[str] = []
        for kind in PICTURES:
            if kind in data:
                content = _picture(data[kind])
                if len(content) <= self._picture:
                    kept[kind] = base64.b64encode(content).decode()
                else:
                    where = f"is in {file} alone" if file else "is left out"
                    notes.append(f"a picture of {len(content):,} bytes {where}")
        for kind in TEXTS:
            if kind in data:
                text = data[kind] if isinstance(data[kind], str) else json.dumps(_strict(data[kind]))
                if len(text) <= self._text:
                    kept[kind] = text
                elif kind == "text/plain":
                    half = self._text // 3
                    left_out = len(text) - 2 * half
                    kept[kind] = f"{text[:half]}\n[… {left_out:,} characters are left out here …]\n{text[-half:]}"
                else:
                    where = f"is in {file} alone" if file.endswith(".html") else "is left out"
                    notes.append(f"{kind} of {len(text):,} characters {where}")
        if notes:
            kept["text/plain"] = "\n".join([kept.get("text/plain", ""), *(f"[… {note} …]" for note in notes)]).strip()
        return kept

    def viewed(self, cell: Viewed, error: list[str] | None) -> None:
        """Report a cell that a viewer ran to the agent."""
        printed, results = "".join(cell.printed), list(cell.results)
        if len(printed) > self._text:
            kept = self._text - 100
            printed = f"{printed[:kept]}\n[… {len(printed) - kept:,} characters are left out …]\n"
        if left_out := cell.shown - len(results):
            results.append({"text/plain": f"[… {left_out} results are left out …]"})
        told = {"source": cell.source[: self._text], "printed": printed, "results": results, "error": error}
        self._send({"viewer": told})

    def _save(self, content: bytes, suffix: str) -> str:
        """Save a picture or page under the next number. If this fails, only the notebook contains it."""
        with suppress(OSError):
            if content:
                (WORKSPACE / "figures").mkdir(exist_ok=True)
            while content:
                self._figures += 1
                name = f"figures/figure-{self._figures}.{suffix}"
                with suppress(FileExistsError), open(WORKSPACE / name, "xb") as file:
                    file.write(content)
                    return name
        return ""

    def code(self, error: list[str] | None) -> int:
        """Return the exit code of a script with this end."""
        if error is None:
            return 0
        return 1 if self.exited is None else _exit_code(self.exited.code)

    exited: SystemExit | None = None  # the step exited itself

    def _send(self, content: dict[str, Any]) -> None:
        with self._sending, suppress(OSError):  # the agent is gone, so exit too
            self._agent.sendall(json.dumps(content).encode() + b"\n")


class Viewed:
    """A cell that a viewer runs."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.printed: list[str] = []
        self.results: list[dict[str, str]] = []
        self.shown = 0  # results, including dropped ones

    def show(self, data: Mapping[str, Any]) -> None:
        self.shown += 1
        if self.shown < VIEWED:
            one = STEPS.bounded(data)
            if sum(len(part) for kept in (*self.results, one) for part in kept.values()) < STEPS.of_viewer:
                self.results.append(one)


STEPS: Steps


def _clean(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result whose JSON every reader accepts."""
    return {kind: _strict(part) if str(kind).endswith("json") else part for kind, part in dict(data).items()}


def _strict(value: Any) -> Any:
    """Return a value of JSON with null for NaN and infinities, as in JavaScript, and with text for other objects."""
    try:
        json.dumps(value, allow_nan=False)
        return value
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        return json.loads(json.dumps(value, default=str, skipkeys=True), parse_constant=lambda _: None)
    except (TypeError, ValueError, RecursionError):
        return None


def _picture(content: Any) -> bytes:
    return content if isinstance(content, bytes) else base64.b64decode(content)


def _exit_code(value: object) -> int:
    """Return the exit code for SystemExit as Python does, see sys.exit."""
    if value is None:
        return 0
    return value & 0xFF if isinstance(value, int) else 1


class Printed(io.TextIOWrapper):
    """Standard output or error. Output of a step goes to the process's own, output of a viewer's cell to the viewer."""

    def __init__(self, fd: int, like: io.TextIOWrapper, viewer: OutStream) -> None:
        file = io.FileIO(fd, "w", closefd=False)
        super().__init__(io.BufferedWriter(file), like.encoding, like.errors, write_through=True)
        self._viewer = viewer

    def write(self, text: str) -> int:
        if STEPS.current is None and threading.current_thread() is threading.main_thread():
            if STEPS.viewer and len(STEPS.viewer.printed) < 10_000:
                STEPS.viewer.printed.append(text)
            return int(self._viewer.write(text) or 0)
        written = super().write(text)
        super().flush()
        return written

    def set_parent(self, parent: Any) -> None:
        """Called by the kernel when a cell begins."""
        self._viewer.set_parent(parent)

    def flush(self) -> None:
        super().flush()
        if STEPS.current is None:
            self._viewer.flush()


class Compiler(XCachingCompiler):
    """Names a step's code after its file, so that tracebacks show its lines."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # a step is complete: Python names the open bracket instead of asking for more input
        self.flags &= ~codeop.PyCF_ALLOW_INCOMPLETE_INPUT  # type: ignore[attr-defined]

    def get_code_name(self, raw_code: str, code: str, number: int) -> str:
        return STEPS.current or str(super().get_code_name(raw_code, code, number))


class Displayed(ZMQDisplayPublisher):
    def publish(self, data: Any, metadata: Any = None, **more: Any) -> None:
        data = _clean(data)
        super().publish(data, metadata, **more)
        if STEPS.is_mine(self.parent_header):
            STEPS.send_result(data, str((more.get("transient") or {}).get("display_id", "")))
        elif STEPS.viewer:
            STEPS.viewer.show(data)


class Values(ZMQShellDisplayHook):
    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        super().write_format_data(_clean(format_dict), md_dict)

    def finish_displayhook(self) -> None:
        data = self.msg["content"]["data"] if self.msg else None
        super().finish_displayhook()
        if data and STEPS.is_mine(self.parent_header):
            STEPS.send_result(data)
        elif data and STEPS.viewer:
            STEPS.viewer.show(data)


class Shell(ZMQInteractiveShell):
    """Shows errors of a step as Python shows those of a script."""

    displayhook_class = Type(Values)
    display_pub_class = Type(Displayed)

    def init_environment(self) -> None:
        """Do nothing. A notebook's terminal settings would make programs print colour codes."""

    def init_user_ns(self) -> None:
        super().init_user_ns()
        self.user_ns["exit"] = self.user_ns["quit"] = sys.exit

    def init_magics(self) -> None:
        super().init_magics()
        self.input_transformer_manager.cleanup_transforms.remove(leading_empty_lines)  # lines keep their numbers
        pip = self.find_line_magic("pip")

        def checked(line: str) -> None:
            pip(line)
            if code := self.user_ns.get("_exit_code"):
                raise UsageError(f"pip has ended with exit code {code}")

        self.register_magic_function(checked, "line", "pip")

    def transform_cell(self, raw_cell: str) -> str:
        """Convert IPython's syntax to Python. A syntax error raises the same error as in a script."""
        try:
            return str(super().transform_cell(raw_cell))
        except Exception as error:
            if STEPS.current is None:
                raise
            raise self._as_in_script(raw_cell, error, STEPS.current) from None

    def _as_in_script(self, source: str, error: Exception, path: str) -> Exception:
        if isinstance(error, SyntaxError):
            error.filename = path  # unknown to the tokenizer
        try:
            with _no_warnings():
                compile(source, path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as plain:
            line = (plain.text or "").strip()
            with suppress(Exception):
                if super().transform_cell(line).strip() == line:  # otherwise Python stopped at a magic before the end
                    return plain
        except Exception as plain:
            return plain
        return error

    def mend(self) -> None:
        """Restore methods that a step replaced by something that cannot be called."""
        own = self.__dict__
        for name in [name for name in own if callable(getattr(type(self), name, None)) and not callable(own[name])]:
            del own[name]

    def should_run_async(self, *arguments: Any, **options: Any) -> bool:
        with _no_warnings(), suppress(Exception):  # the cell reports the error when it runs
            return bool(super().should_run_async(*arguments, **options))
        return False

    def awaits(self, code: str) -> bool:
        """Return whether a cell needs a running event loop. A cell that does not parse needs none."""
        with _no_warnings(), suppress(Exception):
            return self.should_run_async(code, transformed_cell=self.transform_cell(code))
        return False

    def showtraceback(self, exc_tuple: Any = None, *arguments: Any, **options: Any) -> None:
        if STEPS.current is None:
            super().showtraceback(exc_tuple, *arguments, **options)
            return
        kind, error, trace = self._get_exc_info(exc_tuple)
        if isinstance(error, SystemExit):
            STEPS.exited = error
            said = "" if error.code is None or isinstance(error.code, int) else f"{error.code}\n"
        elif isinstance(error, UsageError):
            said = f"UsageError: {error}\n"
        else:
            said = _words(error, trace)
        with suppress(Exception):  # a step may close it, as a script may
            print(said, end="", file=sys.stderr)
        self._showtraceback(kind, error, said.splitlines())  # for viewers, and for the answer

    def showsyntaxerror(self, *arguments: Any, **options: Any) -> None:
        if STEPS.current is None:
            super().showsyntaxerror(*arguments, **options)
        else:
            self.showtraceback()


def _words(error: BaseException, trace: types.TracebackType | None) -> str:
    """Return the message that Python prints for an error in a script, from the step's own code on."""
    while trace and trace.tb_frame.f_code.co_filename != STEPS.current:
        trace = trace.tb_next
    shown: traceback.TracebackException | None = traceback.TracebackException(type(error), error, trace)
    whole, link = shown, shown
    while link:
        frames = [frame for frame in link.stack if frame.filename != __file__]
        # Python prints the word "Traceback" only above frames
        link.stack = traceback.StackSummary.from_list(frames) if frames else None  # type: ignore[assignment]
        link = link.__cause__ or link.__context__
    return "".join(whole.format()) if whole else ""


class Kernel(IPythonKernel):
    """Runs steps as scripts, and viewers' cells as cells."""

    shell_class = Type(Shell)
    compiler_class = Type(Compiler)

    async def execute_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        with STEPS.or_end() if STEPS.is_mine(parent["header"]) else nullcontext():
            await super().execute_request(stream, ident, parent)

    async def do_execute(self, code: str, silent: bool, *arguments: Any, **options: Any) -> Any:
        header = self.get_parent("shell").get("header", {})
        if not STEPS.is_mine(header):
            STEPS.others = True
            try:
                return await self._viewers(code, silent, *arguments, **options)
            finally:
                while STEPS.others:
                    with suppress(KeyboardInterrupt), STEPS.turn:  # until then, an interrupt may arrive
                        STEPS.others = False
                STEPS.renew_streams()
        path = str(options["cell_meta"]["step"])
        sys.argv = [path]
        self.shell.user_ns["__file__"] = path
        loop, mine = asyncio.get_running_loop(), os.getpid()
        STEPS.begin(path, code)
        if not self.shell.awaits(code):
            # asyncio works as in a script, because this loop is stopped during the step
            asyncio._set_running_loop(None)  # noqa: SLF001
            if self._other_loop is None or self._other_loop.is_closed():
                self._other_loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._other_loop)
        try:
            try:
                reply = await super().do_execute(code, silent, *arguments, **options)
            except Exception as error:
                STEPS.mend()
                reply = self._broken_by_step(error)
            if os.getpid() != mine:  # a forked child, which ends where the script would
                sys.stdout.flush()
                os._exit(STEPS.code([reply["ename"], ""] if reply["status"] == "error" else None))
            return reply
        finally:
            asyncio._set_running_loop(loop)  # noqa: SLF001
            asyncio.set_event_loop(loop)
            STEPS.end()
            self.shell.mend()

    _other_loop: asyncio.AbstractEventLoop | None = None  # of steps that do not await

    def _broken_by_step(self, error: Exception) -> dict[str, Any]:
        """Report an error of the kernel's own code as the step's, which has changed a part of Python or IPython."""
        said = f"{type(error).__name__}: {error}"
        with suppress(Exception):
            print(f"{said}\nThe step changed a part of Python or IPython that its kernel needs.", file=sys.stderr)
        told = {"ename": type(error).__name__, "evalue": str(error), "traceback": [said]}
        return {"status": "error", "execution_count": self.shell.execution_count, "user_expressions": {}, **told}

    async def _viewers(self, code: str, silent: bool, *arguments: Any, **options: Any) -> Any:
        """Run a viewer's cell. Internal requests of a front end do not count as cells."""
        if silent or not options.get("store_history", True):
            return await super().do_execute(code, silent, *arguments, **options)
        cell = STEPS.viewer = Viewed(code)
        error = ["Interrupted", "the cell did not come to its end"]
        try:
            with _apart() as printed:
                try:
                    reply = await super().do_execute(code, silent, *arguments, **options)
                finally:
                    print(printed(), end="")
            error = [reply["ename"], reply["evalue"]] if reply["status"] == "error" else []
            return reply
        finally:
            STEPS.viewer = None
            STEPS.viewed(cell, error or None)

    @contextmanager
    def _cancel_on_sigint(self, cell: asyncio.Future[Any]) -> Iterator[None]:
        """Interrupt a cell that awaits. ipykernel's own handler does not wake the loop until the cell ends.

        https://github.com/ipython/ipykernel/issues/881
        """
        loop = asyncio.get_running_loop()
        before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(cell.cancel))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def raw_input(self, prompt: object = "") -> str:
        if STEPS.current is None:
            return str(super().raw_input(prompt))
        raise EOFError(f"input(): {NOBODY}")

    def getpass(self, prompt: object = "", stream: object = None, **options: Any) -> str:
        if STEPS.current is None:
            return str(super().getpass(prompt, stream, **options))
        raise EOFError(f"getpass(): {NOBODY}")


@contextmanager
def _apart() -> Iterator[Callable[[], str]]:
    """Redirect the output of started programs, which bypasses Python, away from the step. Yields a function that
    returns it as text.
    """
    with tempfile.TemporaryFile() as file, ExitStack() as stack:
        for fd in (1, 2):
            before = os.dup(fd)
            stack.callback(os.close, before)
            os.dup2(file.fileno(), fd)
            stack.callback(os.dup2, before, fd)
        yield lambda: os.pread(file.fileno(), APART_BYTES, 0).decode("utf-8", "replace")


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Suppress warnings while code is only inspected. They appear when it runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _taken(source: str) -> list[str]:
    """Return modules that a step imports but does not get from the workspace, because the kernel has loaded others of
    that name.
    """
    try:
        with _no_warnings():
            tree = ast.parse(source)
    except Exception:
        return []  # it may use IPython's syntax
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    ours = _of_workspace()
    here = (name for name in names & sys.modules.keys() - ours.keys())
    return sorted(
        name for name in here if (WORKSPACE / f"{name}.py").exists() or (WORKSPACE / name / "__init__.py").exists()
    )


def _of_workspace() -> dict[str, tuple[str, tuple[int, int]]]:
    """Return the modules imported from the workspace, with the current state of their files."""
    found = {}
    for name, module in list(sys.modules.items()):
        file = vars(module).get("__file__") if isinstance(module, types.ModuleType) else None
        if isinstance(file, str) and file.startswith(f"{WORKSPACE}/"):
            with suppress(OSError):
                about = os.stat(file)
                found[name] = file, (about.st_mtime_ns, about.st_size)
    return found


def _is_users(thread: threading.Thread) -> bool:
    """Return whether a thread's code is from a step or the workspace. Library threads may never end."""
    work: Any = type(thread).run
    if work in (threading.Thread.run, threading.Timer.run):  # it calls its target
        work = getattr(thread, "function", getattr(thread, "_target", None))
    while isinstance(work, functools.partial):
        work = work.func
    file = getattr(getattr(work, "__code__", None), "co_filename", "")
    return file.startswith((f"{SOURCES}/", f"{WORKSPACE}/"))


def _end_pools() -> None:
    """End pools of processes. A worker that is killed may hold a lock, for which the exit would wait."""
    if pools := sys.modules.get("multiprocessing.pool"):
        for found in gc.get_objects():
            if type(found) is pools.Pool:
                with suppress(Exception):
                    found.terminate()


def _flush_files() -> None:
    """Flush open files. A script would do so when it exits, but the kernel goes on."""
    for found in gc.get_objects():
        if type(found) in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):
            with suppress(Exception):
                if not found.closed and found.writable():
                    found.flush()


class App(IPKernelApp):
    kernel_class = Type(Kernel)

    def init_io(self) -> None:
        super().init_io()
        STEPS.viewers = {"stdout": sys.stdout, "stderr": sys.stderr}
        STEPS.renew_streams()


def main() -> None:
    global STEPS
    fd, text, picture, of_viewer = (int(argument) for argument in sys.argv[1:])
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    for left in FOLDER.iterdir():  # of an earlier kernel
        left.unlink()
    STEPS = Steps(fd, text, picture, of_viewer)
    os.environ.pop("MPLBACKEND", None)  # the notebook shows figures
    # multiprocessing may fork this process with its threads; a script has no threads and gets no warning
    warnings.filterwarnings("ignore", message=".*is multi-threaded, use of fork.*", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message="To exit: use 'exit'.*")
    app = App.instance(
        connection_file=str(FOLDER / f"kernel-{os.getpid()}.json"),
        transport="ipc",
        capture_fd_output=False,
        log_level=50,
    )
    app.initialize(["--HistoryManager.enabled=False", "--InteractiveShell.colors=nocolor"])
    del sys.modules["debugpy"]
    sys.path.insert(0, str(WORKSPACE))
    threading.Thread(target=STEPS.drive, args=(app,), daemon=True).start()
    app.start()
    STEPS.current = "exit"  # later output belongs to the job


if __name__ == "__main__":
    main()
