"""The commands of the services that show a job to viewers. All services run as the job's user."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.runtime.processes import DISPLAY, HOME, WORKSPACE
from protocol import messages

#: Folder of the services' sockets. The proxies for viewers may pass through it, but not write to it.
FOLDER = "/run/services"
SOCKETS: dict[messages.Service, str] = {"desktop": f"{FOLDER}/rfb", "notebook": f"{FOLDER}/lab"}
PASSWORDS = f"{FOLDER}/passwords"

#: This file exists when the window manager is ready.
MANAGED = f"{FOLDER}/managed"

#: The socket of the job's display.
DISPLAY_SOCKET = f"/tmp/.X11-unix/X{DISPLAY[1:]}"  # noqa: S108 - X11 has it there; the agent makes it before any job runs

#: Memory in bytes and processes of the container that must remain free before a service starts, so that the job is not
#: affected. A desktop takes 6 processes and a notebook 8; the rest is for the step.
MEMORY: dict[messages.Service, int] = {"desktop": 96 * 2**20, "notebook": 192 * 2**20}
PROCESSES: dict[messages.Service, int] = {"desktop": 24, "notebook": 32}

#: The X server. Its standard input is the socket on which the agent already listens, so programs wait only for its
#: answer. It uses systemd's socket activation, see sd_listen_fds(3).
SCREEN = [
    "/bin/sh", "-c",
    f"rm -f /tmp/.X{DISPLAY[1:]}-lock {MANAGED}; export LISTEN_FDS=1 LISTEN_PID=$$;"
    ' exec Xtigervnc "$@" 3<&0 </dev/null', "sh",
    DISPLAY, "-geometry", "1280x800", "-depth", "24", "-nolisten", "tcp", "-rfbport", "-1",
    "-rfbunixpath", SOCKETS["desktop"], "-rfbunixmode", "0666",
    "-SecurityTypes", "VncAuth", "-PasswordFile", PASSWORDS, "-UseBlacklist=0", "-AlwaysShared",
]  # fmt: skip

WINDOW_MANAGER = ["openbox", "--sm-disable", "--startup", f"touch {MANAGED}"]

#: Shows its standard input in a terminal below all other windows, without taking the keyboard focus. The image's
#: openbox recognises the terminal by its name. It starts when the window manager is ready; otherwise it could lose an
#: answer and wait five seconds. Typing there has no effect: no key ends, stops or writes to it.
TERMINAL = [
    "/bin/sh", "-c",
    f'for try in $(seq 500); do [ ! -e {MANAGED} ] || break; sleep 0.01; done; exec "$@" 3<&0 </dev/null', "sh",
    "xterm", "-name", "output", "-title", "The job's output", "-sl", "5000", "-geometry", "118x36+40+40",
    "-bg", "#11151c", "-fg", "#d8dee9", "-e", "/bin/sh", "-c", "stty -isig -ixon -echo; exec cat <&3",
]  # fmt: skip

#: Writes the passwords on its standard input, one line each for control and for watching, in the X server's format.
SAVE_PASSWORDS = ["/bin/sh", "-c", f"umask 077; tigervncpasswd -f > {PASSWORDS}.new && mv {PASSWORDS}.new {PASSWORDS}"]

#: Path of the live notebook in the workspace.
NOTEBOOK_FILE = "live-session.ipynb"

#: The live gateway has already authorised the viewers, so the server asks for no token. The job's own kernel announces
#: itself in the folder of external connections.
NOTEBOOK = [
    "/bin/sh", "-c", f'rm -f {SOCKETS["notebook"]}; unset PYTHONPATH; exec "$@"', "sh",
    "/opt/venv/bin/python", "-P", str(Path(__file__).parents[1] / "children/lab_server.py"),
    NOTEBOOK_FILE, f"{FOLDER}/collaboration.db", "--no-browser",
    f"--ServerApp.sock={SOCKETS['notebook']}", "--ServerApp.sock_mode=0666", f"--ServerApp.root_dir={WORKSPACE}",
    "--ServerApp.allow_remote_access=True", "--IdentityProvider.token=",
    "--ServerApp.allow_external_kernels=True", f"--ServerApp.external_connection_dir={HOME}/kernel",
    f"--LabApp.default_url=/lab/tree/{NOTEBOOK_FILE}", "--YDocExtension.document_cleanup_delay=None",
    f"--YDocExtension.session_store_path={FOLDER}/sessions.json",
    "--LabApp.extension_manager=readonly",
]  # fmt: skip


def front(service: messages.Service) -> list[str]:
    """Return the command of a service's proxy. Its standard input is the listening socket."""
    return [sys.executable, "-I", "-m", "agent.children.viewer_proxy", service, SOCKETS[service]]
