"""Short Python functions whose prompts give examples in users' forms. Hidden tests try more."""

from __future__ import annotations

from skill.tasks.programs import program

STUB = "Complete this function and save it in {file}. Keep its name.\n\n{stub}"

TASKS = [
    program(
        "shift-letters",
        "shift.py",
        STUB.format(
            file="shift.py",
            stub='''def shift(text: str, by: int) -> str:
    """Move each letter of the alphabet by a number of places, around its end. Other characters and the case stay.

    >>> shift("abc XYZ", 2)
    'cde ZAB'
    >>> shift("b-1", -3)
    'y-1'
    """
''',
        ),
        """
from shift import shift
check("shift('Hello, World!', 13)", "Uryyb, Jbeyq!")
check("shift('Zz', 27)", "Aa")
check("shift('aé1', -1)", "zé1")
""",
        "def shift(text, by):\n    def move(c):\n        base = 65 if c.isupper() else 97\n"
        "        return chr((ord(c) - base + by) % 26 + base)\n"
        "    return ''.join(move(c) if c.isascii() and c.isalpha() else c for c in text)\n",
        "def shift(text, by):\n    return ''.join(chr(ord(c) + by) if c.isalpha() else c for c in text)\n",
    ),
    program(
        "run-lengths",
        "lengths.py",
        STUB.format(
            file="lengths.py",
            stub='''from typing import List, Tuple

def run_lengths(items: List) -> List[Tuple]:
    """Return each run of equal neighbours as the item and its length.

    >>> run_lengths(["a", "a", "b", "a"])
    [('a', 2), ('b', 1), ('a', 1)]
    >>> run_lengths([])
    []
    """
''',
        ),
        """
from lengths import run_lengths
check("run_lengths([1, 2, 2, 1])", [(1, 1), (2, 2), (1, 1)])
check("run_lengths([None, None, 0, 0, 0])", [(None, 2), (0, 3)])
check("run_lengths('aab')", [("a", 2), ("b", 1)])
""",
        "from itertools import groupby\ndef run_lengths(items):\n    return [(k, len(list(g))) for k, g in groupby(items)]\n",
        "def run_lengths(items):\n    return [(k, items.count(k)) for k in dict.fromkeys(items)]\n",
    ),
    program(
        "second-largest",
        "second.py",
        "Write second.py with a function second_largest(numbers) that returns the second largest of the different numbers, "
        "or None where there is none. Your code should pass these tests:\n"
        "assert second_largest([3, 9, 9, 4]) == 4\nassert second_largest([5, 5]) is None\n"
        "assert second_largest([-1, -7]) == -7",
        """
from second import second_largest
check("second_largest([])", None)
check("second_largest([0, -2, 0])", -2)
""",
        "def second_largest(numbers):\n    found = sorted(set(numbers))\n    return found[-2] if len(found) > 1 else None\n",
        "def second_largest(numbers):\n    return sorted(numbers)[-2] if len(numbers) > 1 else None\n",
    ),
    program(
        "brackets",
        "brackets.py",
        "Write brackets.py with a function first_error(text). It returns the position of the first bracket of ()[]{} that is "
        "wrong: one that closes what is not open, or else the last one that stays open. It returns -1 for a right text.\n"
        'first_error("a[b(c)]") -> -1\nfirst_error("(]") -> 1\nfirst_error("((x)") -> 0\nfirst_error("") -> -1',
        """
from brackets import first_error
check("first_error('{}}')", 2)
check("first_error('[{(')", 2)
""",
        "def first_error(text):\n    open_, pairs = [], {')': '(', ']': '[', '}': '{'}\n"
        "    for n, c in enumerate(text):\n        if c in '([{':\n            open_.append(n)\n"
        "        elif c in pairs:\n            if not open_ or text[open_.pop()] != pairs[c]:\n                return n\n"
        "    return open_[-1] if open_ else -1\n",
        "def first_error(text):\n    return -1 if text.count('(') == text.count(')') else 0\n",
    ),
    program(
        "roman-numbers",
        "roman.py",
        "Write roman.py with a function to_roman(number) for 1 to 3999: to_roman(4) returns 'IV', to_roman(1994) returns "
        "'MCMXCIV' and to_roman(3999) returns 'MMMCMXCIX'. Other numbers are an error: to_roman(0) raises ValueError.",
        """
from roman import to_roman
check("to_roman(48)", "XLVIII")
raises(ValueError, "to_roman(4000)")
""",
        "def to_roman(number):\n    if not 0 < number < 4000:\n        raise ValueError(number)\n    found = ''\n"
        "    for value, text in ((1000, 'M'), (900, 'CM'), (500, 'D'), (400, 'CD'), (100, 'C'), (90, 'XC'), (50, 'L'),\n"
        "                        (40, 'XL'), (10, 'X'), (9, 'IX'), (5, 'V'), (4, 'IV'), (1, 'I')):\n"
        "        found += text * (number // value)\n        number %= value\n    return found\n",
        "def to_roman(number):\n    return 'M' * (number // 1000) + 'I' * (number % 1000)\n",
    ),
    program(
        "common-start",
        "start.py",
        STUB.format(
            file="start.py",
            stub='''from typing import List

def common_start(paths: List[str]) -> str:
    """Return the longest folder path that all paths begin with, without a slash at its end.

    >>> common_start(["/a/b/c.txt", "/a/b/d/e.txt"])
    '/a/b'
    >>> common_start(["/a/bc/x", "/a/bd/x"])
    '/a'
    >>> common_start(["/a/x", "/b/x"])
    ''
    """
''',
        ),
        """
from start import common_start
check("common_start(['/one/two/three/f', '/one/two/f', '/one/two/three/g'])", "/one/two")
""",
        "def common_start(paths):\n    found = []\n    for parts in zip(*(p.split('/')[:-1] for p in paths)):\n"
        "        if len(set(parts)) > 1:\n            break\n        found.append(parts[0])\n    return '/'.join(found)\n",
        "import os\ndef common_start(paths):\n    return os.path.commonprefix(paths)\n",
    ),
    program(
        "rotate-list",
        "rotate.py",
        "Write rotate.py with a function rotate(items, by) that returns a new list, moved to the right by so many places; a "
        "negative number moves it to the left.\n"
        "rotate([1, 2, 3, 4], 1) == [4, 1, 2, 3]\nrotate([1, 2, 3, 4], -1) == [2, 3, 4, 1]\nrotate([1, 2, 3], 7) == [3, 1, 2]\n"
        "rotate([], 3) == []",
        """
from rotate import rotate
check("rotate([1, 2, 3], -5)", [3, 1, 2])
check("rotate([1, 2], 0)", [1, 2])
""",
        "def rotate(items, by):\n    by = by % len(items) if items else 0\n    return items[len(items) - by:] + items[:len(items) - by]\n",
        "def rotate(items, by):\n    return items[-by:] + items[:-by]\n",
    ),
    program(
        "merge-ranges",
        "ranges.py",
        STUB.format(
            file="ranges.py",
            stub='''from typing import List, Tuple

def merge(ranges: List[Tuple[int, int]]) -> List[Tuple[int, int]]:
    """Join ranges that overlap or touch, and sort them. Both ends belong to a range, so (1, 2) and (3, 4) touch.

    >>> merge([(5, 8), (1, 3), (2, 4)])
    [(1, 8)]
    >>> merge([(1, 2), (4, 5)])
    [(1, 2), (4, 5)]
    """
''',
        ),
        """
from ranges import merge
check("merge([(1, 2), (3, 4)])", [(1, 4)])
check("merge([(1, 10), (2, 3)])", [(1, 10)])
check("merge([])", [])
""",
        "def merge(ranges):\n    found = []\n    for low, high in sorted(ranges):\n        if found and low <= found[-1][1] + 1:\n"
        "            found[-1] = (found[-1][0], max(found[-1][1], high))\n        else:\n            found.append((low, high))\n"
        "    return found\n",
        "def merge(ranges):\n    return sorted(ranges)\n",
    ),
    program(
        "top-words",
        "words.py",
        "Write words.py with a function top_words(text, count). It returns the most frequent words in lower case, without "
        "punctuation around them, the most frequent first and alphabetically among equals. For example, "
        "top_words('The cat, the dog. A cat!', 2) returns ['cat', 'the'] and top_words('', 3) returns [].",
        """
from words import top_words
check("top_words('b a c b', 10)", ["b", "a", "c"])
check('top_words("It is (it) IS it", 1)', ["it"])
""",
        "import re\nfrom collections import Counter\ndef top_words(text, count):\n"
        '    found = Counter(re.findall(r"\\w+(?:[\'-]\\w+)*", text.lower()))\n'
        "    return sorted(found, key=lambda w: (-found[w], w))[:count]\n",
        "def top_words(text, count):\n    return sorted(set(text.lower().split()))[:count]\n",
    ),
    program(
        "clock-times",
        "clock.py",
        STUB.format(
            file="clock.py",
            stub='''def spoken(minutes: int) -> str:
    """Write a number of minutes as people do.

    spoken(0) -> '0 min'
    spoken(59) -> '59 min'
    spoken(60) -> '1 h'
    spoken(125) -> '2 h 05 min'
    spoken(1500) -> '1 d 1 h'
    """
''',
        ),
        """
from clock import spoken
check("spoken(7)", "7 min")
""",
        "def spoken(minutes):\n    days, rest = divmod(minutes, 1440)\n    hours, rest = divmod(rest, 60)\n"
        "    parts = [f'{days} d'] * bool(days) + [f'{hours} h'] * bool(hours)\n"
        "    if rest or not parts:\n        parts.append(f'{rest:02} min' if parts else f'{rest} min')\n    return ' '.join(parts)\n",
        "def spoken(minutes):\n    return f'{minutes // 60} h {minutes % 60:02} min'\n",
    ),
    program(
        "check-digit",
        "luhn.py",
        "Write luhn.py with a function is_valid(number) that checks a card number, a string that may have blanks, by the Luhn "
        "rule: from the right, every second digit is doubled, 9 is taken off where that gives more than 9, and the sum of all "
        "must be a multiple of 10. is_valid('4539 1488 0343 6467') returns True, is_valid('8273 1232 7352 0569') returns False, "
        "is_valid('0') returns False because it is too short, and is_valid('12a') returns False.",
        """
from luhn import is_valid
check("is_valid('059')", True)
check("is_valid('')", False)
""",
        "def is_valid(number):\n    digits = number.replace(' ', '')\n    if len(digits) < 2 or not digits.isdigit():\n        return False\n"
        "    total = 0\n    for n, digit in enumerate(reversed(digits)):\n        value = int(digit) * (1 + n % 2)\n"
        "        total += value - 9 if value > 9 else value\n    return total % 10 == 0\n",
        "def is_valid(number):\n    return sum(int(c) for c in number if c.isdigit()) % 10 == 0\n",
    ),
    program(
        "flatten-depth",
        "flat.py",
        "Write flat.py with a function flatten(items, depth) that flattens nested lists by so many levels.\n\n"
        ">>> flatten([1, [2, [3, [4]]]], 1)\n[1, 2, [3, [4]]]\n>>> flatten([1, [2, [3, [4]]]], 2)\n[1, 2, 3, [4]]\n"
        ">>> flatten([[1], 'ab'], 0)\n[[1], 'ab']",
        """
from flat import flatten
check("flatten([[], [[]], 'ab'], 1)", [[], "ab"])
check("flatten([[[1]]], 9)", [1])
""",
        "def flatten(items, depth):\n    found = []\n    for item in items:\n        if isinstance(item, list) and depth > 0:\n"
        "            found += flatten(item, depth - 1)\n        else:\n            found.append(item)\n    return found\n",
        "def flatten(items, depth):\n    return [x for item in items for x in (item if isinstance(item, list) else [item])]\n",
    ),
]
