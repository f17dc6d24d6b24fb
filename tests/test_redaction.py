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
import shlex
import subprocess
import time
import urllib.parse
import xml.sax.saxutils
import zipfile
from collections.abc import Callable

import markupsafe
import pytest
import requests
import yaml
from conftest import System, touch, until
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.runtime.output import Budget, StepOutput
from orchestrator.job_secrets.validation import ALL_BYTES
from protocol.artifact import CHUNK, Artifact
from protocol.redaction import Needles, Scan, Stream, mark

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
    "in HTML by Jinja": lambda value: str(markupsafe.escape(value)),
    "in XML": lambda value: xml.sax.saxutils.escape(value, {"'": "&apos;", '"': "&quot;"}),
    "as PHP's JSON": lambda value: json.dumps(value).replace("/", "\\/").replace("&", "\\u0026"),
    "as Go's JSON": lambda value: json.dumps(value, ensure_ascii=False).replace("&", "\\u0026"),
    "as YAML": lambda value: yaml.dump({"value": value}, width=200),
    "in SQL": lambda value: value.replace("'", "''"),
    "in CSV": lambda value: value.replace('"', '""'),
    "in an error of requests": lambda value: requests.Request("GET", f"http://x/?q={value}").prepare().url or "",
    "by encodeURI": lambda value: urllib.parse.quote(value, safe=";/?:@&=+$,#!*'()"),
    "by shlex.quote": shlex.quote,
    "by printf %q": lambda value: bash("printf '%q\n' \"$V\"", value),
    "in hexadecimal": lambda value: f"ff{value.encode().hex()}ff",
    "in capital hexadecimal": lambda value: value.encode().hex().upper(),
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
    given = {"kind": "python", "python": ["python 3", {"x": ("hunter2", 1, None, 2.5, True)}], "status": "hunter2"}
    assert needles.structure(given) == {
        **given,
        "python": ["[secret A] 3", {"x": ("[secret B]", 1, None, 2.5, True)}],
    }
    of_users = {"labels": {"status": "hunter2"}, "inputs": {"kind": ["hunter2"]}, "kind": "hunter2"}
    marked = {"labels": {"status": mark("B")}, "inputs": {"kind": [mark("B")]}, "kind": "hunter2"}
    assert needles.structure(of_users) == marked


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


#: A value with all that is written in another way somewhere.
ODD = "Wq 7\"hJ'xK<9>/&Zé"


def test_what_programs_of_the_image_make_of_a_value_is_hidden(system: System) -> None:
    code = """
import os, shlex, requests, yaml
value = os.environ["ODD"]
try:
    requests.get("http://127.0.0.1:9/?q=" + value)
except Exception as error:
    print("requests", error)
print("yaml", yaml.dump({"value": value}), "shlex", shlex.quote(value))
"""
    script = """
node -p 'encodeURI(process.env.ODD)'
printf '%q\\n' "$ODD"
printf %s "$ODD" | od -An -v -tx1 | tr -d ' \\n'
"""
    job = system.submit(
        steps=[{"kind": "python", "code": code}, {"kind": "shell", "script": script}], secrets={"ODD": ODD}
    )
    system.completed(job)
    printed = system.output(job)
    assert printed.count(mark("ODD")) >= 6, printed
    assert not [piece for piece in ("Wq", "hJ", "xK", "Zé", ODD.encode().hex()[:8]) if piece in printed]


def test_a_value_that_is_a_word_of_a_notebook_leaves_it_whole(system: System) -> None:
    secrets = {"A": "source", "B": "outputs", "C": "cell_type", "D": "stream"}
    steps = [{"kind": "python", "code": "import os, json\nprint(os.environ['A'])\nos.environ['C']"}] * 2
    job = system.submit(steps=steps, secrets=secrets)
    system.completed(job)
    notebook = json.loads(system.zip(job).read("session.ipynb"))
    outputs = next(cell["outputs"] for cell in notebook["cells"] if cell["id"] == "step-1")
    assert [output["output_type"] for output in outputs] == ["stream", "display_data"]
    assert (outputs[0]["text"], outputs[1]["data"]["text/plain"]) == (f"{mark('A')}\n", f"'{mark('C')}'")


def test_a_file_with_a_mark_in_its_name_can_be_had_while_the_job_runs_and_after(system: System) -> None:
    script = 'mkdir d; echo kept > "d/$TOKEN.txt"; echo READY; until [ -e go ]; do sleep 0.05; done'
    job = system.shell(script, secrets={"TOKEN": "hunter2-hunter2"})
    system.says(job, "READY")
    url = next(item["url"] for item in system.http.get(f"/jobs/{job}/files").json()["files"])
    assert urllib.parse.unquote(url).endswith(f"/d/{mark('TOKEN')}.txt")
    assert system.http.get(url).text == "kept\n"
    name = f"containerized-agent-{system.status(job)['sandbox']}"
    touch(name, "/workspace/go", "10001")
    system.completed(job)
    assert system.http.get(url).text == "kept\n"


def test_output_is_not_delayed_by_secrets(system: System) -> None:
    job = system.shell('echo first; printf "a to"; sleep 600', secrets=SECRETS)
    system.says(job, "first\na ")
    assert until(lambda: system.output(job), "it is there") == "first\na "
    system.cancel(job)
    system.ended(job)
    assert system.output(job) == "first\na to"
