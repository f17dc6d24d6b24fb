"""Judges results in a disposable container of the agent's image, so that no result runs on this machine itself."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import uuid
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skill.task import Made, Script, Task, written

IMAGE = os.environ.get("AGENT_IMAGE") or "containerized-agent:latest"

#: Seconds per result, for the whole container.
SECONDS = 180

#: Maximum bytes of a result's unpacked workspace.
LARGEST = 512 << 20


@dataclass(frozen=True)
class Verdict:
    """A verdict. ``passed`` is None if the judge gave none."""

    passed: bool | None
    why: str


@dataclass(frozen=True)
class Result:
    """The judged result: files, a script that makes them, or a job's ZIP."""

    name: str  # group/name of the task
    task: Task
    made: Made = field(default_factory=dict)
    archive: Path | None = None


def judge(results: Sequence[Result], image: str = IMAGE) -> list[Verdict]:
    """Judge results in one container without network and privileges, within a time limit."""
    container = f"containerized-agent-skill-{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory(prefix="ca-skill-") as temporary:
        folder = Path(temporary)
        entries = [_unpack(folder, str(number), result) for number, result in enumerate(results)]
        (folder / "list.json").write_text(json.dumps(entries))
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
        command = [
            "docker", "run", "--rm", "--name", container, "--network=none", "--user=10001:10001", "--cap-drop=ALL",
            "--security-opt=no-new-privileges", "--memory=1g", "--memory-swap=1g", "--pids-limit=256",
            "--log-driver=none", "--init", "--env=HOME=/home/user", "--env=MPLBACKEND=agg",
            "--env=PYTHONDONTWRITEBYTECODE=1",
            f"--volume={folder}:/work:ro", f"--volume={Path(__file__).parent}:/judge/skill:ro", "--workdir=/judge",
            "--entrypoint=python3", image, "-m", "skill.inside", "/work",
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 5 * len(results))
            output, problem = done.stdout, done.stderr.strip()[-500:]
        except subprocess.TimeoutExpired:
            subprocess.run(["docker", "rm", "--force", container], capture_output=True)
            output, problem = "", "the judge took too long"
    found = {}
    for line in output.splitlines():
        try:
            told = json.loads(line)
            found[told["key"]] = Verdict(bool(told["passed"]), str(told["why"]))
        except (ValueError, KeyError, TypeError):
            continue
    none = Verdict(None, f"no verdict: {problem or 'the judge printed none'}")
    return [found.get(str(number), none) for number in range(len(results))]


def _unpack(folder: Path, key: str, result: Result) -> dict[str, str]:
    """Write the files of one result. Returns its entry in list.json."""
    workspace, given = folder / key / "workspace", folder / key / "given"
    workspace.mkdir(parents=True)
    given.mkdir()
    entry = {"key": key, "task": result.name}
    uploads = result.task.uploads()
    for name, content in uploads.items():
        (given / name).write_bytes(content)
    if result.archive:
        _extract(result.archive, workspace)
        return entry
    made = dict(uploads)
    if isinstance(result.made, Script):
        (folder / key / "script").write_text(result.made.source)
        entry["language"] = result.made.language
    else:
        made |= written(result.made)
    for name, content in made.items():
        target = workspace / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return entry


def _extract(archive: Path, workspace: Path) -> None:
    """Unpack the workspace of a job's ZIP: only regular files, inside the folder, up to a size limit."""
    room = LARGEST
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            parts = info.filename.split("/")
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            if parts[0] != "workspace" or is_link or ".." in parts or "" in parts[:-1]:
                continue
            target = workspace.joinpath(*parts[1:])
            if info.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            room -= info.file_size
            if room < 0:
                raise ValueError(f"the workspace has more than {LARGEST:,} bytes")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(opened.read(info))
