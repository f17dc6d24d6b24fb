"""Programs for hostile jobs, and functions that read their findings."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from typing import Any

from tests.support.system import Artifact, System, docker

USER = 10001


#: The first lines of every attack.
TOOLS = r"""
import ctypes, errno, glob, http.client, json, os, platform, re, signal, socket, stat, struct, subprocess, sys
import threading, time
libc = ctypes.CDLL(None, use_errno=True)
found = {}

def tried(action, *arguments):
    "What came of an attempt: the name of its error, or what it gave."
    try:
        return repr(action(*arguments))
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))

def c(name, *arguments):
    "A function of the C library, or a system call by its number."
    result = getattr(libc, name)(*arguments) if isinstance(name, str) else libc.syscall(name, *arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), str(name))
    return result

def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 20)

def write(path, data):
    with open(path, "ab", buffering=0) as file:
        return file.write(data)

def fields(pid):
    return dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").decode().splitlines() if ":\t" in line)

def connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.02)

pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
agent = next(pid for pid in pids if pid != 1 and fields(pid)["Uid"].split()[0] == "0")
"""


#: Inspects everything that a job without network can reach.
SPY = r"""
found["inherited"] = {}
for fd in os.listdir("/proc/self/fd"):
    if os.path.exists(f"/proc/self/fd/{fd}"):
        found["inherited"][fd] = where = os.readlink(f"/proc/self/fd/{fd}")
        if where.startswith("socket:"):
            with socket.socket(fileno=os.dup(int(fd))) as other:
                own = other.family != socket.AF_UNIX or other.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                peer = 0 if own else struct.unpack("3i", other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
                found["inherited"][fd] = {0: "own", os.getpid(): "own", agent: "agent"}.get(peer, peer)
SHAPES = re.compile(rb"[0-9a-f]{12}\.[A-Za-z0-9_-]{43}|canary-[0-9a-f]{32}")
decoys = {"token": os.urandom(6).hex() + "." + os.urandom(32).hex()[:43], "key": "canary-" + os.urandom(16).hex()}
with open("decoy", "w") as file:
    file.write(decoys["key"])
child = subprocess.Popen(["sleep", "600"], env={"SECRET": decoys["token"], "PATH": os.environ["PATH"]})
wait_for(f"/proc/{child.pid}/mem")

matches = set()
def search(place, data):
    matches.update((place, match.decode()) for match in SHAPES.findall(data))

def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1].startswith("r") and end - begin < 1 << 26:
                mem.seek(begin)
                tried(lambda: search("mem", mem.read(end - begin)))

for pid in pids + [child.pid]:
    if pid == os.getpid():
        continue
    tried(memory, pid)
    for path in glob.glob(f"/proc/{pid}/*") + glob.glob(f"/proc/{pid}/fd/*") + glob.glob(f"/proc/{pid}/task/*/*"):
        if os.path.isfile(path) and not path.endswith(("mem", "pagemap", "clear_refs")):
            tried(lambda: search(os.path.basename(path), read(path)))
search("environ", read("/proc/self/environ"))
# What is in /usr and /opt came with the image, except for what was changed since the container was made.
made = os.stat("/etc/hostname").st_ctime
for top, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(top, name) not in ("/proc", "/sys", "/dev/pts")]
    for path in (os.path.join(top, name) for name in names):
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and (not top.startswith(("/usr", "/opt")) or status.st_ctime > made - 5):
            tried(lambda: search("file", read(path)))
found["decoys"], found["matches"] = decoys, sorted(matches)

found["peeks"] = {}
for pid in (1, agent):
    for name in ("environ", "mem", "maps", "auxv", "pagemap", "stack", f"task/{pid}/environ", "fd/0", "fd/3"):
        found["peeks"][f"{pid}/{name}"] = tried(lambda: len(read(f"/proc/{pid}/{name}")))
    for name in ("root", "cwd", "exe", "fd/3", "ns/net"):
        found["peeks"][f"{pid}/{name} ->"] = tried(os.readlink, f"/proc/{pid}/{name}")
    for name in ("fd", "fdinfo", "map_files", "root", "cwd"):
        found["peeks"][f"{pid}/{name}/"] = tried(os.listdir, f"/proc/{pid}/{name}")
    there, buffer = (ctypes.c_size_t * 2)(0x400000, 8), ctypes.create_string_buffer(8)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    found["peeks"][f"{pid} vm_readv"] = tried(c, "process_vm_readv", pid, here, 1, there, 1, 0)
    found["peeks"][f"{pid} attach"] = tried(c, "ptrace", 16, pid, 0, 0)
    found["peeks"][f"{pid} seize"] = tried(c, "ptrace", 0x4206, pid, 0, 0)
    found["peeks"][f"{pid} getfd"] = tried(c, 438, os.pidfd_open(pid), 3, 0)

found["link"] = {"list": tried(os.listdir, "/run/link"), "write": tried(write, "/run/link/x", b"x")}
for path in ("/run/link/", f"/proc/{agent}/root/run/link/", "/proc/1/root/run/link/", f"/proc/{agent}/cwd/run/link/"):
    found["link"][path] = tried(connect, path + "link.sock"), tried(os.stat, path + "link.sock")

found["who"] = {name: fields(pid) for name, pid in (("job", os.getpid()), ("agent", agent), ("init", 1))}
found["signals"] = {}
for pid in (1, agent, -agent):
    for name in ("SIGKILL", "SIGSTOP", "SIGTERM"):
        found["signals"][f"{pid} {name}"] = tried(os.kill, pid, getattr(signal, name))
for pid in (1, agent):
    found["signals"][f"{pid} pidfd"] = tried(signal.pidfd_send_signal, os.pidfd_open(pid), signal.SIGKILL)
    found["signals"][f"{pid} renice"] = tried(os.setpriority, os.PRIO_PROCESS, pid, 19)
    found["signals"][f"{pid} affinity"] = tried(os.sched_setaffinity, pid, [0])
    found["signals"][f"{pid} prlimit"] = tried(c, "prlimit64", pid, 7, (ctypes.c_uint64 * 2)(3, 3), None)
    for score in ("-1000", "1000"):
        found["signals"][f"{pid} oom {score}"] = tried(write, f"/proc/{pid}/oom_score_adj", score.encode())
found["signals"]["own oom -1"] = tried(write, "/proc/self/oom_score_adj", b"-1")
found["signals"]["own nice"] = tried(os.setpriority, os.PRIO_PROCESS, 0, -1)

listed = subprocess.run("find / -xdev -type f -perm /6000", shell=True, capture_output=True, text=True).stdout.split()
found["setuid"] = listed
found["became"] = {}
for command in ("su -c id", "newgrp root", "passwd -d root", "mount -t tmpfs none /mnt", "umount /proc",
                "chsh -s /bin/sh root", "gpasswd -a user root", "chfn -f x root", "unshare -U id", "unshare -r id",
                "unshare -m id", "nsenter -t 1 -m id", "chroot / id", "setpriv --reuid 0 id", "mknod disk b 254 0"):
    result = subprocess.run(command.split(), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
    found["became"][command] = result.returncode, result.stdout + result.stderr
for name, arguments in (("setuid", (0,)), ("setgid", (0,)), ("setgroups", (1, (ctypes.c_int * 1)(0))),
                        ("unshare", (0x10000000,)), ("unshare", (0x40000000,)), ("setns", (0, 0)),
                        ("sethostname", (b"x", 1)), ("mount", (b"/", b"/mnt", b"", 4096, None))):
    found["became"][f"{name}{arguments[:1]}"] = 1, tried(c, name, *arguments)
numbers = {"x86_64": (250, 321, 298, 246, 175), "aarch64": (219, 280, 241, 104, 105)}[platform.machine()]
nothing = ctypes.create_string_buffer(256)
found["calls"] = {name: tried(c, number, 0, nothing, 128) for name, number in zip(
    ("keyctl", "bpf", "perf_event_open", "kexec_load", "init_module"), numbers)}
found["calls"]["io_uring_setup"] = tried(c, 425, 8, nothing)

found["writable"] = subprocess.run(
    "find / -xdev -writable ! -user 10001 ! -type l ! -perm -1000", shell=True, capture_output=True, text=True
).stdout.split()
code = glob.glob("/opt/agent/**/*.py*", recursive=True)
found["agent's code"] = {path: tried(write, path, b"x") for path in code if "/agent/site-packages/" in path}
found["cgroup writes"] = {}
for path in glob.glob("/sys/fs/cgroup/**/*", recursive=True):
    if os.path.isdir(path):
        found["cgroup writes"][path] = tried(os.mkdir, path + "/mine")
    elif path.endswith(("limit_in_bytes", ".max", "procs", "tasks", "quota_us", "release_agent", "devices.allow")):
        found["cgroup writes"][path] = tried(write, path, b"1")
found["kernel writes"] = {path: tried(write, path, b"x") for path in (
    "/proc/sys/kernel/core_pattern", "/proc/sys/vm/panic_on_oom", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
    "/proc/irq/default_smp_affinity", "/sys/power/state", "/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda")}
found["masked"] = {}
for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats"):
    found["masked"][path] = tried(lambda: len(read(path)))
for path in ("/proc/acpi", "/proc/scsi", "/sys/firmware"):
    found["masked"][path] = tried(lambda: len(os.listdir(path)))
found["log writes"] = {path: tried(write, path, b"spoken into the container's log\n") for path in (
    "/proc/1/fd/1", "/proc/1/fd/2", f"/proc/{agent}/fd/1", f"/proc/{agent}/fd/2", "/dev/console", "/dev/tty")}

found["mounts"] = [line.split()[1:4] for line in read("/proc/mounts").decode().splitlines()]
found["engine"] = [path for path in ("/run/docker.sock", "/run/containerd", "/var/lib/docker") if os.path.exists(path)]
found["interfaces"] = sorted(name for _, name in socket.if_nameindex())
found["routes"] = read("/proc/net/route").decode().splitlines()[1:]
found["addresses"] = [line.split()[-1] for line in read("/proc/net/if_inet6").decode().splitlines()]
found["out"] = tried(socket.create_connection, ("192.0.2.1", 80), 2)
try:
    found["name"] = socket.gethostbyname("host.docker.internal")
except socket.gaierror as error:
    found["name"] = "gaierror"
found["families"] = []
for name in (name for name in dir(socket) if name.startswith("AF_")):
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)
    if not all(tried(lambda: socket.socket(getattr(socket, name), kind).close()).startswith("E") for kind in kinds):
        found["families"].append(name)

child.kill()
os.remove("decoy")
with open("found.json", "w") as file:
    json.dump(found, file)
print("READY", flush=True)
wait_for("go")
"""


def container(system: System, job: str) -> str:
    return f"containerized-agent-{system.status(job)['sandbox']}"


def inspect(name: str) -> dict[str, Any]:
    return dict(json.loads(docker("inspect", name))[0])


def give(name: str, path: str, content: str = "") -> None:
    """Put a file into a running job's workspace atomically."""
    script = 'cat > "/tmp/$1" && mv "/tmp/$1" "/workspace/$1"'
    command = ["docker", "exec", "-i", "-u", str(USER), name, "sh", "-c", script, "sh", path]
    subprocess.run(command, input=content, text=True, check=True)


def found_by(artifact: Artifact) -> dict[str, Any]:
    return dict(json.loads(artifact.text("found.json")))


def bridge_address() -> str:
    """Return the host's address on the engine's bridge. It is not loopback, and sandboxes can route to it."""
    subnet = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}")
    return str(next(ipaddress.ip_network(subnet).hosts()))
