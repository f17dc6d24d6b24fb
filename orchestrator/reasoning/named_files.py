"""Finds the files that a prompt names. Users look for these first after the job."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Maximum number of files from one prompt.
MOST = 50

#: Suffixes of files that users ask for.
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

#: Product names that look like files.
_PRODUCTS = re.compile(
    r"(node|vue|react|next|nuxt|express|d3|three|chart|p5|angular|backbone|ember|moment|underscore|alpine|socket|"
    r"discord|electron|nest|solid|svelte|knex|sequelize|asp)\.(js|net|io|ts)",
    re.IGNORECASE,
)

#: After these words, a file is not expected at the end.
_GONE = re.compile(
    r"\b(delete|remove|rename|move|without|do not|don't|never|no|instead of|like|such as|for example|e\.g\.)\b"
    r"[^.;\n]{0,40}$",
    re.IGNORECASE,
)


def named_files(prompt: str, uploads: Iterable[str] = ()) -> list[str]:
    """Return the files that the prompt names and that were not uploaded, each once, in order."""
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
    """Return the columns that the prompt gives for tables, as in "totals.csv with the columns category and total"."""
    found = dict[str, list[str]]()
    for match in _COLUMNS.finditer(prompt):
        names = [name.strip(" `'\"") for name in re.split(r",| and ", match[2])]
        names = [name for name in names if name]
        if len(names) > 1 and all(len(name.split()) <= 3 for name in names):
            found[match[1].removeprefix("./")] = names[:50]
    return found


#: Words that mean reading a file, and words that mean making one.
_READ = re.compile(
    r"\b(read|reads|compare|open|load|parse|analy[sz]e|summari[sz]e|convert|import|process|translate)\b", re.I
)
_MAKE = re.compile(
    r"\b(to|into|as|write|save|create|make|called|named|put|generate|produce|output|store|export|add|draw|build)\b",
    re.I,
)
_PROGRAM = re.compile(r"\b(program|script|function|class|module|app|application|tool|command line)\b(?!\.)", re.I)


def missing_inputs(prompt: str, uploads: Iterable[str] = ()) -> list[str]:
    """Return files that the prompt wants to read and that were not uploaded.

    A prompt for a program does not count, because the program reads its files later.
    """
    if _PROGRAM.search(prompt):
        return []
    found = []
    for name in named_files(prompt, uploads):
        before = prompt[: prompt.find(name)][-80:].split(". ")[-1]
        read = max((match.end() for match in _READ.finditer(before)), default=-1)
        make = max((match.end() for match in _MAKE.finditer(before)), default=-1)
        # "summarise a.log in b.json" makes b.json
        beside = before.endswith(" in ") and _NAME.search(before, max(0, read))
        if read > make and not beside and not name.endswith((".py", ".js", ".sh", ".md")):
            found.append(name)
    return found


def made_files(prompt: str, uploads: Iterable[str] = ()) -> list[str]:
    """Return the files that the prompt says to make, not only mentions. The job must produce them."""
    found = []
    for name in named_files(prompt, uploads):
        before = prompt[: prompt.find(name)][-60:].split(". ")[-1]
        read = max((match.end() for match in _READ.finditer(before)), default=-1)
        make = max((match.end() for match in _MAKE.finditer(before)), default=-1)
        if _PROGRAM.search(prompt) and not name.endswith((".py", ".js", ".mjs", ".sh")):
            makes = re.search(r"\b(to|as|into) [`\"']?$", before) is not None
        else:
            makes = make > read or re.search(r"\bin [`\"']?$", before) is not None
            if _NAME.search(before, max(0, make)):  # the prompt makes another file and only mentions this one
                makes = re.search(r"(\b(to|as|into|in|and)|,) [`\"']?$", before) is not None
        if makes:
            found.append(name)
    return found


_TEST = re.compile(r"(?:.*/)?(?:test[\w-]*|[\w-]+[_.](?:test|spec))\.(?:py|js|mjs|cjs)", re.IGNORECASE)

#: Test files that run after the work.
MOST_TESTS = 5


def tests_of(prompt: str, uploads: Iterable[str]) -> list[str]:
    """Return uploaded test files if the prompt is about tests. They must pass."""
    if not re.search(r"\b(tests?|specs?)\b|\b(test|spec)[_.]", prompt, re.IGNORECASE):
        return []
    return test_files(uploads)[:MOST_TESTS]


def test_files(names: Iterable[str]) -> list[str]:
    """Return the names of test files."""
    return [name for name in names if _TEST.fullmatch(name)]


_MEND = re.compile(r"\b(fix|mend|repair|correct|debug|bugs?|refactor|rewrite|change|edit|extend)\b", re.IGNORECASE)


def mended_files(prompt: str, uploads: Iterable[str]) -> list[str]:
    """Return the uploads to be changed: the programs in the prompt, without their tests."""
    if not _MEND.search(prompt):
        return []
    return [name for name in uploads if name in prompt and _SOURCE.search(name) and not _TEST.fullmatch(name)]


_SOURCE = re.compile(r"\.(py|js|mjs|cjs|ts|sh|c|cpp|java|go|rs|rb|php)$", re.IGNORECASE)
_SERVER = re.compile(r"\b(server|rest api|listens? on|localhost|port \d+)\b", re.IGNORECASE)


def about_a_server(prompt: str, uploads: Iterable[str]) -> bool:
    """Return whether the prompt is about a server whose program was uploaded."""
    return bool(_SERVER.search(prompt)) and any(name.endswith((".py", ".js")) for name in uploads)


_WORDS = re.compile(
    r"\s*(what|why|how|who|when|where|which|explain|describe|compare|summari[sz]e|tell|define|discuss|suggest|"
    r"recommend)\b",
    re.IGNORECASE,
)


def asks_for_words(prompt: str) -> bool:
    """Return whether a text alone can answer the prompt."""
    return bool(_WORDS.match(prompt)) or prompt.rstrip().endswith("?")


#: Words of a prompt about a page, a window or the screen.
_SCREEN = re.compile(
    r"\b(browser|chromium|chrome|playwright|selenium|xdotool|wmctrl|screenshot|screen shot|click|web ?page|web ?site|"
    r"page\.html|html page|desktop|window|gui|fill (in |out )?the form|tkinter|url|scroll|button)\b",
    re.IGNORECASE,
)


def about_a_screen(prompt: str) -> bool:
    """Return whether the prompt is about a page, a window or the screen."""
    return bool(_SCREEN.search(prompt))
