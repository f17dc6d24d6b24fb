"""The files that a prompt names: what a person will look for first when the job has ended."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Files that are taken from one prompt.
MOST = 50

#: What files that people ask for end with.
SUFFIXES = (
    "py", "ipynb", "sh", "bash", "js", "mjs", "cjs", "ts", "jsx", "tsx", "html", "htm", "css", "csv", "tsv", "json",
    "jsonl", "ndjson", "txt", "md", "rst", "log", "xml", "yaml", "yml", "toml", "ini", "cfg", "conf", "env", "sql",
    "db", "sqlite", "sqlite3", "parquet", "xlsx", "xls", "ods", "docx", "pptx", "pdf", "png", "jpg", "jpeg", "gif",
    "webp", "svg", "bmp", "ico", "zip", "tar", "gz", "tgz", "mp3", "wav", "mp4", "c", "h", "cpp", "hpp", "cc",
    "java", "rs", "go", "rb", "php", "r", "jl", "pl", "lua", "kt", "swift", "tex", "bib", "patch", "diff",
)  # fmt: skip

_NAME = re.compile(
    r"(?<![\w/.@:\\-])(?:\./|/?workspace/)?((?:[\w.-]+/)*[\w-][\w.-]*\.(?:" + "|".join(SUFFIXES) + r"))(?![\w/-]|\.\w)",
    re.IGNORECASE,
)

#: Products whose names look like files.
_PRODUCTS = re.compile(
    r"(node|vue|react|next|nuxt|express|d3|three|chart|p5|angular|backbone|ember|moment|underscore|alpine|socket|"
    r"discord|electron|nest|solid|svelte|knex|sequelize|asp)\.(js|net|io|ts)",
    re.IGNORECASE,
)

#: Words after which a file is not expected to be there at the end.
_GONE = re.compile(
    r"\b(delete|remove|rename|move|without|do not|don't|never|no|instead of|like|such as|for example|e\.g\.)\b"
    r"[^.;\n]{0,40}$",
    re.IGNORECASE,
)


def named_files(prompt: str, uploads: Iterable[str] = ()) -> list[str]:
    """The files that a prompt names and that did not come with it, each once, in order."""
    there = {name.rsplit("/", 1)[-1].lower() for name in uploads}
    found: dict[str, None] = {}
    for match in _NAME.finditer(prompt):
        name = match[1]
        if name.lower() == "tar.gz" or _PRODUCTS.fullmatch(name):
            continue
        before = prompt[max(0, match.start() - 100) : match.start()].split(" ")[-2:]
        rest_of_a_path = before[1:] == [""] and re.fullmatch(r"[^.:]*/[^.:]*", before[0])
        if name.rsplit("/", 1)[-1].lower() in there or rest_of_a_path:
            continue
        if _GONE.search(prompt, max(0, match.start() - 60), match.start()) or name.startswith("."):
            continue
        found[name] = None
        if len(found) == MOST:
            break
    return list(found)


_COLUMNS = re.compile(
    r"(?<![\w./-])([\w./-]{1,200}\.(?:csv|tsv))\b[^.;:\n]{0,40}?\bcolumns?:? (?:called |named )?"
    r"([\w ,/`'\"()-]{3,200}?)(?:[.;:\n(]|$)",
    re.IGNORECASE,
)


def columns_of(prompt: str) -> dict[str, list[str]]:
    """The columns that a prompt says for the tables it names: "totals.csv with the columns category and total"."""
    found = dict[str, list[str]]()
    for match in _COLUMNS.finditer(prompt):
        names = [name.strip(" `'\"") for name in re.split(r",| and ", match[2])]
        names = [name for name in names if name]
        if len(names) > 1 and all(len(name.split()) <= 3 for name in names):
            found[match[1].removeprefix("./")] = names[:50]
    return found


#: Words after which a file is read; words after which it is made.
_READ = re.compile(
    r"\b(read|reads|compare|open|load|parse|analy[sz]e|summari[sz]e|convert|import|process|translate)\b", re.I
)
_MAKE = re.compile(
    r"\b(to|into|as|write|save|create|make|called|named|put|generate|produce|output|store|export|add|draw|build)\b",
    re.I,
)
_PROGRAM = re.compile(r"\b(program|script|function|class|module|app|application|tool|command line)\b(?!\.)", re.I)


def missing_inputs(prompt: str, uploads: Iterable[str] = ()) -> list[str]:
    """The files that a prompt wants to be read and that did not come with it.

    A program that is to be written reads its files later, so what such a prompt names is not missing.
    """
    if _PROGRAM.search(prompt):
        return []
    found = []
    for name in named_files(prompt, uploads):
        before = prompt[: prompt.find(name)][-80:].split(". ")[-1]
        read = max((match.end() for match in _READ.finditer(before)), default=-1)
        make = max((match.end() for match in _MAKE.finditer(before)), default=-1)
        beside = before.endswith(" in ") and _NAME.search(before, max(0, read))  # "summarise a.log in b.json" makes it
        if read > make and not beside and not name.endswith((".py", ".js", ".sh", ".md")):
            found.append(name)
    return found


def made_files(prompt: str, uploads: Iterable[str] = ()) -> list[str]:
    """The files that a prompt says are to be made, and not only mentions: without them the work is not done."""
    found = []
    for name in named_files(prompt, uploads):
        before = prompt[: prompt.find(name)][-60:].split(". ")[-1]
        read = max((match.end() for match in _READ.finditer(before)), default=-1)
        make = max((match.end() for match in _MAKE.finditer(before)), default=-1)
        if _PROGRAM.search(prompt) and not name.endswith((".py", ".js", ".mjs", ".sh")):
            makes = re.search(r"\b(to|as|into) [`\"']?$", before) is not None
        else:
            makes = make > read or re.search(r"\bin [`\"']?$", before) is not None
            if _NAME.search(before, max(0, make)):  # another file is what is made: this one is only mentioned
                makes = re.search(r"(\b(to|as|into|in|and)|,) [`\"']?$", before) is not None
        if makes:
            found.append(name)
    return found


_TEST = re.compile(r"(?:.*/)?(?:test[\w-]*|[\w-]+[_.](?:test|spec))\.(?:py|js|mjs|cjs)", re.IGNORECASE)

#: Files with tests that are run after the work.
MOST_TESTS = 5


def tests_of(prompt: str, uploads: Iterable[str]) -> list[str]:
    """The uploads that hold tests, if the prompt is about tests: the work is done when they pass."""
    if not re.search(r"\b(tests?|specs?)\b|\b(test|spec)[_.]", prompt, re.IGNORECASE):
        return []
    return [name for name in uploads if _TEST.fullmatch(name)][:MOST_TESTS]


_MEND = re.compile(r"\b(fix|mend|repair|correct|debug|bugs?|refactor|rewrite|change|edit|extend)\b", re.IGNORECASE)


def mended_files(prompt: str, uploads: Iterable[str]) -> list[str]:
    """The uploads that a prompt wants to be changed: the programs it names, but not their tests."""
    if not _MEND.search(prompt):
        return []
    return [name for name in uploads if name in prompt and _SOURCE.search(name) and not _TEST.fullmatch(name)]


_SOURCE = re.compile(r"\.(py|js|mjs|cjs|ts|sh|c|cpp|java|go|rs|rb|php)$", re.IGNORECASE)
_SERVER = re.compile(r"\b(server|rest api|listens? on|localhost|port \d+)\b", re.IGNORECASE)


def about_a_server(prompt: str, uploads: Iterable[str]) -> bool:
    """Whether a prompt is about a server whose program came with it."""
    return bool(_SERVER.search(prompt)) and any(name.endswith((".py", ".js")) for name in uploads)


_WORDS = re.compile(
    r"\s*(what|why|how|who|when|where|which|explain|describe|compare|summari[sz]e|tell|define|discuss|suggest|"
    r"recommend)\b",
    re.IGNORECASE,
)


def asks_for_words(prompt: str) -> bool:
    """Whether words alone can be the answer to a prompt."""
    return bool(_WORDS.match(prompt)) or prompt.rstrip().endswith("?")


#: Words of a prompt that is about a page, a window or the screen.
_SCREEN = re.compile(
    r"\b(browser|chromium|chrome|playwright|selenium|xdotool|wmctrl|screenshot|screen shot|click|web ?page|web ?site|"
    r"page\.html|html page|desktop|window|gui|fill (in |out )?the form|tkinter|url|scroll|button)\b",
    re.IGNORECASE,
)


def about_a_screen(prompt: str) -> bool:
    """Whether a prompt is about a page, a window or the screen."""
    return bool(_SCREEN.search(prompt))
