"""Secrets kept out of what leaves a job: how each is found in texts, streams and files, and that none comes out.

The first part is by machine and without a container, the second on real ones.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
import random
import re
import subprocess
import time
import urllib.parse
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Artifact as Zip
from conftest import System, docker, until
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.artifact import CHUNK, Artifact
from agent.output import Budget, StepOutput
from agent.redaction import Needles, Scan, Stream, mark
from orchestrator.secrecy import ALL_BYTES

TOKEN = "tok-Kq4/Zw+9s=Lm2 #7"
QUOTED = 'it\'s "p&q" \\ 100%, ü'
PEM = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n".format(
    "\n".join(base64.b64encode(random.Random(1).randbytes(48)).decode()[:64] for _ in range(3))  # noqa: S311
)
SECRETS = {"TOKEN": TOKEN, "QUOTED": QUOTED, "DEPLOY_KEY": PEM}
NEEDLES = Needles(SECRETS)

by_machine = settings(derandomize=True, database=None, deadline=None, max_examples=300)


# ── in texts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def bash(command: str, value: str) -> str:
    """What bash prints of a command with ``V`` in its environment."""
    env = {**os.environ, "V": value, "LC_ALL": "C.UTF-8"}
    run = subprocess.run(["bash", "-c", command], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return run.stdout


TRANSFORMED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "stripped": str.strip,
    "as JSON": json.dumps,
    "as JSON in Unicode": lambda value: json.dumps(value, ensure_ascii=False),
    "by repr": repr,
    "by repr of bytes": lambda value: repr(value.encode()),
    "in a URL": urllib.parse.quote,
    "in a URL's query": urllib.parse.quote_plus,
    "in a URL, wholly": lambda value: urllib.parse.quote(value, safe=""),
    "in a URL in small letters": lambda value: re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(value)),
    "in HTML": html.escape,
    "in base64": lambda value: base64.b64encode(value.encode()).decode(),
    "in base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "as basic authentication": lambda value: base64.b64encode(f"user:{value}".encode()).decode(),
    "in base64 between others": lambda value: base64.b64encode(f"ab{value}cd".encode()).decode(),
    "by bash -x": lambda value: bash('set -x; : "$V"', value),
    "by export -p": lambda value: bash("export -p | grep ' V='", value),
}


@pytest.mark.parametrize("how", TRANSFORMED)
@pytest.mark.parametrize("name", ["TOKEN", "QUOTED"])
def test_a_value_is_found_as_it_is_often_met(how: str, name: str) -> None:
    text = f"before {TRANSFORMED[how](SECRETS[name])} after"
    found = NEEDLES.text(text)
    assert mark(name) in found and found.startswith("before ") and found.endswith(" after")
    for piece in (SECRETS[name][:8], SECRETS[name][-8:], base64.b64encode(SECRETS[name].encode()).decode()[4:16]):
        assert piece not in found


def test_each_line_of_a_long_value_is_found_alone_but_not_what_all_keys_begin_with() -> None:
    lines = PEM.strip().split("\n")
    for line in lines[1:-1]:
        assert NEEDLES.text(f"  {line}\r\n") == f"  {mark('DEPLOY_KEY')}\r\n"
    assert NEEDLES.text(lines[0]) == lines[0]
    assert NEEDLES.text(f"x{PEM}y") == f"x{mark('DEPLOY_KEY')}\ny"
    in_json = Needles({"ACCOUNT": json.dumps({"private_key": PEM})})
    assert in_json.text(lines[1]) == mark("ACCOUNT")


def test_values_that_overlap_leave_nothing_of_each_other() -> None:
    needles = Needles({"A": "abcdefgh", "B": "efghijkl", "C": "abcdefghijkl-and-more"})
    assert needles.text("<abcdefghijkl>") == "<[secret A][secret B]>"
    assert needles.text("<abcdefghijkl-and-more>").strip("<>").startswith("[secret ")
    assert "more" not in needles.text("<abcdefghijkl-and-more>")


def test_a_structure_keeps_its_shape_and_its_fixed_words() -> None:
    needles = Needles({"A": "python", "B": "hunter2"})
    given = {"kind": "python", "texts": ["python 3", {"hunter2": ("x", 1, None, 2.5, True)}], "status": "hunter2"}
    expected = {"kind": "python", "status": "hunter2"}
    assert needles.structure(given) == {
        **expected,
        "texts": ["[secret A] 3", {"[secret B]": ("x", 1, None, 2.5, True)}],
    }


def test_as_many_and_as_large_secrets_as_may_be_take_no_time() -> None:
    chance = random.Random(2)  # noqa: S311
    letters = [chr(number) for number in range(33, 127)]
    many = {f"T{n}": "".join(chance.choices(letters, k=ALL_BYTES // 32)) for n in range(31)}
    many["PEM"] = "\n".join("".join(chance.choices(letters, k=64)) for _ in range(30))
    begun = time.monotonic()
    needles = Needles(many)
    text = "an ordinary line of a program that prints much\n" * 20_000
    stream = Stream(needles)
    out = b"".join(stream.feed(text.encode()[at : at + 65_536]) for at in range(0, len(text), 65_536)) + stream.close()
    assert out.decode() == text == needles.text(text)
    assert needles.text(f"{text}{many['T7']}") == f"{text}{mark('T7')}"
    assert time.monotonic() - begun < 10


# ── in streams ───────────────────────────────────────────────────────────────────────────────────────────────────────

PERIODIC = Needles({"A": "abababab", "B": "babbab", "C": "abab-line-of-16-chars\nxx"})
PIECES = st.sampled_from(
    [
        "abababab",
        "babbab",
        "ab",
        "aba",
        "b",
        "a",
        "-",
        "\n",
        "abab-line-of-16-chars",
        "xx",
        "ZGFiYWJhYmFi",
        "YWJhYmFiYW",
    ]
)


@by_machine
@given(pieces=st.lists(PIECES, max_size=30), cuts=st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_a_stream_in_any_pieces_gives_what_the_whole_would(pieces: list[str], cuts: list[int]) -> None:
    whole = "".join(pieces)
    stream, out, at = Stream(PERIODIC), b"", 0
    for cut in cuts * (len(whole) // len(cuts) + 1):
        out += stream.feed(whole[at : at + cut].encode())
        at += cut
    assert (out + stream.close()).decode() == PERIODIC.text(whole)


def test_only_what_may_be_a_beginning_is_held_back() -> None:
    stream = Stream(NEEDLES)
    assert stream.feed(b"hello to") == b"hello "
    assert stream.feed(b"day, tok-Kq4/") == b"today, "
    assert stream.feed(b"Zw+9s=Lm2 #7!") == mark("TOKEN").encode() + b"!"
    assert stream.feed(b"Password: ") == b"Password: "
    assert stream.feed(b"tok-") + stream.close() == b"tok-"


def test_output_that_repeats_a_value_without_end_is_not_held_without_end() -> None:
    stream = Stream(PERIODIC)
    out = b"".join(stream.feed(b"ab" * 1000) for _ in range(100)) + stream.close()
    assert out == b"[secret A]"


@pytest.mark.parametrize("size", [1, 3, 4096])
@pytest.mark.parametrize("before", range(1024 * 1024 - 24, 1024 * 1024 + 2, 5))
def test_no_half_of_a_value_is_left_where_output_is_cut(size: int, before: int) -> None:
    sent: list[str] = []
    output = StepOutput(sent.append, Budget(), NEEDLES)
    output.feed(b"x" * before)
    printed = (TOKEN + " end\n").encode()
    for at in range(0, len(printed), size):
        output.feed(printed[at : at + size])
    output.feed(b"y" * 200_000 + TOKEN.encode() + b"y" * (65_530))
    output.close()
    text = "".join(sent)
    assert TOKEN[:4] not in text and TOKEN[-4:] not in text and "bytes of output are left out" in text
    assert output.size == before + len(printed) + 200_000 + len(TOKEN) + 65_530


def test_without_secrets_a_stream_is_what_it_was() -> None:
    stream, data = Stream(Needles({})), b"as it is"
    assert stream.feed(data) is data and stream.close() == b"" and not Needles({})


# ── in files ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@by_machine
@given(before=st.integers(0, 60), size=st.integers(1, 40), value=st.sampled_from([TOKEN, QUOTED]))
def test_a_value_is_found_across_the_pieces_of_a_file(before: int, size: int, value: str) -> None:
    scan = Scan(NEEDLES)
    content = b"." * before + value.encode() + b"." * 20
    for at in range(0, len(content), size):
        scan.feed(content[at : at + size])
    assert len(scan.names) == 1


@pytest.mark.parametrize("at", [0, CHUNK - 7, CHUNK, 2 * CHUNK - 1])
def test_packing_changes_no_file_and_tells_which_has_a_value(at: int) -> None:
    out = io.BytesIO()
    artifact = Artifact(out, budget=2**24, needles=NEEDLES)
    content = b"." * at + TOKEN.encode() + b"." * CHUNK
    artifact.add_file("a/with", io.BytesIO(content), len(content), 0o644, 0)
    artifact.add_file(f"a/{TOKEN.replace('/', '_')}", io.BytesIO(b"x"), 1, 0o644, 0)
    artifact.add_link("link", f"{QUOTED}", 0)
    artifact.finish({"job_id": "j"}, {})
    with zipfile.ZipFile(out) as found:
        manifest = json.loads(found.read("manifest.json"))
        assert found.read("workspace/a/with") == content
    assert manifest["secrets_found"] == [
        {"path": "workspace/a/with", "names": ["TOKEN"]},
        {"path": "workspace/link", "names": ["QUOTED"]},
    ]
    assert manifest["files"][-1]["target"] == mark("QUOTED")


def test_names_with_a_value_have_its_mark_and_stay_apart() -> None:
    out = io.BytesIO()
    needles = Needles({"A": "hunter2"})
    artifact = Artifact(out, budget=2**24, needles=needles)
    for name in ("hunter2.txt", "in/hunter2/x", "[secret A].txt", "hunter2 " * 30):
        artifact.add_file(name, io.BytesIO(name.encode()), len(name), 0o644, 0)
    artifact.finish({}, {})
    with zipfile.ZipFile(out) as found:
        listed = found.namelist()
        assert found.read("workspace/[secret A].txt~2") == b"[secret A].txt"
        sums = found.read("SHA256SUMS").decode() + found.read("manifest.json").decode()
    assert "workspace/in/[secret A]/x" in listed and len(set(listed)) == 6 and "workspace/[secret …]" in listed
    assert "hunter2" not in sums + "".join(listed)


# ── on real containers ───────────────────────────────────────────────────────────────────────────────────────────────

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
    for name in ("manifest.json", "report.md", "output.log", "SHA256SUMS"):
        places[name] = artifact.read(name).decode()
    places["names"] = "\n".join(artifact.namelist())
    for path in system.record.rglob("*.db*"):
        places[str(path)] = path.read_bytes().decode(errors="replace")
    return places


def pieces(value: str) -> list[str]:
    """What would give it away, in any form: its lines, and the middle of it in base64."""
    lines = [line for line in value.splitlines() if len(line) > 5 and "PRIVATE" not in line]
    return [*lines, *(base64.b64encode(line.encode()).decode()[4:20] for line in lines)]


def assert_hidden(places: dict[str, str]) -> None:
    for place, text in places.items():
        for name, value in SECRETS.items():
            for piece in (*pieces(value), urllib.parse.quote(value.splitlines()[0]), json.dumps(value)[1:20]):
                assert "PRIVATE" in piece or piece not in text, (
                    place,
                    name,
                    text[max(0, text.find(piece) - 80) :][:200],
                )


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
    assert artifact.text("out/0.txt").endswith(TOKEN) and artifact.text("out/2.txt").endswith(PEM)
    with_secrets = {item["path"]: item["names"] for item in artifact.manifest["secrets_found"]}
    assert with_secrets == {
        "workspace/head.txt": ["TOKEN"],
        "workspace/out/0.txt": ["TOKEN"],
        "workspace/out/1.txt": ["QUOTED"],
        "workspace/out/2.txt": ["DEPLOY_KEY"],
    }
    assert "`workspace/out/2.txt`: DEPLOY_KEY" in artifact.report and "harmless" not in artifact.report
    assert found["artifact"]["with_secrets"] == 4 and f"named-{mark('QUOTED')}/" in artifact.paths


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


def test_a_value_that_is_a_word_of_a_notebook_leaves_it_whole(system: System) -> None:
    secrets = {"A": "source", "B": "outputs", "C": "cell_type", "D": "stream"}
    steps = [{"kind": "python", "code": "import os, json\nprint(os.environ['A'])\nos.environ['C']"}] * 2
    job = system.submit(steps=steps, secrets=secrets)
    system.completed(job)
    notebook = json.loads(system.zip(job).read("session.ipynb"))
    outputs = next(cell["outputs"] for cell in notebook["cells"] if cell["id"] == "step-1")
    assert [output["output_type"] for output in outputs] == ["stream", "display_data"]
    assert (outputs[0]["text"], outputs[1]["data"]["text/plain"]) == (f"{mark('A')}\n", f"'{mark('C')}'")


def test_a_salvaged_job_hides_the_same(system: System) -> None:
    job = system.python(LEAK + "\ntime.sleep(600)", secrets=SECRETS)
    system.says(job, "END")
    live = system.http.get(f"/jobs/{job}/files").text
    assert f"named-{mark('QUOTED')}" in live
    docker("kill", f"containerized-agent-{system.status(job)['sandbox']}")
    found = system.ended(job)
    assert (found["reason"], found["artifact"]["with_secrets"]) == ("agent_lost", 4)
    assert_hidden({**told(system, job), "live": live})
    artifact: Zip = system.zip(job)
    assert len(artifact.manifest["secrets_found"]) == 4 and "`workspace/out/1.txt`: QUOTED" in artifact.report


def test_a_file_with_a_mark_in_its_name_can_be_had_while_the_job_runs_and_after(system: System) -> None:
    script = 'mkdir d; echo kept > "d/$TOKEN.txt"; echo READY; until [ -e go ]; do sleep 0.05; done'
    job = system.shell(script, secrets={"TOKEN": "hunter2-hunter2"})
    system.says(job, "READY")
    url = next(item["url"] for item in system.http.get(f"/jobs/{job}/files").json()["files"])
    assert urllib.parse.unquote(url).endswith(f"/d/{mark('TOKEN')}.txt")
    assert system.http.get(url).text == "kept\n"
    name = f"containerized-agent-{system.status(job)['sandbox']}"
    docker("exec", "-u", "10001", name, "touch", "/workspace/go")
    system.completed(job)
    assert system.http.get(url).text == "kept\n"


def test_output_is_not_delayed_by_secrets(system: System) -> None:
    job = system.shell('echo first; printf "a to"; sleep 600', secrets=SECRETS)
    system.says(job, "first\na ")
    assert until(lambda: system.output(job), "it is there") == "first\na "
    system.cancel(job)
    system.ended(job)
    assert system.output(job) == "first\na to"


def test_the_orchestrators_own_keys_are_hidden_too(make_system: Callable[..., System]) -> None:
    keys: dict[str, Any] = {"API_KEY": "orchestrators-own-key-1", "GEMINI_API_KEY": "orchestrators-own-key-2"}
    system = make_system(**keys).start()
    job = system.shell(
        "printf '%s-%s-%s-1 and 2\\n' orchestrators own key; echo orchestrators-own-key-$((1 + 1)); exit 1"
    )
    found = system.ended(job)
    assert found["detail"].endswith(f"{mark('API_KEY')} and 2\n{mark('GEMINI_API_KEY')}")
    assert not [place for place, text in told(system, job).items() for key in keys.values() if key in text]
    given = system.shell(f"true {keys['API_KEY']}", prompt=keys["GEMINI_API_KEY"], labels={"key": keys["API_KEY"]})
    system.completed(given)  # what the caller himself has put in is in the record, and yet in nothing that is passed on
    artifact = system.zip(given)
    assert mark("GEMINI_API_KEY") in artifact.report and artifact.manifest["plan"]["labels"] == {"key": mark("API_KEY")}
    texts = [artifact.read(name).decode() for name in artifact.namelist()]
    assert not [text for text in texts for key in keys.values() if key in text]
