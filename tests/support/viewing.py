"""The viewers' side for tests: a real browser's pixels, plain requests to the live gateway, and a VNC client."""

from __future__ import annotations

import json
import re
import secrets
import socket
import struct
import subprocess
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from playwright.sync_api import Page
from websockets.sync.client import connect

from tests.support.system import PATIENCE, System, docker, until

Colour = tuple[int, int, int]

#: Colours of a terminal's palette, with their numbers. Nothing else on a desktop has these colours.
MAGENTA, CYAN, YELLOW = (201, (255, 0, 255)), (51, (0, 255, 255)), (226, (255, 255, 0))

#: A script that waits until a test calls ``go_on``.
GATE = "echo ready; while [ ! -e go ]; do sleep 0.05; done; rm go"

#: Processes that run only for viewers. A job without viewers must not pay for them.
SERVICES = ("Xtigervnc", "openbox", "xterm", "agent.children.viewer_proxy", "lab_server.py", "jupyter")

LOOK = """([red, green, blue]) => {
    const canvas = document.querySelector("#screen canvas");
    if (!canvas || !canvas.width) return {pixels: 0};
    const {data, width, height} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const found = {pixels: 0, left: width, top: height, right: -1, bottom: -1};
    for (let y = 0, at = 0; y < height; y++)
        for (let x = 0; x < width; x++, at += 4)
            if (Math.abs(data[at] - red) < 40 && Math.abs(data[at + 1] - green) < 40
                    && Math.abs(data[at + 2] - blue) < 40) {
                found.pixels++;
                found.left = Math.min(found.left, x); found.right = Math.max(found.right, x);
                found.top = Math.min(found.top, y); found.bottom = Math.max(found.bottom, y);
            }
    return found;
}"""

SAMPLE = """([points, [red, green, blue]]) => {
    const context = document.querySelector("#screen canvas").getContext("2d");
    return points.map(([x, y]) => {
        const [r, g, b] = context.getImageData(x, y, 1, 1).data;
        return Math.abs(r - red) < 60 && Math.abs(g - green) < 60 && Math.abs(b - blue) < 60;
    });
}"""

#: Prints the names of all windows on a job's screen, its size, and the window with the keyboard focus. A screenshot
#: does not show these.
WINDOWS = r"""
import ctypes, json
x = ctypes.CDLL("libX11.so.6")
x.XOpenDisplay.restype = ctypes.c_void_p
display = ctypes.c_void_p(x.XOpenDisplay(b":1"))
x.XDefaultRootWindow.restype = ctypes.c_ulong
names, root = [], x.XDefaultRootWindow(display)
class Text(ctypes.Structure):
    _fields_ = [("value", ctypes.c_char_p), ("kind", ctypes.c_ulong), ("format", ctypes.c_int), ("n", ctypes.c_ulong)]
def named(window):
    name = Text()
    found = window > 1 and x.XGetWMName(display, ctypes.c_ulong(window), ctypes.byref(name)) and name.value
    return found.decode("utf-8", "replace") if found else ""
def look(window):
    count, children = ctypes.c_uint(), ctypes.POINTER(ctypes.c_ulong)()
    if named(window):
        names.append(named(window))
    nothing = ctypes.c_ulong()
    x.XQueryTree(display, ctypes.c_ulong(window), ctypes.byref(nothing), ctypes.byref(nothing), ctypes.byref(children),
                 ctypes.byref(count))
    for child in [children[index] for index in range(count.value)]:
        look(child)
ignore = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: 0)  # a window went meanwhile
x.XSetErrorHandler(ignore)
look(root)
focus, reverts = ctypes.c_ulong(), ctypes.c_int()
x.XGetInputFocus(display, ctypes.byref(focus), ctypes.byref(reverts))
size = [x.XDisplayWidth(display, 0), x.XDisplayHeight(display, 0)]
print(json.dumps({"names": names, "size": size, "focus": named(focus.value)}))
"""


# ── pixels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Picture:
    """A random pattern of coloured cells in a frame. A step prints it, and no other job prints the same."""

    COLUMNS, ROWS = 12, 6

    def __init__(self, colour: tuple[int, Colour]) -> None:
        self.number, self.colour = colour
        inner = [[secrets.randbelow(2) == 1 for _ in range(self.COLUMNS - 2)] for _ in range(self.ROWS - 2)]
        full = [True] * self.COLUMNS
        self.cells = [full, *([True, *row, True] for row in inner), full]

    @property
    def script(self) -> str:
        """The script that prints the pattern. Each of its cells is two cells of the terminal."""
        on, off = rf"\033[48;5;{self.number}m  \033[0m", "  "
        return "printf '" + r"\n".join("".join(on if cell else off for cell in row) for row in self.cells) + r"\n'"

    def shown(self, page: Page) -> dict[str, int]:
        """Return the pattern's box on the desktop in a page. Empty if the desktop shows another pattern or none."""
        box = look(page, self.colour)
        if not box["pixels"]:
            return {}
        wide, high = (box["right"] + 1 - box["left"]) / self.COLUMNS, (box["bottom"] + 1 - box["top"]) / self.ROWS
        points = [
            [int(box["left"] + (column + 0.5) * wide), int(box["top"] + (row + 0.5) * high)]
            for row in range(self.ROWS)
            for column in range(self.COLUMNS)
        ]
        found = page.evaluate(SAMPLE, [points, self.colour])
        return box if found == [cell for row in self.cells for cell in row] else {}

    def waited_for(self, page: Page) -> dict[str, int]:
        return dict(
            until(lambda: self.shown(page), f"the pattern is on the desktop; it shows {look(page, self.colour)}")
        )


def look(page: Page, colour: Colour) -> dict[str, int]:
    """Count the pixels of a desktop that have a colour, and return the count with their box."""
    return dict(page.evaluate(LOOK, colour))


def many(page: Page, colour: Colour, pixels: int = 20_000) -> None:
    """Wait until a desktop has this many pixels of a colour."""
    until(lambda: look(page, colour)["pixels"] >= pixels, f"{pixels} pixels are {colour}; {look(page, colour)} are")


# ── from outside of the container ────────────────────────────────────────────────────────────────────────────────────


class Killed(Exception):
    """The agent killed a command when the step beside it ended."""


def container(system: System, job: str) -> str:
    return f"containerized-agent-{system.status(job)['sandbox']}"


def inside(system: System, job: str, *command: str) -> str:
    """Run a command as the job's user and return its output. Raises Killed if a step's end killed the command."""
    user = ("-u", "10001:10001", "-w", "/workspace", "-e", "HOME=/home/user", "-e", "DISPLAY=:1")
    try:
        return docker("exec", *user, container(system, job), *command)
    except subprocess.CalledProcessError as error:
        if error.returncode == 137:
            raise Killed from error
        raise


def go_on(system: System, job: str) -> None:
    """Let a step go on that waits at the ``GATE``."""
    with suppress(Killed, subprocess.CalledProcessError):  # the job may have ended already
        inside(system, job, "touch", "go")


def services(system: System, job: str) -> set[str]:
    """Return the viewers' processes that run in a job's container at this moment."""
    lines = docker("top", container(system, job), "-o", "pid,args").splitlines()
    return {name for name in SERVICES for line in lines if name in line}


class Screen(NamedTuple):
    """A job's screen: its windows' names, its width and height, and the name of the window with the keyboard focus."""

    names: list[str]
    size: tuple[int, int]
    focus: str


def screen(system: System, job: str) -> Screen:
    """Return the current state of a job's screen."""
    while True:
        with suppress(Killed):
            found = json.loads(inside(system, job, "/opt/venv/bin/python", "-c", WINDOWS))
            break
    return Screen(found["names"], tuple(found["size"]), found["focus"])


# ── without a browser ────────────────────────────────────────────────────────────────────────────────────────────────


def get(url: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Send a request with only these headers to the gateway on this machine, whatever host the URL names."""
    parts = urlsplit(url)
    target = f"http://127.0.0.1:{parts.port}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    sent = {"Host": parts.netloc, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.request(method, target, headers=sent, timeout=PATIENCE)


def opened(link: str) -> str:
    """Open a link, and return the cookie that a browser then has."""
    answer = get(link)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["set-cookie"].partition(";")[0])


def origin(link: str) -> str:
    """Return the origin of a view."""
    parts = urlsplit(link)
    return f"{parts.scheme}://{parts.netloc}"


def said(answer: httpx.Response) -> str:
    """Return the text of a page in one line. Check that the page is the gateway's own."""
    assert answer.headers["content-type"].startswith("text/html"), answer.headers
    assert "/gateway/style.css" in answer.text
    return " ".join(re.sub(r"<[^>]*>", " ", answer.text).split())


def web_socket(link: str, path: str = "/websockify", **headers: str | None) -> connect:
    """Open a WebSocket to a view, as a browser does from the view's own page. Use the result in a ``with``."""
    parts = urlsplit(link)
    sent = {"Origin": origin(link), **{name.replace("_", "-"): value for name, value in headers.items()}}
    sock = socket.create_connection(("127.0.0.1", parts.port or 0))
    return connect(
        f"ws://{parts.netloc}{path}",
        sock=sock,
        compression=None,
        open_timeout=PATIENCE,
        additional_headers={name: value for name, value in sent.items() if value is not None},
    )


class Vnc:
    """A VNC client that sends all input, even if the view is read-only."""

    def __init__(self, link: str, cookie: str, password: str) -> None:
        self._open = ExitStack()
        self._socket = self._open.enter_context(web_socket(link, Cookie=cookie))
        self._buffer = b""
        assert self._read(12) == b"RFB 003.008\n"
        self._socket.send(b"RFB 003.008\n")
        self.security = self._read(self._read(1)[0])
        self._socket.send(b"\x02")
        key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
        cipher = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305 - VNC's cipher
        self._socket.send(cipher.update(self._read(16)))
        if self._read(4) != b"\0\0\0\0":
            raise PermissionError(self._read(struct.unpack(">I", self._read(4))[0]).decode())
        self._socket.send(b"\x01")
        self.size = struct.unpack(">HH", self._read(4))
        self._read(16)
        self.name = self._read(struct.unpack(">I", self._read(4))[0]).decode()
        self._socket.send(struct.pack(">BxHii", 2, 2, 0, -308))  # raw, and sizes of the screen

    def __enter__(self) -> Vnc:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def type(self, text: str) -> None:
        for character in text:
            keysym = 0xFF0D if character == "\n" else ord(character)
            for down in (1, 0):
                self._socket.send(struct.pack(">BBxxI", 4, down, keysym))

    def click(self, x: int, y: int, button: int = 1) -> None:
        for mask in (0, 1 << (button - 1), 0):
            self._socket.send(struct.pack(">BBHH", 5, mask, x, y))

    def cut(self, text: str) -> None:
        self._socket.send(struct.pack(">BxxxI", 6, len(text)) + text.encode())

    def resize(self, width: int, height: int) -> None:
        screen = struct.pack(">IHHHHI", 0, 0, 0, width, height, 0)
        self._socket.send(struct.pack(">BxHHBx", 251, width, height, 1) + screen)

    def settle(self) -> None:
        """Wait until the screen has processed all earlier input. It answers in order."""
        for whole in (True, False):  # the first answer has the screen's size, and the second the picture
            self._socket.send(struct.pack(">BBHHHH", 3, not whole, 0, 0, 1, 1))
            while not (answer := self._update()) and not (whole and answer is False):
                pass
            if answer:
                return

    def _update(self) -> bool | None:
        """Read one message. Return whether it had a picture, or None if it is not an answer."""
        kind = self._read(1)[0]
        if kind == 0:
            pictures = 0
            for _ in range(struct.unpack(">xH", self._read(3))[0]):
                _, _, width, height, encoding = struct.unpack(">HHHHi", self._read(12))
                if encoding == 0:
                    self._read(width * height * 4)
                    pictures += 1
                else:
                    assert encoding == -308, encoding
                    self.size, _ = (width, height), self._read(self._read(4)[0] * 16)
            return pictures > 0
        if kind == 3:
            self._read(struct.unpack(">xxxI", self._read(7))[0])
        else:
            assert kind == 2, kind
        return None

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data: Any = self._socket.recv(timeout=PATIENCE)
            self._buffer += data
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found


def views(system: System, job: str) -> Any:
    """Wait for the links of a running job, and return them."""
    return until(lambda: system.status(job)["views"], "the status has links")


def password(link: str, cookie: str) -> str:
    """Return the desktop's password from its page."""
    text = get(origin(link) + "/", Cookie=cookie).text
    return text.partition('data-password="')[2].partition('"')[0]
