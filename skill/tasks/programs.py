"""Python programs: functions, classes and command lines, judged by hidden tests."""

from __future__ import annotations

from pathlib import Path

from skill.looking import need, run, same, tested, text, well
from skill.task import Task


def program(name: str, file: str, prompt: str, tests: str, reference: str, wrong: str) -> Task:
    """Make a task whose answer is one file."""
    return Task(name, prompt, tested(file, tests), alone=file, reference={file: reference}, wrong=({file: wrong},))


def judge_words(here: Path, given: Path) -> None:
    text(here, "words.py")
    (here / "my poem.txt").write_text("The rain, the rain!\nThe sun and RAIN and the wind.\n")
    same(
        well(here, ["python3", "words.py", "my poem.txt", "--top", "2"]).split(),
        ["the", "4", "rain", "3"],
        "--top 2 prints",
    )
    lines = well(here, ["python3", "words.py", "my poem.txt"]).splitlines()
    same([line.split() for line in lines if line.strip()][2:], [["and", "2"], ["sun", "1"], ["wind", "1"]], "the rest")
    same(well(here, ["python3", "words.py", "--top", "1", "my poem.txt"]).split(), ["the", "4"], "--top 1 first prints")
    done = run(here, ["python3", "words.py", "nothing.txt"])
    need(done.returncode != 0, "words.py ends with exit code 0 for a file that is not there")


def judge_convert(here: Path, given: Path) -> None:
    text(here, "temperature.py")
    for arguments, expected in (
        (["--to", "f", "100"], "212.0"),
        (["--to", "f", "-40"], "-40.0"),
        (["--to", "c", "98.6"], "37.0"),
        (["--to", "k", "0"], "273.1"),
    ):
        printed = well(here, ["python3", "temperature.py", *arguments]).strip()
        wanted = (expected, "273.2") if expected == "273.1" else (expected,)
        need(printed in wanted, f"temperature.py {' '.join(arguments)} prints {printed!r}, not {expected}")
    need(
        run(here, ["python3", "temperature.py", "--to", "x", "1"]).returncode == 2,
        "--to x does not end with exit code 2",
    )
    need(run(here, ["python3", "temperature.py", "--to", "f", "warm"]).returncode != 0, "the value warm is accepted")


def judge_todo(here: Path, given: Path) -> None:
    text(here, "todo.py")
    (here / "todo.json").unlink(missing_ok=True)
    todo = ["python3", "todo.py"]
    well(here, [*todo, "add", "buy milk"])
    well(here, [*todo, "add", "call Eva"])
    well(here, [*todo, "done", "1"])
    lines = [" ".join(line.split()) for line in well(here, [*todo, "list"]).splitlines() if line.strip()]
    same(lines, ["1 [x] buy milk", "2 [ ] call Eva"], "todo.py list prints")
    need(
        run(here, [*todo, "done", "7"]).returncode != 0, "todo.py done 7 ends with exit code 0, and there is no item 7"
    )


TASKS = [
    program(
        "slugs",
        "slugs.py",
        "Write slugs.py with a function slugify(title) that makes a URL slug of a title: lower case, each run of characters "
        "other than a-z and 0-9 becomes one hyphen, no hyphen at the start or the end. Letters with accents lose their "
        "accent, so é becomes e. A title without any usable character gives 'untitled'.",
        """
from slugs import slugify
check("slugify('Release Notes 2.0')", "release-notes-2-0")
check("slugify('  --Hello__World!! ')", "hello-world")
check("slugify('Café Zürich')", "cafe-zurich")
check("slugify('???')", "untitled")
check("slugify('')", "untitled")
check("slugify('a')", "a")
""",
        """import re, unicodedata
def slugify(title):
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-") or "untitled"
""",
        "def slugify(title):\n    return title.lower().replace(' ', '-')\n",
    ),
    program(
        "durations",
        "durations.py",
        "Write durations.py with a function parse_duration(text) that turns texts such as '1h30m', '45s' or '2d 4h' into "
        "seconds as an int. The units are d, h, m and s, in that order, each at most once; blanks between the parts are "
        "allowed. Raise ValueError for anything else, also for an empty text.",
        """
from durations import parse_duration
check("parse_duration('90s')", 90)
check("parse_duration('1h5m')", 3900)
check("parse_duration('1d 1h 1m 1s')", 90061)
check("parse_duration('3d')", 259200)
check("parse_duration('0s')", 0)
for bad in ("", "  ", "12", "5x", "m5", "1m 2h", "1h1h", "1.5h", "-1h"):
    raises(ValueError, f"parse_duration({bad!r})")
""",
        r"""import re
def parse_duration(text):
    found = re.fullmatch(r"\s*(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+)s)?\s*", text)
    if not found or not any(found.groups()):
        raise ValueError(text)
    return sum(int(n or 0) * u for n, u in zip(found.groups(), (86400, 3600, 60, 1)))
""",
        r"""import re
def parse_duration(text):
    return sum(int(n) * {'d': 86400, 'h': 3600, 'm': 60, 's': 1}[u] for n, u in re.findall(r"(\d+)([dhms])", text))
""",
    ),
    program(
        "sizes",
        "sizes.py",
        "Write sizes.py with two functions: parse_size(text) turns '512', '10 KB', '1.5MB' or '2 GB' into bytes (1 KB = 1024 "
        "bytes, letters of either case), and format_size(number) does the reverse with the largest fitting unit and one "
        "decimal, such as '1.5 MB'; below 1024 it gives '512 B'. parse_size raises ValueError for what it cannot read.",
        """
from sizes import parse_size, format_size
check("parse_size('100')", 100)
check("parse_size('3 kb')", 3072)
check("parse_size('0.5GB')", 536870912)
check("parse_size('7 B')", 7)
check("format_size(1023)", "1023 B")
check("format_size(1024)", "1.0 KB")
check("format_size(5 * 1024 ** 3)", "5.0 GB")
check("format_size(0)", "0 B")
for bad in ("", "KB", "5 XB", "1..5MB", "-3 KB"):
    raises(ValueError, f"parse_size({bad!r})")
""",
        r"""import re
U = ("B", "KB", "MB", "GB")
def parse_size(text):
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(B|KB|MB|GB)?\s*", text.upper())
    if not found:
        raise ValueError(text)
    return int(float(found[1]) * 1024 ** U.index(found[2] or "B"))
def format_size(number):
    power = 0
    while number >= 1024 and power < 3:
        number /= 1024
        power += 1
    return f"{number} B" if power == 0 else f"{number:.1f} {U[power]}"
""",
        "def parse_size(text):\n    return int(text.split()[0]) * 1024\ndef format_size(n):\n    return f'{n} B'\n",
    ),
    program(
        "versions",
        "versions.py",
        "Write versions.py with a function newest(versions) that returns the newest of a list of version strings such as "
        "'1.10.2' or 'v2.0'. Compare the parts as numbers; missing parts count as 0, and a leading v is ignored. A version "
        "with a suffix such as '2.0-beta' is older than the same version without it. Return the string as it was given, the "
        "first one among equals, and None for an empty list.",
        """
from versions import newest
check("newest(['1.9', '1.10', '1.2'])", "1.10")
check("newest(['v3.0.1', '3.0'])", "v3.0.1")
check("newest(['4.1-rc1', '4.1'])", "4.1")
check("newest(['4.1', '4.2-beta'])", "4.2-beta")
check("newest(['1.0', '1', 'v1.0.0'])", "1.0")
check("newest([])", None)
check("newest(['0.0.9'])", "0.0.9")
""",
        """def newest(versions):
    def key(text):
        plain, dash, _ = text.lstrip("v").partition("-")
        parts = [int(p) for p in plain.split(".")]
        return parts + [0] * (9 - len(parts)), not dash
    return max(versions, key=key, default=None)
""",
        "def newest(versions):\n    return max(versions, default=None)\n",
    ),
    program(
        "dotted-config",
        "config.py",
        "Write config.py with flatten(config) and unflatten(flat). flatten turns nested dictionaries into one dictionary with "
        "dotted keys, so {'db': {'port': 5432}} becomes {'db.port': 5432}; lists stay values, and an empty dictionary stays "
        "as a value. unflatten does the reverse. Neither changes its argument.",
        """
from config import flatten, unflatten
deep = {'a': {'b': {'c': 1}, 'd': [1, {'x': 2}]}, 'e': None, 'f': {}}
plain = {'a.b.c': 1, 'a.d': [1, {'x': 2}], 'e': None, 'f': {}}
check("flatten(deep)", plain)
check("unflatten(plain)", deep)
check("flatten({})", {})
check("deep['a']['b']", {'c': 1})
check("unflatten(flatten(deep)) == deep", True)
""",
        """def flatten(config):
    flat = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat |= {f"{key}.{k}": v for k, v in flatten(value).items()}
        else:
            flat[key] = value
    return flat
def unflatten(flat):
    deep = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        at = deep
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return deep
""",
        """def flatten(config):
    return {f"{k}.{a}": b for k, v in config.items() if isinstance(v, dict) for a, b in v.items()}
def unflatten(flat):
    return {}
""",
    ),
    program(
        "deep-merge",
        "merge.py",
        "Write merge.py with a function deep_merge(base, override) for configuration dictionaries. Dictionaries are merged "
        "key by key at every level, any other value of override replaces that of base, and a value of None in override "
        "removes the key. Return a new dictionary and change neither argument.",
        """
from merge import deep_merge
base = {'log': {'level': 'info', 'file': 'x'}, 'ports': [1, 2], 'name': 'a'}
check("deep_merge(base, {'log': {'level': 'debug'}})", {'log': {'level': 'debug', 'file': 'x'}, 'ports': [1, 2], 'name': 'a'})
check("deep_merge(base, {'ports': [3], 'new': 0})", {'log': {'level': 'info', 'file': 'x'}, 'ports': [3], 'name': 'a', 'new': 0})
check("deep_merge(base, {'log': {'file': None}, 'name': None})", {'log': {'level': 'info'}, 'ports': [1, 2]})
check("deep_merge(base, {'log': 'off'})['log']", 'off')
check("deep_merge(base, {'gone': None})", base)
check("base", {'log': {'level': 'info', 'file': 'x'}, 'ports': [1, 2], 'name': 'a'})
check("deep_merge({}, {'a': {'b': 1}})", {'a': {'b': 1}})
""",
        """import copy
def deep_merge(base, override):
    made = copy.deepcopy(base)
    for key, value in override.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict):
            old = made.get(key)
            made[key] = deep_merge(old if isinstance(old, dict) else {}, value)
        else:
            made[key] = copy.deepcopy(value)
    return made
""",
        "def deep_merge(base, override):\n    base.update(override)\n    return base\n",
    ),
    program(
        "retry",
        "retry.py",
        "Write retry.py with a decorator factory retry(times, errors=(Exception,), wait=0.0, sleep=time.sleep). The decorated "
        "function is called up to `times` times while it raises one of `errors`; between two calls it calls sleep(wait), and "
        "the wait doubles each time. After the last try the error goes to the caller. Other errors go to the caller at once, "
        "and the name of the function is kept.",
        """
from retry import retry
naps, calls = [], []
@retry(4, (OSError,), wait=0.5, sleep=naps.append)
def flaky(value, *, good=3):
    calls.append(value)
    if len(calls) < good:
        raise OSError(len(calls))
    return value * 2
check("flaky(21)", 42)
check("naps", [0.5, 1.0])
check("calls", [21, 21, 21])
naps.clear(); calls.clear()
raises(OSError, "flaky(1, good=99)")
check("len(calls)", 4)
check("naps", [0.5, 1.0, 2.0])
@retry(3, (OSError,), sleep=naps.append)
def wrong():
    calls.append('wrong')
    raise KeyError('x')
calls.clear()
raises(KeyError, "wrong()")
check("calls", ['wrong'])
check("flaky.__name__", 'flaky')
""",
        """import functools, time
def retry(times, errors=(Exception,), wait=0.0, sleep=time.sleep):
    def decorate(function):
        @functools.wraps(function)
        def inner(*args, **named):
            pause = wait
            for left in range(times - 1, -1, -1):
                try:
                    return function(*args, **named)
                except tuple(errors):
                    if not left:
                        raise
                sleep(pause)
                pause *= 2
        return inner
    return decorate
""",
        """import time
def retry(times, errors=(Exception,), wait=0.0, sleep=time.sleep):
    def decorate(function):
        def inner(*args):
            for _ in range(times):
                try:
                    return function(*args)
                except Exception:
                    sleep(wait)
        return inner
    return decorate
""",
    ),
    program(
        "expiring-cache",
        "cache.py",
        "Write cache.py with a class ExpiringCache(seconds, clock=time.monotonic). It has set(key, value), get(key, "
        "default=None) and len(). An entry is gone when `seconds` have passed since it was set (at exactly that moment it "
        "is gone); len() counts only what is not gone; set again starts the time anew, get does not.",
        """
from cache import ExpiringCache
now = [0.0]
it = ExpiringCache(10, clock=lambda: now[0])
it.set('a', 1)
now[0] = 6
it.set('b', None)
check("it.get('a')", 1)
check("it.get('b', 'none')", None)
check("len(it)", 2)
now[0] = 10
check("it.get('a')", None)
check("it.get('a', 5)", 5)
check("len(it)", 1)
it.set('b', 2)
now[0] = 19.9
check("it.get('b')", 2)
now[0] = 20
check("len(it)", 0)
""",
        """import time
class ExpiringCache:
    def __init__(self, seconds, clock=time.monotonic):
        self.seconds, self.clock, self.kept = seconds, clock, {}
    def set(self, key, value):
        self.kept[key] = (value, self.clock() + self.seconds)
    def get(self, key, default=None):
        value, end = self.kept.get(key, (default, float("inf")))
        return value if self.clock() < end else default
    def __len__(self):
        return sum(self.clock() < end for _, end in self.kept.values())
""",
        """class ExpiringCache(dict):
    def __init__(self, seconds, clock=None):
        super().__init__()
    def set(self, key, value):
        self[key] = value
""",
    ),
    program(
        "rate-limit",
        "limiter.py",
        "Write limiter.py with a class RateLimiter(limit, seconds, clock=time.monotonic). Its method allow(client) returns "
        "True while the client has made fewer than `limit` allowed calls in the last `seconds` seconds, else False. Refused "
        "calls do not count, each client has a limit of its own, and a call made exactly `seconds` ago no longer counts.",
        """
from limiter import RateLimiter
now = [100.0]
it = RateLimiter(2, 10, clock=lambda: now[0])
check("it.allow('x')", True)
now[0] = 104
check("it.allow('x')", True)
check("it.allow('x')", False)
check("it.allow('y')", True)
now[0] = 109.9
check("it.allow('x')", False)
now[0] = 110
check("it.allow('x')", True)
check("it.allow('x')", False)
now[0] = 114
check("it.allow('x')", True)
check("RateLimiter(0, 1).allow('z')", False)
""",
        """import time
class RateLimiter:
    def __init__(self, limit, seconds, clock=time.monotonic):
        self.limit, self.seconds, self.clock, self.calls = limit, seconds, clock, {}
    def allow(self, client):
        now = self.clock()
        kept = [t for t in self.calls.get(client, []) if now - t < self.seconds]
        good = len(kept) < self.limit
        self.calls[client] = kept + [now] if good else kept
        return good
""",
        """import time
class RateLimiter:
    def __init__(self, limit, seconds, clock=time.monotonic):
        self.limit, self.n = limit, 0
    def allow(self, client):
        self.n += 1
        return self.n <= self.limit
""",
    ),
    program(
        "ini-reader",
        "ini.py",
        "Write ini.py with a function parse_ini(text), without configparser, that returns a dictionary of sections, each a "
        "dictionary of strings. Lines that start with # or ; are comments, blank lines are skipped, keys and values lose the "
        "blanks around them, and a value may have = in it. Keys before the first section go into the section ''. Raise "
        "ValueError with the line number in its message for a line that is none of these.",
        """
from ini import parse_ini
check("parse_ini('[db]\\\\nhost = local\\\\nurl=a=b')", {'db': {'host': 'local', 'url': 'a=b'}})
check("parse_ini('top = 1\\\\n; c\\\\n  # d\\\\n\\\\n[ s ]\\\\n')['']", {'top': '1'})
check("parse_ini('[x]\\\\na=')['x']", {'a': ''})
check("parse_ini('[x]\\\\na=1\\\\n[y]\\\\nb=2\\\\n[x]\\\\nc=3')['x']", {'a': '1', 'c': '3'})
raises(ValueError, "parse_ini('[x]\\\\nfine=1\\\\nnonsense')")
try:
    parse_ini('[x]\\nfine=1\\nnonsense')
except ValueError as error:
    message = str(error)
check("'3' in message", True)
""",
        """def parse_ini(text):
    found, name = {}, ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            name = line[1:-1].strip()
            found.setdefault(name, {})
        elif "=" in line:
            key, _, value = line.partition("=")
            found.setdefault(name, {})[key.strip()] = value.strip()
        else:
            raise ValueError(f"line {number}: {line}")
    return found
""",
        """def parse_ini(text):
    return {'': dict(line.split('=') for line in text.splitlines() if '=' in line)}
""",
    ),
    program(
        "templates",
        "render.py",
        "Write render.py with a function render(template, values) that replaces {{name}} by the value of that name, blanks "
        "inside the braces allowed. {{name|text}} uses the text where the name is not in values. A name without a value and "
        "without such a text raises KeyError. Replaced values are not looked at again.",
        """
from render import render
check("render('Dear {{ who }},', {'who': 'Ann'})", "Dear Ann,")
check("render('{{a}}{{b}}', {'a': 1, 'b': 2.5})", "12.5")
check("render('{{a|none yet}}!', {})", "none yet!")
check("render('{{a|x}}', {'a': ''})", "")
check("render('{{a}}', {'a': '{{b}}', 'b': 'no'})", "{{b}}")
check("render('{one} {{two}} }}', {'two': 2})", "{one} 2 }}")
check("render('', {})", "")
raises(KeyError, "render('Hi {{nobody}}', {})")
""",
        r"""import re
def render(template, values):
    def one(found):
        name, bar, rest = found[1].partition("|")
        name = name.strip()
        if name in values:
            return str(values[name])
        if bar:
            return rest.strip()
        raise KeyError(name)
    return re.sub(r"\{\{([^{}]*)\}\}", one, template)
""",
        """def render(template, values):
    for name, value in values.items():
        template = template.replace('{{' + name + '}}', str(value))
    return template
""",
    ),
    program(
        "build-order",
        "order.py",
        "Write order.py with a function build_order(needs). needs says for each package which packages must be built before "
        "it, such as {'app': ['lib'], 'lib': []}. Return a list of all packages, also of those that only stand in a list, in "
        "an order that works; where several could come next, take them in alphabetical order. Raise ValueError for a cycle.",
        """
from order import build_order
check("build_order({'app': ['lib', 'log'], 'lib': ['core'], 'log': ['core']})", ['core', 'lib', 'log', 'app'])
check("build_order({'b': [], 'a': [], 'c': ['b']})", ['a', 'b', 'c'])
check("build_order({'z': ['y'], 'a': ['z']})", ['y', 'z', 'a'])
check("build_order({})", [])
check("build_order({'m': ['k', 'k']})", ['k', 'm'])
raises(ValueError, "build_order({'a': ['b'], 'b': ['a']})")
raises(ValueError, "build_order({'a': ['a']})")
""",
        """def build_order(needs):
    waiting = {name: set(before) for name, before in needs.items()}
    for before in needs.values():
        for name in before:
            waiting.setdefault(name, set())
    done = []
    while waiting:
        ready = sorted(name for name, before in waiting.items() if not before - set(done))
        if not ready:
            raise ValueError("cycle")
        done.append(ready[0])
        del waiting[ready[0]]
    return done
""",
        "def build_order(needs):\n    return sorted(needs)\n",
    ),
    program(
        "changes",
        "changes.py",
        "Write changes.py with a function changes(old, new) that compares two dictionaries and returns a sorted list of "
        "lines: '+ key: value' for a key that is only in new, '- key: value' for one only in old, and '~ key: old -> new' "
        "for one with another value. Sort by key. Keys with equal values are left out; values are written with repr().",
        """
from changes import changes
check("changes({'a': 1, 'b': 'x'}, {'b': 'y', 'c': None})", ["- a: 1", "~ b: 'x' -> 'y'", "+ c: None"])
check("changes({'k': [1]}, {'k': [1]})", [])
check("changes({}, {'z': 0, 'y': ''})", ["+ y: ''", "+ z: 0"])
check("changes({'n': None}, {})", ["- n: None"])
check("changes({'n': None}, {'n': 0})", ["~ n: None -> 0"])
""",
        """def changes(old, new):
    lines = []
    for key in sorted({*old, *new}):
        if key not in old:
            lines.append(f"+ {key}: {new[key]!r}")
        elif key not in new:
            lines.append(f"- {key}: {old[key]!r}")
        elif old[key] != new[key]:
            lines.append(f"~ {key}: {old[key]!r} -> {new[key]!r}")
    return lines
""",
        """def changes(old, new):
    return sorted(f"~ {k}: {old.get(k)!r} -> {new.get(k)!r}" for k in {*old, *new} if old.get(k) != new.get(k))
""",
    ),
    program(
        "page-ranges",
        "pages.py",
        "Write pages.py with a function parse_pages(text, last) for a print dialog. It turns '1-3,5,8-' into [1, 2, 3, 5, 8, "
        "…, last]; '-4' means 1 to 4. The result is sorted and without doubles, blanks are ignored, and pages after last are "
        "left out. Raise ValueError for what is no page or range, for page 0, and for a range that runs backwards.",
        """
from pages import parse_pages
check("parse_pages('2-4, 7', 10)", [2, 3, 4, 7])
check("parse_pages('9-', 12)", [9, 10, 11, 12])
check("parse_pages('-2,2,1', 5)", [1, 2])
check("parse_pages(' 6 - 7 ', 6)", [6])
check("parse_pages('20', 6)", [])
for bad in ("0", "4-2", "a", "1,,2", "1-2-3", "-", ""):
    raises(ValueError, f"parse_pages({bad!r}, 9)")
""",
        r"""import re
def parse_pages(text, last):
    pages = set()
    for part in text.replace(" ", "").split(","):
        found = re.fullmatch(r"(\d*)(-?)(\d*)", part)
        if not found or not (found[1] or found[3]):
            raise ValueError(part)
        first = int(found[1] or 1)
        end = int(found[3]) if found[3] else last if found[2] else first
        if first < 1 or (found[3] and end < first):
            raise ValueError(part)
        pages |= set(range(first, min(end, last) + 1))
    return sorted(pages)
""",
        """def parse_pages(text, last):
    pages = []
    for part in text.split(','):
        if '-' in part:
            a, b = part.split('-')
            pages += range(int(a), int(b) + 1)
        else:
            pages.append(int(part))
    return pages
""",
    ),
    program(
        "working-days",
        "workdays.py",
        "Write workdays.py with a function add_workdays(day, count, holidays=()). It returns the date that is `count` working "
        "days after the datetime.date `day`; Saturdays, Sundays and holidays are no working days. A negative count goes "
        "back, and 0 returns the day itself, whatever it is.",
        """
from datetime import date
from workdays import add_workdays
check("add_workdays(date(2026, 3, 6), 1)", date(2026, 3, 9))
check("add_workdays(date(2026, 3, 2), 10)", date(2026, 3, 16))
check("add_workdays(date(2026, 3, 9), -1)", date(2026, 3, 6))
check("add_workdays(date(2026, 3, 7), 0)", date(2026, 3, 7))
check("add_workdays(date(2026, 3, 7), 1)", date(2026, 3, 9))
check("add_workdays(date(2026, 12, 24), 2, [date(2026, 12, 25), date(2026, 12, 28)])", date(2026, 12, 30))
check("add_workdays(date(2026, 12, 29), -1, {date(2026, 12, 25), date(2026, 12, 28)})", date(2026, 12, 24))
""",
        """from datetime import timedelta
def add_workdays(day, count, holidays=()):
    free = set(holidays)
    step = 1 if count > 0 else -1
    while count:
        day += timedelta(days=step)
        if day.weekday() < 5 and day not in free:
            count -= step
    return day
""",
        "from datetime import timedelta\ndef add_workdays(day, count, holidays=()):\n    return day + timedelta(days=count)\n",
    ),
    program(
        "json-path",
        "pick.py",
        "Write pick.py with a function pick(data, path, default=None) that reads a value from nested dictionaries and lists "
        "by a path such as 'users[0].name' or '[2]'. An index may be negative. Where any part of the path is not there, it "
        "returns the default; it never raises for a missing part. The empty path returns the data itself.",
        """
from pick import pick
data = {'a': {'b': [10, {'c': 'deep'}, [7, 8]]}, 'n': None, 'z': 0}
check("pick(data, 'a.b[1].c')", 'deep')
check("pick(data, 'a.b[2][1]')", 8)
check("pick(data, 'a.b[-1][0]')", 7)
check("pick(data, 'a.b[9]', 'x')", 'x')
check("pick(data, 'a.x.y', 5)", 5)
check("pick(data, 'z', 5)", 0)
check("pick(data, 'n', 5)", None)
check("pick(data, 'n.m', 5)", 5)
check("pick([1, 2, 3], '[2]')", 3)
check("pick(data, '')", data)
check("pick(data, 'a[0]', 'no')", 'no')
""",
        r"""import re
def pick(data, path, default=None):
    for name, index in re.findall(r"([^.\[\]]+)|\[(-?\d+)\]", path.replace("[", ".[")) if path else []:
        try:
            if name:
                if not isinstance(data, dict):
                    return default
                data = data[name]
            else:
                if not isinstance(data, list):
                    return default
                data = data[int(index)]
        except (KeyError, IndexError):
            return default
    return data
""",
        """def pick(data, path, default=None):
    for part in path.split('.'):
        data = data.get(part, default)
    return data
""",
    ),
    program(
        "markdown-table",
        "mdtable.py",
        "Write mdtable.py with a function to_table(rows) that makes a Markdown table of a list of dictionaries, as one string. "
        "The columns come in the order in which their keys first appear; a missing value is an empty cell; a | in a value is "
        "written as \\|. Each line looks like '| a | b |', the second line like '| --- | --- |', without a newline at the "
        "end. An empty list gives an empty string.",
        r"""
from mdtable import to_table
check("to_table([{'x': 1, 'y': 'two'}]).splitlines()", ['| x | y |', '| --- | --- |', '| 1 | two |'])
check("[' '.join(l.split()) for l in to_table([{'k': 1}, {'m': 2}]).splitlines()]", ['| k | m |', '| --- | --- |', '| 1 | |', '| | 2 |'])
check("to_table([{'p': 'a|b'}]).splitlines()[2]", '| a\\|b |')
check("to_table([])", '')
check("to_table([{'x': 1}]).endswith('|')", True)
""",
        r"""def to_table(rows):
    if not rows:
        return ""
    names = list(dict.fromkeys(key for row in rows for key in row))
    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
    return "\n".join([line(names), line(["---"] * len(names)), *(line([row.get(n, "") for n in names]) for row in rows)])
""",
        """def to_table(rows):
    names = list(rows[0]) if rows else []
    return '\\n'.join('| ' + ' | '.join(str(r[n]) for n in names) + ' |' for r in rows)
""",
    ),
    program(
        "split-bill",
        "bill.py",
        "Write bill.py with a function split(cents, weights) that divides an amount of cents among people by their weights. "
        "Each share is a whole number of cents and all shares add up to the amount; start with the rounded down shares and "
        "give the cents that are left, one each, to those with the largest remainder, the earlier person first among equals. "
        "Raise ValueError where a weight is negative or all are 0.",
        """
from bill import split
check("split(1000, [1, 1, 1])", [334, 333, 333])
check("split(100, [1, 2])", [33, 67])
check("split(5, [1, 1, 1, 1])", [2, 1, 1, 1])
check("split(0, [3, 4])", [0, 0])
check("split(101, [0, 1, 1])", [0, 51, 50])
check("split(10, [2.5, 7.5])", [3, 7])
check("sum(split(99999, [3, 7, 11, 13]))", 99999)
raises(ValueError, "split(10, [0, 0])")
raises(ValueError, "split(10, [2, -1])")
""",
        """import math
def split(cents, weights):
    total = sum(weights)
    if any(w < 0 for w in weights) or total == 0:
        raise ValueError(weights)
    exact = [cents * w / total for w in weights]
    shares = [math.floor(e) for e in exact]
    order = sorted(range(len(weights)), key=lambda i: -(exact[i] - shares[i]))
    for i in order[:cents - sum(shares)]:
        shares[i] += 1
    return shares
""",
        "def split(cents, weights):\n    return [round(cents * w / sum(weights)) for w in weights]\n",
    ),
    program(
        "stock-class",
        "stock.py",
        "Write stock.py with a class Stock for a small warehouse: add(item, count), remove(item, count), count(item), and "
        "low(limit), which returns the sorted names of the items that have fewer than `limit` pieces. remove raises KeyError "
        "for an item that was never added and ValueError where there are too few pieces, and then changes nothing. A count "
        "that is not above 0 raises ValueError. count of an unknown item is 0; an item with 0 pieces left is still known.",
        """
from stock import Stock
it = Stock()
it.add('bolt', 10); it.add('nut', 3); it.add('bolt', 5)
check("it.count('bolt')", 15)
check("it.count('gear')", 0)
it.remove('nut', 3)
check("it.count('nut')", 0)
check("it.low(1)", ['nut'])
check("it.low(16)", ['bolt', 'nut'])
check("it.low(15)", ['nut'])
raises(ValueError, "it.remove('bolt', 16)")
check("it.count('bolt')", 15)
raises(KeyError, "it.remove('gear', 1)")
raises(ValueError, "it.add('gear', 0)")
raises(ValueError, "it.remove('bolt', -1)")
raises(KeyError, "it.remove('gear', 2)")
check("Stock().low(5)", [])
""",
        """class Stock:
    def __init__(self):
        self.items = {}
    def add(self, item, count):
        if count <= 0:
            raise ValueError(count)
        self.items[item] = self.count(item) + count
    def remove(self, item, count):
        if count <= 0:
            raise ValueError(count)
        if item not in self.items:
            raise KeyError(item)
        if self.items[item] < count:
            raise ValueError(count)
        self.items[item] -= count
    def count(self, item):
        return self.items.get(item, 0)
    def low(self, limit):
        return sorted(i for i, n in self.items.items() if n < limit)
""",
        """class Stock:
    items = {}
    def add(self, item, count):
        self.items[item] = self.items.get(item, 0) + count
    def remove(self, item, count):
        self.items[item] -= count
    def count(self, item):
        return self.items.get(item, 0)
    def low(self, limit):
        return [i for i in self.items if self.items[i] < limit]
""",
    ),
    program(
        "text-columns",
        "wrap.py",
        "Write wrap.py, without the module textwrap, with a function wrap(text, width) that breaks a text into lines of at "
        "most `width` characters and returns them as a list. It breaks at blanks only, joins words by one blank, and cuts a "
        "word that is longer than a line into pieces of `width`, starting on a new line. Empty lines of the text (two "
        "newlines in a row) stay as one empty string between the paragraphs.",
        """
from wrap import wrap
check("wrap('the quick brown fox', 10)", ['the quick', 'brown fox'])
check("wrap('a  b   c', 80)", ['a b c'])
check("wrap('abcdefgh', 3)", ['abc', 'def', 'gh'])
check("wrap('one two', 3)", ['one', 'two'])
check("wrap('first line\\\\n\\\\nsecond', 20)", ['first line', '', 'second'])
""",
        r"""import re
def wrap(text, width):
    found = []
    for number, part in enumerate(re.split(r"\n\s*\n", text)):
        if number:
            found.append("")
        line = ""
        for word in part.split():
            if line and len(line) + 1 + len(word) <= width:
                line += " " + word
                continue
            if line:
                found.append(line)
            while len(word) > width:
                found.append(word[:width])
                word = word[width:]
            line = word
        if line:
            found.append(line)
    return found
""",
        "def wrap(text, width):\n    return [text[i:i + width] for i in range(0, len(text), width)]\n",
    ),
    Task(
        "word-count-cli",
        "Write a command line program words.py with argparse that counts the words of a text file: python words.py FILE "
        "[--top N]. A word is a run of letters, in lower case. Print one line for each word, the word, a blank and its count, "
        "most frequent first and alphabetically among equals; --top limits the number of lines. End with an exit code other "
        "than 0 where the file is not there.",
        judge_words,
        alone="words.py",
        reference={
            "words.py": """import argparse, collections, re, sys
parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--top", type=int)
given = parser.parse_args()
try:
    text = open(given.file).read().lower()
except OSError as error:
    sys.exit(str(error))
counts = collections.Counter(re.findall("[a-z]+", text))
for word, count in sorted(counts.items(), key=lambda i: (-i[1], i[0]))[:given.top]:
    print(word, count)
""",
        },
        wrong=(
            {
                "words.py": "import collections, sys\n"
                "for w, c in collections.Counter(open(sys.argv[1]).read().split()).items():\n    print(w, c)\n",
            },
        ),
    ),
    Task(
        "temperature-cli",
        "Write temperature.py, a command line program with argparse: python temperature.py --to UNIT VALUE, where UNIT is f, "
        "c or k. To f and to k it converts from Celsius, to c from Fahrenheit, and prints the result with one decimal. Any "
        "other unit is an error of argparse. Negative values must work.",
        judge_convert,
        alone="temperature.py",
        reference={
            "temperature.py": """import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--to", choices="fck", required=True)
parser.add_argument("value", type=float)
given = parser.parse_args()
print(f"{ {'f': given.value * 9 / 5 + 32, 'c': (given.value - 32) * 5 / 9, 'k': given.value + 273.15}[given.to]:.1f}")
""",
        },
        wrong=(
            {
                "temperature.py": "import argparse\np = argparse.ArgumentParser()\np.add_argument('--to')\n"
                "p.add_argument('value', type=float)\ng = p.parse_args()\nprint(round(g.value * 9 / 5 + 32, 1))\n",
            },
        ),
    ),
    Task(
        "todo-cli",
        "Write todo.py, a small to-do list for the command line that keeps its items in todo.json. `python todo.py add TEXT` "
        "adds an item, `python todo.py done NUMBER` marks one as done, and `python todo.py list` prints a line for each: its "
        "number from 1, then [x] or [ ], then the text. A number that is not there ends with an exit code other than 0.",
        judge_todo,
        alone="todo.py",
        reference={
            "todo.py": """import json, pathlib, sys
file = pathlib.Path("todo.json")
items = json.loads(file.read_text()) if file.exists() else []
if sys.argv[1] == "add":
    items.append([sys.argv[2], False])
elif sys.argv[1] == "done":
    number = int(sys.argv[2])
    if not 1 <= number <= len(items):
        sys.exit("no such item")
    items[number - 1][1] = True
else:
    for number, (text, done) in enumerate(items, 1):
        print(number, "[x]" if done else "[ ]", text)
file.write_text(json.dumps(items))
""",
        },
        wrong=({"todo.py": "import sys\nprint('1 [x] buy milk\\n2 [ ] call Eva')\n"},),
    ),
]
