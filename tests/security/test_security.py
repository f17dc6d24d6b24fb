"""Attacks on the promises of docs/security.md: hostile jobs in real containers, and what the host sees meanwhile.

A job attacks and notes what came of each attempt in ``found.json``; the tests read that from its ZIP. Where a job looks
for a secret it must also find a decoy, so that a search that finds nothing is one that works.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.settings import Settings
from protocol import messages
from tests.support.attack import SPY, TOOLS, USER, bridge_address, container, found_by, give, inspect
from tests.support.system import ROOT, Artifact, System, docker, until

KEYS = {name.upper(): f"canary-{secrets.token_hex(16)}" for name in Settings.secret_names()}
DENIED = {"EACCES", "EPERM"}

# ── what the jobs run ────────────────────────────────────────────────────────────────────────────────────────────────

#: Listens on its network, tries to reach what it is given in ``targets``, and says who came.
PEER = r"""
came = []
tcp, udp = socket.create_server(("0.0.0.0", 7777)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 7777))
def greet():
    while True:
        guest, (address, _) = tcp.accept()
        came.append(address)
        guest.sendall(b"hello")
        guest.close()
def hear():
    while True:
        came.append(udp.recvfrom(100)[1][0])
for work in (greet, hear):
    threading.Thread(target=work, daemon=True).start()
print("READY", flush=True)
wait_for("targets")
for host in json.load(open("targets")):
    def knock():
        with socket.create_connection((host, 7777), timeout=3) as sock:
            return sock.recv(5).decode()
    udp.sendto(b"hello", (host, 7777))
    found[host] = tried(knock)
print("KNOCKED", flush=True)
wait_for("go")
found["came"] = came
found["addresses"] = [line.split()[-1] for line in read("/proc/net/if_inet6").decode().splitlines()]
with open("found.json", "w") as file:
    json.dump(found, file)
"""

#: Calls the users' API by every address and name; ``PLACES`` and ``API_KEY`` are put in front.
CALLER = r"""
def call(host, port, method, path, headers):
    connection = http.client.HTTPConnection(host, port, timeout=3)
    connection.request(method, path, '{"prompt": "hello"}' if method == "POST" else None, headers)
    return connection.getresponse().status
for host, port in PLACES:
    for key in ("none", "wrong", API_KEY):
        for name in (f"{host}:{port}", f"localhost:{port}", "127.0.0.1"):
            for method, path in (("GET", "/jobs"), ("POST", "/schedule")):
                headers = {"Host": name, "Authorization": f"Bearer {key}", "Content-Type": "application/json"}
                result = tried(call, host, port, method, path, headers)
                found[f"{host}:{port} {name} {'right' if key == API_KEY else key} {path}"] = result
with open("found.json", "w") as file:
    json.dump(found, file)
"""

#: Ends its own container for memory: System V segments outlive their process. Before that, traps for whoever packs.
SUICIDE = r"""
import ctypes, os
for name, target in TARGETS.items():
    os.symlink(target, name)
here = os.getcwd()
for number in range(14):
    name = "z" * 250  # after the links, however the listing is sorted
    os.mkdir(name)
    os.chdir(name)
for number in range(15_000):
    os.close(os.open(f"{number}" + "f" * 200, os.O_CREAT | os.O_WRONLY))
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
while True:
    ctypes.memset(libc.shmat(libc.shmget(0, 8 << 20, 0o1777), None, 0), 1, 8 << 20)
"""
TARGETS = {"shadow": "/etc/shadow", "link": "/run/link", "init": "/proc/1/environ", "up": "../../../../etc/shadow"}

#: Forks without end, deaf to signals, under a name that is no text.
BOMB = r"""
import ctypes, os, signal
for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_IGN)
ctypes.CDLL(None).prctl(15, b"\xff\xfe", 0, 0, 0)
print("READY", flush=True)
while True:
    try:
        if not os.fork():
            os.setsid()
    except OSError:
        pass
"""

#: Leaves three daemons: a plain one, one whose name is no text, and one whose first thread has ended. Each lets its
#: heart beat, makes and removes files, swaps a file for a link and back, and kills the packer where it sees one.
DAEMONS = r"""
import ctypes, os, platform, signal, threading, time
libc = ctypes.CDLL(None)
def beat(name):
    number = 0
    while True:
        number += 1
        with open(f"beat-{name}", "w") as file:
            file.write(str(time.time()))
        open(f"new-{name}-{number}", "w").close()
        if number > 30:
            open(f"ready-{name}", "w").close()
            os.remove(f"new-{name}-{number - 30}")
        os.symlink("/etc/passwd", f"next-{name}")
        os.rename(f"next-{name}", f"swap-{name}")
        with open(f"next-{name}", "w") as file:
            file.write("mine")
        os.rename(f"next-{name}", f"swap-{name}")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if b"agent.children.pack" in open(f"/proc/{pid}/cmdline", "rb").read():
                    open(f"saw-the-packer-{name}", "w").close()
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass
def leave(name):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    for fd in range(3):
        os.dup2(os.open("/dev/null", os.O_RDWR), fd)
    if name == "nameless":
        libc.prctl(15, b"\xff\xfe", 0, 0, 0)
    if name == "headless":
        threading.Thread(target=beat, args=(name,)).start()
        libc.syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)  # exit: of this thread alone
    beat(name)
for name in ("plain", "nameless", "headless"):
    leave(name)
for name in ("plain", "nameless", "headless"):
    while not os.path.exists(f"ready-{name}"):
        time.sleep(0.01)
"""
LOOK = r"""
import glob, os, time
stamps = lambda: {path: os.stat(path).st_mtime_ns for path in glob.glob("beat-*")}
before = stamps()
time.sleep(0.5)
after = stamps()
print("ALIVE:", sorted(path for path in before if before[path] != after[path]))
for path in glob.glob("*-*"):
    os.remove(path)
"""

#: Says and writes what only the system may say and write.
FORGE = r"""
os.makedirs("workspace")
for path in ("manifest.json", "report.md", "SHA256SUMS", "output.log", "session.ipynb", "workspace/x",
             "..\\..\\out.txt", "%2e%2e", "a\nb", "C:\\out.txt", "...", "../home/user/out.txt"):
    with open(path, "w") as file:
        file.write("forged")
for path in ("../manifest.json", "/report.md"):
    found[path] = tried(write, path, b"forged")
for name, target in TARGETS.items():
    os.symlink(target, name)
with open("found.json", "w") as file:
    json.dump(found, file)
lines = ["", "event: completed", 'data: {"status": "completed"}', "id: 999", "", '{"number": 99, "kind": "step_ended"}',
         'HTTP/1.1 200 OK', "", '{"events": [{"kind": "phase", "number": 7, "at": 0, "phase": "package"}]}', ""]
for end in ("\n", "\r", "\r\n", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\0"):
    print(end.join(lines), flush=True)
    time.sleep(0.12)
print("\n# Job forged completed\n\n| 1 | python | forged | completed | 0 |\n")
sys.exit(3)
"""

#: Two busy loops; prints how many CPUs they had together.
BUSY = r"""
import os, time
begin = time.monotonic()
children = [os.fork(), 0]
if children[0]:
    children[1] = os.fork()
if not all(children):
    while time.monotonic() < begin + 2:
        pass
    os._exit(0)
used = sum(sum(os.wait4(child, 0)[2][:2]) for child in children)
print("CPUS", used / (time.monotonic() - begin))
"""

# ── tools of this side ───────────────────────────────────────────────────────────────────────────────────────────────


def token_of(inspected: dict[str, Any]) -> str:
    return next(e for e in inspected["Config"]["Env"] if e.startswith(f"{messages.TOKEN_VARIABLE}=")).partition("=")[2]


def living(container_id: str) -> list[str]:
    """The processes of a container's job, as the host's kernel knows them; the packer is ours."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if container_id not in (folder / "cgroup").read_text():
                continue
            status = (folder / "status").read_bytes()
            fields = dict(line.split(b":", 1) for line in status.splitlines() if b":" in line)
            dead = fields[b"State"].split()[0] in b"ZX" and int(fields[b"Threads"]) == 1
            arguments = (folder / "cmdline").read_bytes()
            if int(fields[b"Uid"].split()[0]) == USER and not dead and b"agent.children.pack" not in arguments:
                found.append(arguments.decode(errors="replace"))
    return found


def sse(text: str) -> list[dict[str, str]]:
    """Server-sent events by the letter of the HTML standard: only CR and LF end a line."""
    blocks = re.split(r"\n\n+", text.replace("\r\n", "\n").replace("\r", "\n").strip("\n"))
    found = []
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        found.append(fields)
    return [fields for fields in found if fields]


# ── systems and jobs that tests share ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def guarded(engine: None) -> Iterator[System]:
    """A system that others can reach, with keys that can be told from everything else."""
    one = System(HOST="0.0.0.0", MAX_CONCURRENT_JOBS="4", **KEYS)  # noqa: S104 - this is the attack's target
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture(scope="module")
def neighbour(guarded: System) -> str:
    """A job that does nothing but run, while others attack."""
    job = guarded.shell("echo READY; until [ -e go ]; do sleep 0.05; done; echo unharmed")
    guarded.says(job, "READY")
    return job


@dataclass
class Spied:
    """What a spying job found, and what the host saw of it while it ran and when it had ended."""

    job: str
    found: dict[str, Any]
    token: str
    inspected: dict[str, Any]
    log: str
    artifact: Artifact
    events: str
    kernel: bool


@pytest.fixture(scope="module", params=["script", "cell"])
def spied(guarded: System, request: pytest.FixtureRequest) -> Spied:
    """What a job finds, as a process of its own and from within the kernel."""
    steps = [{"kind": "python", "code": "True"}, {"kind": "python", "code": TOOLS + SPY}]
    if request.param == "script":
        steps = [{"kind": "file", "path": "spy.py", "content": TOOLS + SPY}, {"kind": "python", "file": "spy.py"}]
    job = guarded.submit(steps=steps)
    guarded.says(job, "READY")
    name = container(guarded, job)
    inspected, log = inspect(name), docker("logs", name)
    give(name, "go")
    guarded.completed(job)
    artifact = guarded.zip(job)
    events = guarded.http.get(f"/jobs/{job}/events").text
    return Spied(
        job, found_by(artifact), token_of(inspected), inspected, log, artifact, events, request.param == "cell"
    )


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_finds_no_token(spied: Spied) -> None:
    found = {tuple(match) for match in spied.found["matches"]}
    assert ("environ", spied.found["decoys"]["token"]) in found and ("mem", spied.found["decoys"]["token"]) in found
    assert not [place for place, value in found if spied.token in value or spied.token.partition(".")[2] in value]
    assert {value for _, value in found} == set(spied.found["decoys"].values())


def test_a_job_cannot_look_into_the_agent_or_init(spied: Spied) -> None:
    open_to_it = {name: came for name, came in spied.found["peeks"].items() if came not in DENIED}
    assert not open_to_it


def test_no_key_of_the_orchestrator_is_in_or_comes_out_of_a_container(guarded: System, spied: Spied) -> None:
    assert ("file", spied.found["decoys"]["key"]) in {tuple(match) for match in spied.found["matches"]}
    places = {name: spied.artifact.read(name).decode(errors="replace") for name in spied.artifact.namelist()}
    places |= {"matches": str(spied.found["matches"]), "events": spied.events, "container's log": spied.log}
    places |= {"inspect": json.dumps(spied.inspected), "status": json.dumps(guarded.status(spied.job))}
    places |= {"orchestrator's log": guarded.log.read_text()}
    places |= {str(path): path.read_bytes().decode(errors="replace") for path in guarded.record.rglob("*.db*")}
    assert not [(place, name) for place, text in places.items() for name, key in KEYS.items() if key in text]
    secret = spied.token.partition(".")[2]
    assert [place for place, text in places.items() if secret in text] == ["inspect"]  # the engine's own record


# ── the link ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_cannot_reach_the_link(guarded: System, spied: Spied) -> None:
    link = spied.found["link"]
    assert link.pop("list") in DENIED and link.pop("write") in {*DENIED, "EROFS"}
    assert len(link) == 4 and {came for both in link.values() for came in both} <= DENIED
    assert (guarded.run_dir / "link").stat().st_mode & 0o777 == 0o750
    inherited = spied.found["inherited"]
    if spied.kernel:  # it has sockets of its own, and one to the agent, which takes what comes from it for data
        assert list(inherited.values()).count("agent") == 1
        others = {where for fd, where in inherited.items() if int(fd) > 2} - {"own", "agent"}
        assert all(re.fullmatch(r"(anon_inode|pipe):.*|/home/user/.*", where) for where in others), others
    else:
        assert set(inherited) == {"0", "1", "2"}


def test_only_the_token_of_a_running_sandbox_opens_the_link(guarded: System, spied: Spied, neighbour: str) -> None:
    path = str(guarded.run_dir / "link" / "link.sock")
    right = token_of(inspect(container(guarded, neighbour)))
    own_id, _, secret = right.partition(".")
    ended_id, _, ended_secret = spied.token.partition(".")
    wrong = ["x", "." * 50, own_id, f"{own_id}.", f"{own_id}.{ended_secret}", f"{ended_id}.{secret}", spied.token]
    wrong += [f"{own_id}.{secret[:-1]}", f"{right}x", f"{own_id}.{secret.swapcase()}", guarded.settings["API_KEY"]]
    calls = [("POST", "/take", {"version": messages.VERSION}), ("POST", "/events", {"events": []})]
    calls += [("GET", "/commands", None), ("POST", "/outcome", {}), ("PUT", "/artifact", {})]
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://link") as link:

        def ask(method: str, route: str, body: Any, given: str) -> int:
            return link.request(method, route, json=body, headers={"Authorization": f"Bearer {given}"}).status_code

        assert {ask(*call, given) for call in calls for given in wrong} == {401}
        assert link.post("/events", json={"events": []}).status_code == 401
        assert ask("POST", "/events", {"events": []}, right) == 200
    assert guarded.status(neighbour)["status"] == "running"


# ── the host, and who is who ─────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_of_the_host_is_in_a_container_but_the_links_folder(guarded: System, spied: Spied) -> None:
    mounts = [(m["Type"], m["Source"], m["Destination"], m["RW"]) for m in spied.inspected["Mounts"]]
    live = guarded.run_dir / "live" / spied.inspected["Config"]["Labels"]["containerized-agent.sandbox"]
    assert sorted(mounts) == [
        ("bind", str(guarded.run_dir / "link"), "/run/link", False),
        ("bind", str(live), "/run/live", True),
    ]
    host = spied.inspected["HostConfig"]
    assert not host["Privileged"] and not host["Devices"] and not host["VolumesFrom"]
    assert [host[mode] for mode in ("PidMode", "UTSMode", "UsernsMode", "IpcMode")] == ["", "", "", "private"]
    kernels_own = {"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"}
    seen = {
        place: options for place, kind, options in spied.found["mounts"] if kind not in kernels_own and place != "/"
    }
    engines_own = {"/etc/resolv.conf", "/etc/hostname", "/etc/hosts"}
    assert seen.keys() == {"/run/link", "/run/live", *engines_own} and "ro" in seen["/run/link"].split(",")
    assert spied.found["engine"] == []


def test_no_port_is_published(spied: Spied) -> None:
    assert not spied.inspected["NetworkSettings"]["Ports"] and not spied.inspected["HostConfig"]["PortBindings"]
    assert not spied.inspected["HostConfig"]["PublishAllPorts"]


def test_a_job_is_a_user_without_groups_or_capabilities(spied: Spied) -> None:
    job = spied.found["who"]["job"]
    assert job["Uid"].split() == job["Gid"].split() == [str(USER)] * 4 and job["Groups"].strip() == ""
    assert {name: int(job[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapAmb"), 0
    )


def test_the_agent_can_switch_users_and_kill_and_nothing_else(spied: Spied) -> None:
    setuid_setgid_kill = 1 << 7 | 1 << 6 | 1 << 5
    for who in ("agent", "init", "job"):
        assert int(spied.found["who"][who]["CapBnd"], 16) == setuid_setgid_kill
        assert spied.found["who"][who]["NoNewPrivs"] == "1" and spied.found["who"][who]["Seccomp"] == "2"
    agent = spied.found["who"]["agent"]
    assert int(agent["CapEff"], 16) == int(agent["CapPrm"], 16) == setuid_setgid_kill and int(agent["CapAmb"], 16) == 0


def test_nothing_makes_a_job_somebody_else(spied: Spied) -> None:
    assert "/usr/bin/su" in spied.found["setuid"]  # there is something to try
    for command, (code, said) in spied.found["became"].items():
        assert code != 0 and "uid=0" not in said, f"{command}: {said}"
    calls = {came for command, (_, came) in spied.found["became"].items() if "(" in command}
    assert calls <= {*DENIED, "EBADF"}


def test_a_job_cannot_end_stop_or_slow_the_agent(spied: Spied) -> None:
    assert {name: came for name, came in spied.found["signals"].items() if came not in DENIED} == {}


def test_a_job_can_change_nothing_that_is_not_its_own(spied: Spied) -> None:
    assert spied.found["writable"] == ["/tmp/.X11-unix/X1"]  # of a socket, that is to connect: its screen waits there
    assert spied.found["agent's code"] and set(spied.found["agent's code"].values()) <= DENIED


def test_a_job_cannot_change_its_limits_or_the_kernels_settings(spied: Spied) -> None:
    assert len(spied.found["cgroup writes"]) > 5
    assert set(spied.found["cgroup writes"].values()) <= {*DENIED, "EROFS"}
    assert set(spied.found["kernel writes"].values()) <= {*DENIED, "EROFS", "ENOENT"}
    assert set(spied.found["masked"].values()) <= {*DENIED, "ENOENT", "0"}


def test_dangerous_calls_of_the_kernel_are_shut(spied: Spied) -> None:
    assert set(spied.found["calls"].values()) <= {"EPERM", "ENOSYS"}, spied.found["calls"]


# ── the network ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_network_there_is_none(spied: Spied) -> None:
    assert spied.inspected["HostConfig"]["NetworkMode"] == "none"
    assert spied.found["interfaces"] == ["lo"] and spied.found["routes"] == []
    assert set(spied.found["addresses"]) <= {"lo"}
    assert spied.found["out"] == "ENETUNREACH" and spied.found["name"] == "gaierror"


def test_a_job_gets_no_socket_that_goes_around_its_network(spied: Spied) -> None:
    # AF_VSOCK, which speaks to the host of a virtual machine, is in no network namespace
    assert set(spied.found["families"]) <= {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_ROUTE"}


def test_jobs_with_internet_do_not_reach_each_other(guarded: System) -> None:
    jobs = [guarded.python(TOOLS + PEER, network="internet") for _ in range(2)]
    for job in jobs:
        guarded.says(job, "READY")
    names = [container(guarded, job) for job in jobs]
    addresses = []
    for name in names:
        (network,) = inspect(name)["NetworkSettings"]["Networks"].values()
        addresses.append(network["IPAddress"])
    for address in addresses:  # that they listen is seen from the host
        with socket.create_connection((address, 7777), timeout=5) as sock:
            assert sock.recv(5) == b"hello"
    for name in names:
        give(name, "targets", json.dumps(addresses))
    for job in jobs:
        guarded.says(job, "KNOCKED")
    for name in names:
        give(name, "go")
    for job, own, other in zip(jobs, addresses, addresses[::-1], strict=True):
        guarded.completed(job)
        found = found_by(guarded.zip(job))
        assert found[own] == "'hello'"
        assert found[other] in ("timed out", "ETIMEDOUT", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH")
        assert other not in found["came"] and own in found["came"]
        assert set(found["addresses"]) <= {"lo"}  # IPv6 would go around rules for IPv4


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - this is the attack's target
def test_a_job_cannot_use_the_users_api_even_with_its_key(
    system: System, make_system: Callable[..., System], host: str
) -> None:
    if host == "::" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    target = make_system(HOST=host, **KEYS).start()
    gateway = bridge_address()
    outside = partial(httpx.get, f"http://{gateway}:{target.port}/jobs", timeout=10)
    headers = {"Authorization": f"Bearer {KEYS['API_KEY']}", "Host": "localhost"}
    assert outside(headers=headers).status_code == 200  # others may call: what follows is for sandboxes alone
    assert outside(headers={"Host": "localhost"}).status_code == 401
    places = [(gateway, target.port), ("127.0.0.1", target.port), (gateway, system.port)]
    job = target.python(f"PLACES, API_KEY = {places!r}, {KEYS['API_KEY']!r}\n{TOOLS + CALLER}", network="internet")
    target.completed(job)
    found = found_by(target.zip(job))
    reached = {name: came for name, came in found.items() if name.startswith(f"{gateway}:{target.port} ")}
    assert len(reached) == 18 and set(reached.values()) <= {"401", "403"}
    assert {came for name, came in reached.items() if " right " in name} == {"403"}
    rest = {came for name, came in found.items() if name not in reached}
    assert rest == {"ECONNREFUSED"}  # its own 127.0.0.1, and a system that listens on the host's
    assert len(target.http.get("/jobs", headers=headers).json()["jobs"]) == 1


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_memory_is_limited_and_its_end_hurts_no_one_else(guarded: System, neighbour: str) -> None:
    """Also: the ZIP is then made outside, where links are not followed and the listing is bounded."""
    assert guarded.process
    pid = guarded.process.pid
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the highest memory use counts from here
    peak = partial(lambda: int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) // 1024)
    before = peak()
    job = guarded.python(f"TARGETS = {TARGETS!r}\n{SUICIDE}", limits={"memory": "128m"})
    until(lambda: guarded.status(job)["sandbox"], "it has a sandbox")
    name = container(guarded, job)
    until(lambda: name in guarded.containers(), "the container is there")
    host = inspect(name)["HostConfig"]
    assert host["Memory"] == 128 * 2**20 and host["PidsLimit"] == 256
    assert host["MemorySwap"] in (host["Memory"], -1)  # -1: a kernel that does not count swap
    found = guarded.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "out_of_memory")
    assert guarded.status(neighbour)["status"] == "running" and guarded.process.poll() is None
    assert peak() - before < 45, f"{before} MiB, then {peak()} MiB"
    artifact = guarded.zip(job)
    assert any(reason.startswith("the rest: ") for reason in artifact.left_out.values())
    entries = {entry["path"]: entry for entry in artifact.manifest["files"]}
    for name, target in TARGETS.items():
        assert entries[f"workspace/{name}"]["kind"] == "link" and artifact.text(name) == target


def test_a_fork_bomb_meets_its_limit_and_is_dead_two_seconds_after_cancel(guarded: System, neighbour: str) -> None:
    job = guarded.python(BOMB, limits={"processes": 64})
    guarded.says(job, "READY")
    container_id = inspect(container(guarded, job))["Id"]
    until(lambda: len(living(container_id)) > 50, "the limit is reached")
    assert len(living(container_id)) <= 64
    asked = time.monotonic()
    assert guarded.cancel(job).status_code == 200
    until(lambda: not living(container_id), "no process of the job lives")
    assert time.monotonic() - asked < 2
    assert guarded.ended(job)["status"] == "cancelled"
    give(container(guarded, neighbour), "go")
    guarded.completed(neighbour)
    assert "unharmed" in guarded.output(neighbour)


def test_cpu_output_and_the_containers_log_are_limited(guarded: System, spied: Spied) -> None:
    flood = {"kind": "shell", "script": "head -c 100000000 /dev/zero | tr '\\0' x"}
    job = guarded.submit(steps=[{"kind": "python", "code": BUSY}, flood], limits={"cpus": 0.5})
    found = guarded.completed(job)
    (cpus,) = re.findall(r"CPUS ([\d.]+)", guarded.output(job, 1))
    assert 0 < float(cpus) <= 0.5 * 1.2
    kept = len(guarded.output(job, 2))
    assert messages.OUTPUT_HEAD < kept < messages.OUTPUT_HEAD + messages.OUTPUT_TAIL + 1000
    assert found["steps"][1]["output_bytes"] == 100_000_000
    assert spied.inspected["HostConfig"]["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "1m", "max-file": "1"},
    }
    assert set(spied.found["log writes"].values()) <= {*DENIED, "ENXIO", "ENOENT"} and spied.log == ""


# ── what comes out ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_step_leaves_running_dies_with_it_and_before_packing(guarded: System) -> None:
    """Else it could change files while they are packed, or kill the packer. With a background step, which goes on."""
    step = partial(dict, kind="python")
    rest = {"kind": "shell", "script": "sleep 600", "background": True}
    job = guarded.submit(steps=[rest, step(code=DAEMONS), step(code=LOOK), step(code=DAEMONS)])
    guarded.completed(job)
    assert guarded.output(job, 3) == "ALIVE: []\n"
    artifact = guarded.zip(job)
    assert not artifact.manifest["partial"] and artifact.left_out == {}
    assert not [entry for entry in artifact.manifest["files"] if "changed" in entry or "truncated" in entry]
    assert not [path for path in artifact.paths if path.startswith("saw-the-packer")]
    for name in ("plain", "nameless", "headless"):
        assert artifact.text(f"swap-{name}") in ("mine", "/etc/passwd")  # the link's own words, not what it points to


@pytest.fixture(scope="module")
def forged(guarded: System) -> tuple[dict[str, Any], Artifact, str]:
    """A job that ended with exit code 3, and says otherwise in every way."""
    job = guarded.python(f"TARGETS = {TARGETS!r}\n{TOOLS + FORGE}", outputs=["found.json"])
    status = guarded.ended(job)
    return status, guarded.zip(job), guarded.http.get(f"/jobs/{job}/events").text


def test_output_forges_no_event_and_no_outcome(forged: tuple[dict[str, Any], Artifact, str]) -> None:
    status, artifact, stream = forged
    assert (status["status"], status["reason"], status["steps"][0]["exit_code"]) == ("failed", "step_failed", 3)
    events = sse(stream)
    assert [int(event["id"]) for event in events] == list(range(1, len(events) + 1))
    kinds = [event["event"] for event in events if event["event"] != "output"]
    assert kinds == ["scheduled", "running", "phase", "phase", "step_started", "step_ended", "phase", "failed"]
    printed = "".join(json.loads(event["data"])["text"] for event in events if event["event"] == "output")
    assert printed.count("event: completed") == 8  # between carriage returns it is drawn over
    headings = [line for line in artifact.report.splitlines() if line.startswith("#")]
    assert headings[0] == f"# Job {status['job_id']} failed" and "# Job forged completed" not in headings
    assert "| 1 | python | forged | completed | 0 |" not in artifact.report.splitlines()


def test_files_forge_no_manifest_and_no_report(forged: tuple[dict[str, Any], Artifact, str]) -> None:
    status, artifact, _ = forged
    assert set(found_by(artifact).values()) <= DENIED  # next to the workspace, in the container
    names = artifact.namelist()
    assert len(names) == len(set(names))
    ours = {"manifest.json", "report.md", "SHA256SUMS", "output.log", "session.ipynb"}
    assert {name for name in names if not name.startswith("workspace/")} == ours
    for name in ours:
        assert artifact.text(name) == "forged" and artifact.read(name) != b"forged"
    assert artifact.manifest["job_id"] == status["job_id"] and artifact.manifest["steps"][0]["exit_code"] == 3


def test_no_name_in_a_zip_leads_out_of_it(forged: tuple[dict[str, Any], Artifact, str], tmp_path: Path) -> None:
    _, artifact, _ = forged
    for name in artifact.namelist():
        parts = re.split(r"[/\\]", name)  # a backslash separates on Windows
        assert not name.startswith("/") and ".." not in parts and "" not in parts[:-1], name
    artifact.fp.seek(0)  # type: ignore[union-attr]
    (tmp_path / "job.zip").write_bytes(artifact.fp.read())  # type: ignore[union-attr]
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    subprocess.run(["unzip", "-q", "-o", "../../job.zip"], cwd=inside, check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "job.zip"} and os.listdir(tmp_path / "a") == ["b"]


def test_links_in_a_zip_are_links_and_were_not_followed(forged: tuple[dict[str, Any], Artifact, str]) -> None:
    _, artifact, _ = forged
    links = {entry["path"]: entry.get("target") for entry in artifact.manifest["files"] if entry["kind"] == "link"}
    assert links == {f"workspace/{name}": target for name, target in TARGETS.items()}
    for name, target in TARGETS.items():
        assert artifact.text(name) == target
        assert artifact.getinfo(f"workspace/{name}").external_attr >> 16 & 0o170000 == 0o120000


# ── the browser of somebody who may call ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("keyed", [True, False], ids=["with-key", "without-key"])
def test_no_web_page_submits_jobs_through_its_visitor(system: System, guarded: System, keyed: bool) -> None:
    target = guarded if keyed else system
    count = partial(lambda: len(target.http.get("/jobs", params={"limit": 500}).json()["jobs"]))
    before, own = count(), f"127.0.0.1:{target.port}"
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{target.port + 1}"},
        {"Origin": f"http://{own}.evil.example"},
        {"Origin": "https://evil.example", "Content-Type": "text/plain"},  # what a form may send without asking
        {"Host": "evil.example"},  # DNS rebinding
        {"Host": f"evil.example:{target.port}", "Origin": f"http://evil.example:{target.port}"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
    ):
        answer = target.http.post("/schedule", content='{"steps":[{"kind":"shell","script":"true"}]}', headers=headers)
        assert answer.status_code == 403, headers
        assert target.http.get("/jobs", headers=headers).status_code == 403, headers
    assert count() == before


def test_an_address_that_others_reach_needs_a_key(make_system: Callable[..., System]) -> None:
    open_to_all = make_system(HOST="0.0.0.0")  # noqa: S104 - it must refuse
    open_to_all.launch()
    assert open_to_all.process and open_to_all.process.wait(timeout=60) == 1
    assert "API_KEY must be set" in open_to_all.log.read_text()


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_of_promises_and_the_attacks_agree() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"^\|[^|]+\|\s*`(test_\w+)`\s*\|$", page, re.MULTILINE)
    rows = [line for line in page.splitlines() if line.startswith("|")][2:]
    assert len(named) == len(rows), "each row ends with the name of one test"
    attacks, tests = _tests_of("tests/security/test_security*.py"), _tests_of("tests/*/test_*.py")
    assert set(named) <= tests
    assert attacks <= {*named, "test_the_table_of_promises_and_the_attacks_agree"}


def _tests_of(files: str) -> set[str]:
    texts = [file.read_text() for file in ROOT.glob(files)]
    return {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
