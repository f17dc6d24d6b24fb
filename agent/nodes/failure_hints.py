"""Sentences that say what a failed step lacks, and what its author can do."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterator

from agent.runtime.failing_command import Failed

#: Messages of programs that cannot resolve a host name.
NO_NAME = re.compile(
    r"name resolution|name or service not known|could not resolve|nameresolutionerror|getaddrinfo|eai_again"
    r"|temporary failure resolving|unknown host|no matching distribution found|err_name_not_resolved"
    r"|err_internet_disconnected",
    re.IGNORECASE,
)

#: Signs in a source that it reads files beside itself, and the messages if they are missing.
BESIDE_ITSELF = re.compile(r"__file__|BASH_SOURCE|\$\{0%|(dirname|realpath|readlink)\b[^\n]{0,80}\$\{?0\b")
NOT_THERE = re.compile(r"permission denied|no such file|not found|cannot (open|access)|can't open", re.IGNORECASE)

NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]{1,100})'")
NO_PACKAGE = re.compile(r"Cannot find (?:module|package) '((?:@[\w.-]+/)?[\w-][\w.-]*)")
NO_COMMAND = re.compile(
    r"line \d+: (?P<name>[\w.+-]{1,100}): command not found$|sh: \d+: (?P<of_sh>[\w.+-]{1,100}): not found$"
    r"|_execute_child\n.*\n(?:.*\n)?FileNotFoundError: \[Errno 2\] No such file or directory: "
    r"'(?P<started>[\w.+-]{1,100})'$"
    r"|spawn (?P<spawned>[\w.+-]{1,100}) ENOENT",
    re.MULTILINE,
)
NOT_ROOT = re.compile(
    r"/var/lib/(?:dpkg|apt)/\S+|are you root|requires? superuser|must be (?:run as )?root", re.IGNORECASE
)
NO_LOCALE = re.compile(r"unsupported locale setting|cannot change locale")
_ELSEWHERE = r"/(?!workspace\b|run/steps\b|home/user\b|tmp\b)[\w./-]+"
NO_WRITE = re.compile(
    rf"(?:Permission denied|Read-only file system): '({_ELSEWHERE})"
    rf"|({_ELSEWHERE})['’]?: (?:Permission denied|Read-only file system)"
)
ELSEWHERE = re.compile(
    rf"No such file or directory: '({_ELSEWHERE}|[A-Za-z]:[\\/][^'\n]{{1,200}})'"
    rf"|[\w/.-]+: (?:cannot \w+ )?'?({_ELSEWHERE})'?: No such file"
)
DEBUGGER = re.compile(r"\bbreakpoint\(\)|\bset_trace\(\)")
STOPPED = re.compile(r"^-+> |BdbQuit|\(Pdb\)|ipdb>", re.MULTILINE)

#: The packages of modules with another name.
PACKAGES = {
    "Crypto": "pycryptodome", "OpenSSL": "pyOpenSSL", "PIL": "pillow", "attr": "attrs", "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless", "dateutil": "python-dateutil", "distutils": "setuptools", "docx": "python-docx",
    "dotenv": "python-dotenv", "fitz": "pymupdf", "git": "GitPython", "jwt": "PyJWT", "kafka": "kafka-python",
    "magic": "python-magic", "MySQLdb": "mysqlclient", "pkg_resources": "setuptools", "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary", "serial": "pyserial", "skimage": "scikit-image", "sklearn": "scikit-learn",
    "slugify": "python-slugify", "umap": "umap-learn", "usb": "pyusb", "yaml": "PyYAML",
}  # fmt: skip

#: Commands whose exit code 1 is an answer.
ANSWERS = re.compile(r"(?:^|[|;&(\s])(?P<name>cmp|diff|grep|egrep|fgrep|pgrep)\s")

#: Characters that an editor or a chat puts in the place of plain ones.
TYPOGRAPHIC = re.compile("[“”„‟‘’‚‛«»‐‑‒–—―−\u00a0\u2007\u202f\u200b-\u200f\u2060\ufeff\u3000]")
MISREAD = re.compile(
    r"invalid (?:character|non-printable)|Invalid or unexpected token|command not found|unexpected EOF|"
    r"unrecognized option|invalid option|No such file|cannot access",
)


def hints(source: str, printed: str, code: int, network: str, failed: Failed | None, path: str) -> Iterator[str]:
    """Yield sentences about a step with this source and exit code that last printed ``printed``.

    ``path`` has the folders of the commands, as in ``PATH``.
    """
    if failed and code == 1 and (found := ANSWERS.search(failed.command)):
        means = "nothing matches" if "grep" in found["name"] else "the files differ"
        yield f"{found['name']} ends with exit code 1 if {means}. If that is no failure, add `|| true`."
    if network == "none" and NO_NAME.search(printed):
        yield 'The job has no network. Submit it with "network": "internet" if it needs one.'
    if found := NO_MODULE.search(printed):
        yield _no_module(found[1].partition(".")[0], network)
    elif found := NO_PACKAGE.search(printed):
        yield f"Node.js finds no package `{found[1]}`. {_install(f'npm install {found[1]}', network)}"
    for name in dict.fromkeys(next(filter(None, found.groups())) for found in NO_COMMAND.finditer(printed)):
        yield _no_command(name, path)
    if NOT_ROOT.search(printed):
        yield (
            "A job is not root, so it cannot install Debian packages. Use pip or npm, or add the package to "
            "Dockerfile.agent and run `make up`."
        )
    if NO_LOCALE.search(printed):
        yield "The image lacks this locale. `locale -a` lists the image's locales."
    if found := NO_WRITE.search(printed):
        yield f"A job can write in /workspace, in /tmp and in its home, but not in {found[1] or found[2]}."
    if found := ELSEWHERE.search(printed):
        yield f"{found[1] or found[2]} is not in the job. Its files and uploads are in /workspace."
    if DEBUGGER.search(source) and STOPPED.search(printed):
        yield "No user can answer the debugger: a job has no terminal. Remove its call."
    if BESIDE_ITSELF.search(source) and NOT_THERE.search(printed):
        yield "A step's source is not in /workspace: name files from there, not from __file__ or $0."
    if MISREAD.search(printed) and (found := TYPOGRAPHIC.search(source)):
        line = source.count("\n", 0, found.start()) + 1
        name = unicodedata.name(found[0], "invisible").lower()
        yield f"Line {line} of the source has the character U+{ord(found[0]):04X} ({name}) in the place of a plain one."


def _no_module(module: str, network: str) -> str:
    package = PACKAGES.get(module, module)
    return f"Python finds no module `{module}`. {_install(f'pip install {package}', network)}"


def _install(command: str, network: str) -> str:
    needs = ' That needs "network": "internet" in the request.' if network == "none" else ""
    return f"If it is a package, install it in a step before: `{command}`.{needs}"


def _no_command(name: str, path: str) -> str:
    if name == "sudo":
        return "A job has no sudo and needs none for pip and npm. Leave `sudo` out."
    known: set[str] = set()
    for folder in path.split(":"):
        try:
            known.update(os.listdir(folder))
        except OSError:
            continue
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"The image has no command `{name}`." + (f" Did you mean `{near[0]}`?" if near else "")
