"""Attacks on what docs/security.md promises of secrets and keys: by jobs that look everywhere and show all they have.

The first of them looks while a model works for it, through the real SDKs and a server that speaks the provider's
protocol; all that passes over the link meanwhile is kept.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import secrets
import select
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from protocol.redaction import mark
from tests.support.attack import SPY, TOOLS, container, found_by, give, inspect
from tests.support.plans import accept, plan, shell, step
from tests.support.providers import GeminiServer, OpenAIServer, Server
from tests.support.secret_values import SECRETS
from tests.support.system import Artifact, System, docker

SERVERS: dict[str, type[Server]] = {"gemini": GeminiServer, "openai": OpenAIServer}


def canary() -> str:
    """A value of the shape that the spy looks for."""
    return f"canary-{secrets.token_hex(16)}"


# ── a job that looks everywhere while a model works for it ───────────────────────────────────────────────────────────


class Tap:
    """Stands before the link's socket and keeps all that passes. ``exchanges`` are requests with their answers."""

    def __init__(self, system: System) -> None:
        self.exchanges: list[tuple[bytes, bytes]] = []
        there, self._real = system.run_dir / "link/link.sock", system.run_dir / "real.sock"
        was = there.stat()
        there.rename(self._real)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(there))
        os.chown(there, was.st_uid, was.st_gid)
        there.chmod(was.st_mode)
        self._listening.listen(100)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Return when all connections are closed, as they are when the system has stopped."""
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                agent = self._listening.accept()[0]
                self._threads.append(threading.Thread(target=self._pass, args=(agent,)))
                self._threads[-1].start()

    def _pass(self, agent: socket.socket) -> None:
        asked, answered = bytearray(), bytearray()
        with agent, socket.socket(socket.AF_UNIX) as link, contextlib.suppress(OSError):
            link.connect(str(self._real))
            while True:
                for source in select.select([agent, link], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        raise ConnectionResetError
                    if source is link:
                        answered += data
                        agent.sendall(data)
                        continue
                    if answered:  # the next request on the same connection
                        self._keep(asked, answered)
                    asked += data
                    link.sendall(data)
        self._keep(asked, answered)

    def _keep(self, asked: bytearray, answered: bytearray) -> None:
        self.exchanges.append((bytes(asked), bytes(answered)))
        asked.clear()
        answered.clear()


@dataclass
class Session:
    """What a spying job found while a model worked for it, and what there was of it outside."""

    system: System
    server: Server
    keys: dict[str, str]
    own: dict[str, str]  # its secrets
    others: dict[str, str]  # those of a neighbour
    job: str
    neighbour: str
    found: dict[str, Any]
    outside: dict[str, str]
    artifact: Artifact
    exchanges: list[tuple[bytes, bytes]]

    def where(self, value: str) -> set[str]:
        """The places in which the spy found a value."""
        return {place for place, match in self.found["matches"] if match == value}


@pytest.fixture(scope="module", params=SERVERS)
def session(engine: None, request: pytest.FixtureRequest) -> Iterator[Session]:
    """A plan that fails, is mended into one that looks everywhere, and is reviewed."""
    keys = {"API_KEY": canary(), "PROVIDER": canary()}
    spy = [step("file", TOOLS + SPY, "spy.py"), shell("python spy.py", title="Look")]
    turns = (plan(shell("exit 3", title="Fail")), plan(*spy), accept())
    with SERVERS[request.param](turns, key=keys["PROVIDER"]) as server:
        system = System(API_KEY=keys["API_KEY"], MAX_CONCURRENT_JOBS="2", AGENT_LOOP="loop", **server.settings)
        tap = Tap(system.start())
        try:
            own, others = {"OWN_TOKEN": canary(), "OWN_KEY": canary()}, {"OWN_TOKEN": canary()}
            neighbour = system.shell("echo READY; until [ -e go ]; do sleep 0.05; done", secrets=others)
            system.says(neighbour, "READY")
            job = system.submit(prompt="Look around", secrets=own)
            system.says(job, "READY")
            name = container(system, job)
            inspected = inspect(name)
            outside = {"inspect": json.dumps(inspected), "container's log": docker("logs", name)}
            outside["processes"] = docker("top", name, "-eo", "pid,args")
            give(name, "go")
            system.completed(job)
            give(container(system, neighbour), "go")
            system.completed(neighbour)
            outside |= told(system, job) | {
                f"neighbour's {place}": text for place, text in told(system, neighbour).items()
            }
            artifact = system.zip(job)
            found = found_by(artifact)
            yield Session(system, server, keys, own, others, job, neighbour, found, outside, artifact, tap.exchanges)
        finally:
            system.close()
            tap.close()


def test_no_key_is_within_reach_of_a_job_that_a_model_works_for(session: Session) -> None:
    assert [call.key for call in session.server.asked] == [session.keys["PROVIDER"]] * 3  # it was used
    assert session.where(session.found["decoys"]["key"]) >= {"file"}
    assert session.where(session.found["decoys"]["token"]) >= {"environ", "mem"}
    for key in session.keys.values():
        assert not session.where(key)
        assert not [place for place, text in session.outside.items() if key in text]
        assert not [name for name in session.artifact.namelist() if key.encode() in session.artifact.read(name)]


def test_a_job_finds_its_own_secrets_with_its_steps_and_no_others_at_all(session: Session) -> None:
    for value in session.own.values():
        assert "environ" in session.where(value) and session.where(value) <= {"environ", "mem"}
    assert not session.where(session.others["OWN_TOKEN"])
    known = {*session.own.values(), *session.found["decoys"].values()}
    assert {match for _, match in session.found["matches"]} == known


def test_outside_of_its_steps_there_is_no_value_of_a_secret(session: Session) -> None:
    for value in (*session.own.values(), *session.others.values()):
        assert not [place for place, text in session.outside.items() if value in text]
        with_value = [name for name in session.artifact.namelist() if value.encode() in session.artifact.read(name)]
        assert with_value == (["workspace/found.json"] if value in session.own.values() else [])
        prompts = [text for call in session.server.asked for _, text in call.messages]
        assert len(prompts) == 2 + 4 + 6 and not [prompt for prompt in prompts if value in prompt]
    assert all("OWN_KEY, OWN_TOKEN" in call.prompt for call in session.server.asked)
    assert session.artifact.manifest["secrets_found"] == [
        {"path": "workspace/found.json", "names": ["OWN_KEY", "OWN_TOKEN"]}
    ]


def test_on_the_link_secrets_are_in_the_order_of_their_job_alone_and_no_key_is(session: Session) -> None:
    paths = {request.split()[1] for request, _ in session.exchanges if request}
    assert paths >= {b"/take", b"/events", b"/commands", b"/ask", b"/outcome", b"/artifact"}
    for key in session.keys.values():
        assert not [request.split()[1] for request, answer in session.exchanges if key.encode() in request + answer]
    for value in (*session.own.values(), *session.others.values()):
        with_value = [request.split()[1] for request, answer in session.exchanges if value.encode() in answer]
        assert with_value == [b"/take"]
        packed = [request.split()[1] for request, _ in session.exchanges if value.encode() in request]
        assert packed in ([], [b"/artifact"])  # the spy's own file is in its ZIP


def test_a_models_server_cannot_send_a_key_or_a_value_into_a_container(make_system: Callable[..., System]) -> None:
    keys = {"API_KEY": canary(), "PROVIDER": canary()}
    value = canary()
    all_of_them = " ".join([*keys.values(), value])
    turns = (plan(shell(f"echo {all_of_them} | tee out.txt", title=value)), accept(value))
    with OpenAIServer(turns, key=keys["PROVIDER"]) as server:
        system = make_system(API_KEY=keys["API_KEY"], AGENT_LOOP="loop", **server.settings).start()
        job = system.submit(prompt="Say it", secrets={"TOKEN": value})
        found = system.completed(job)
        assert system.zip(job).text("out.txt") == f"{mark('API_KEY')} {mark('LLM_API_KEY')} {mark('TOKEN')}\n"
        assert found["summary"] == mark("TOKEN") == found["steps"][0]["title"]
        assert not [place for place, text in told(system, job).items() for one in all_of_them.split() if one in text]


# ── jobs that show all that they have ────────────────────────────────────────────────────────────────────────────────

#: Prints each value in many ways, in pieces too, and leaves it in files; the other streams of a job follow below.
LEAK = r"""
import base64, json, os, sys, time, urllib.parse
values = [os.environ[name] for name in ("TOKEN", "QUOTED", "DEPLOY_KEY")]
os.makedirs("out", exist_ok=True)
for number, value in enumerate(values):
    print("plain:", value)
    print("json:", json.dumps({"key": value}), json.dumps(value, ensure_ascii=False), "repr:", [value], value.encode())
    print("url:", urllib.parse.quote(value), urllib.parse.quote_plus(value))
    print("base64:", base64.b64encode(value.encode()))
    for character in value:
        sys.stdout.write(character)
        sys.stdout.flush()
        time.sleep(0.005)
    os.write(2, b"\nto stderr: " + value.encode() + b"\n")
    with open(f"out/{number}.txt", "w") as file:
        file.write("x" * 2**18 + value)
    os.makedirs("named-" + value.strip().replace("/", "_").replace("\n", " "), exist_ok=True)
with open("harmless.txt", "w") as file:
    file.write("nothing")
with open("head.txt", "w") as file:
    file.write("." * 1990 + values[0])
print("END", flush=True)
"""


#: Shows values in all ways that a cell of a notebook can.
SHOW = r"""
import os, matplotlib.pyplot as plt, pandas as pd
from IPython.display import HTML, JSON, Markdown, display
token = os.environ["TOKEN"]
display(HTML(f"<b>{token}</b>"), Markdown(f"**{token}**"), JSON({"key": token}))
display(token, display_id=token)
plt.plot([1, 2, 3])
plt.show()
display(pd.DataFrame({"key": [token], os.environ["QUOTED"]: [1]}))
print(token, end="")
token
"""


def told(system: System, job: str) -> dict[str, str]:
    """All that is told of a job, but the content of its workspace's files."""
    places = {
        "events": system.http.get(f"/jobs/{job}/events").text,
        "status": system.http.get(f"/status/{job}").text,
        "jobs": system.http.get("/jobs").text,
        "files": system.http.get(f"/jobs/{job}/files").text,
        "log": system.log.read_text(),
    }
    artifact = system.zip(job)
    for name in ("manifest.json", "report.md", "output.log", "session.ipynb", "SHA256SUMS"):
        places[name] = artifact.read(name).decode()
    places["names"] = "\n".join(artifact.namelist())
    for path in system.record.rglob("*"):  # the database as it is on disk, and what else is there, but for ZIPs
        if path.is_file() and path.suffix != ".zip":
            places[str(path)] = path.read_bytes().decode(errors="replace")
    return places


def pieces(value: str) -> list[str]:
    """What would give a value away: its lines, as they are and as they are often written."""
    found = []
    for line in value.splitlines():
        if len(line) > 5 and "PRIVATE" not in line:
            found += [line, json.dumps(line)[1:-1], repr(line)[1:-1], urllib.parse.quote(line), html.escape(line)]
            found.append(base64.b64encode(line.encode()).decode()[4:20])
    return found


def assert_hidden(places: dict[str, str]) -> None:
    forms = {form for value in SECRETS.values() for form in pieces(value)}
    assert not [(place, form) for place, text in places.items() for form in forms if form in text]


def test_nothing_that_is_told_of_a_job_has_a_value(system: System) -> None:
    job = system.submit(
        steps=[
            {"kind": "python", "code": LEAK},
            {"kind": "shell", "script": 'set -x; : "$TOKEN" "$QUOTED"; export -p | grep -e TOKEN -e QUOTED'},
            {"kind": "shell", "script": 'echo "it was $TOKEN"; echo "$DEPLOY_KEY" >&2; exit 7'},
        ],
        secrets=SECRETS,
    )
    found = system.ended(job)
    assert (found["status"], found["reason"]) == ("failed", "step_failed")
    assert f"it was {mark('TOKEN')}" in found["detail"] and mark("DEPLOY_KEY") in found["detail"]
    assert_hidden(told(system, job))
    output = system.output(job, 1)
    assert output.count(mark("TOKEN")) >= 8 and output.rstrip().endswith("END")
    artifact = system.zip(job)
    assert artifact.text("out/0.txt").endswith(SECRETS["TOKEN"])
    with_secrets = {item["path"]: item["names"] for item in artifact.manifest["secrets_found"]}
    assert with_secrets == {
        "workspace/head.txt": ["TOKEN"],
        "workspace/out/0.txt": ["TOKEN"],
        "workspace/out/1.txt": ["QUOTED"],
        "workspace/out/2.txt": ["DEPLOY_KEY"],
    }
    assert "`workspace/out/2.txt`: DEPLOY_KEY" in artifact.report and "harmless" not in artifact.report
    assert found["artifact"]["with_secrets"] == 4 and f"named-{mark('QUOTED')}/" in artifact.paths


def test_a_notebook_has_marks_and_its_pictures_stay_whole(system: System) -> None:
    steps = [
        {"kind": "python", "code": SHOW},
        {"kind": "python", "code": "print(token[:9], end='', flush=True); print(token[9:]); raise KeyError(token)"},
    ]
    job = system.submit(steps=steps, secrets=SECRETS)
    found = system.ended(job)
    assert found["reason"] == "step_failed" and mark("TOKEN") in found["detail"]
    artifact = system.zip(job)
    live = system.http.get(f"/jobs/{job}/notebook").text
    notebook = artifact.read("session.ipynb").decode()
    assert_hidden({**told(system, job), "notebook": notebook, "live": live})
    shown = [output for cell in json.loads(notebook)["cells"] for output in cell.get("outputs", [])]
    assert any(f"<b>{mark('TOKEN')}</b>" in "".join(one.get("data", {}).get("text/html", "")) for one in shown)
    assert any(one.get("ename") == "KeyError" and mark("TOKEN") in one["evalue"] for one in shown)
    picture = next(one["data"]["image/png"] for one in shown if "image/png" in one.get("data", {}))
    assert base64.b64decode("".join(picture))[1:4] == b"PNG"
    assert artifact.manifest["secrets_found"] == []


def test_a_salvaged_job_hides_the_same(system: System) -> None:
    job = system.python(LEAK + "\ntime.sleep(600)", secrets=SECRETS)
    system.says(job, "END")
    live = system.http.get(f"/jobs/{job}/files").text
    assert f"named-{mark('QUOTED')}" in live
    docker("kill", f"containerized-agent-{system.status(job)['sandbox']}")
    found = system.ended(job)
    assert (found["reason"], found["artifact"]["with_secrets"]) == ("agent_lost", 4)
    assert_hidden({**told(system, job), "live": live})
    artifact = system.zip(job)
    assert len(artifact.manifest["secrets_found"]) == 4 and "`workspace/out/1.txt`: QUOTED" in artifact.report


def test_the_orchestrators_own_keys_are_hidden_too(make_system: Callable[..., System]) -> None:
    names = ("API_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY", "LLM_API_KEY")
    keys: dict[str, Any] = {name: f"orchestrators-own-key-{number}" for number, name in enumerate(names, 1)}
    system = make_system(**keys).start()
    job = system.shell(
        "printf '%s-%s-%s-1 and 2\\n' orchestrators own key; "
        "for n in 2 3 4; do echo orchestrators-own-key-$n; done; exit 1"
    )
    found = system.ended(job)
    assert found["detail"].endswith("\n".join([f"{mark('API_KEY')} and 2", *map(mark, names[1:])]))
    assert not [place for place, text in told(system, job).items() for key in keys.values() if key in text]
    given = system.shell(f"true {keys['API_KEY']}", prompt=keys["GEMINI_API_KEY"], labels={"key": keys["API_KEY"]})
    system.completed(given)  # what the caller himself has put in is in the record, and yet in nothing that is passed on
    artifact = system.zip(given)
    assert mark("GEMINI_API_KEY") in artifact.report and artifact.manifest["plan"]["labels"] == {"key": mark("API_KEY")}
    texts = [artifact.read(name).decode() for name in artifact.namelist()]
    assert not [text for text in texts for key in keys.values() if key in text]
