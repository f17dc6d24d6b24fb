"""What shows a job to its viewers, and how each part of it is started. All of it is the job's own user's."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.runtime.processes import DISPLAY, HOME, WORKSPACE
from protocol import messages

#: Where the services of the job's user listen; whoever listens for viewers may pass through, and writes nothing.
FOLDER = "/run/services"
SOCKETS: dict[messages.Service, str] = {"desktop": f"{FOLDER}/rfb", "notebook": f"{FOLDER}/lab"}
PASSWORDS = f"{FOLDER}/passwords"

#: Is there when the window manager is ready.
MANAGED = f"{FOLDER}/managed"

#: Where the programs of a job look for the screen.
DISPLAY_SOCKET = f"/tmp/.X11-unix/X{DISPLAY[1:]}"  # noqa: S108 - X11 has it there; the agent makes it before any job runs

#: What must be left of the container's memory, in bytes, and of its processes for a service to be started: else the job
#: would pay for it. Of the processes a desktop takes 6 and a notebook 8; the rest is for the step.
MEMORY: dict[messages.Service, int] = {"desktop": 96 * 2**20, "notebook": 192 * 2**20}
PROCESSES: dict[messages.Service, int] = {"desktop": 24, "notebook": 32}

#: The screen: its standard input is the socket that the agent has been listening on, so no program of a job waits for
#: more than its answer. It takes it as systemd's services do, see sd_listen_fds(3).
SCREEN = [
    "/bin/sh", "-c",
    f"rm -f /tmp/.X{DISPLAY[1:]}-lock {MANAGED}; export LISTEN_FDS=1 LISTEN_PID=$$;"
    ' exec Xtigervnc "$@" 3<&0 </dev/null', "sh",
    DISPLAY, "-geometry", "1280x800", "-depth", "24", "-nolisten", "tcp", "-rfbport", "-1",
    "-rfbunixpath", SOCKETS["desktop"], "-rfbunixmode", "0666",
    "-SecurityTypes", "VncAuth", "-PasswordFile", PASSWORDS, "-UseBlacklist=0", "-AlwaysShared",
]  # fmt: skip

WINDOW_MANAGER = ["openbox", "--sm-disable", "--startup", f"touch {MANAGED}"]

#: Shows what comes on its standard input, below all other windows, and takes the keyboard from none of them: the
#: image's openbox knows it by its name. A terminal that meets a window manager in the middle of its start waits five
#: seconds for an answer that has got lost, so it begins when that is ready. What a viewer types there does nothing: no
#: key ends it, stops it or writes into it.
TERMINAL = [
    "/bin/sh", "-c",
    f'for try in $(seq 500); do [ ! -e {MANAGED} ] || break; sleep 0.01; done; exec "$@" 3<&0 </dev/null', "sh",
    "xterm", "-name", "output", "-title", "The job's output", "-sl", "5000", "-geometry", "118x36+40+40",
    "-bg", "#11151c", "-fg", "#d8dee9", "-e", "/bin/sh", "-c", "stty -isig -ixon -echo; exec cat <&3",
]  # fmt: skip

#: Writes the passwords on its standard input, a line each for who may type and who may watch, as the screen reads them.
SAVE_PASSWORDS = ["/bin/sh", "-c", f"umask 077; tigervncpasswd -f > {PASSWORDS}.new && mv {PASSWORDS}.new {PASSWORDS}"]

#: The live notebook, in the workspace.
NOTEBOOK_FILE = "live-session.ipynb"

#: Who comes here has been let in by the live gateway, so the server asks nobody for a token. The job's own kernel tells
#: where it is in the folder of external connections.
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
    """What listens for a service's viewers; its standard input is the socket."""
    return [sys.executable, "-I", "-m", "agent.children.viewer_proxy", service, SOCKETS[service]]
