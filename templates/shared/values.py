"""Reads the numbers and dates of cells, as people of several countries write them."""

import re

#: Texts that stand for a missing value.
MISSING = {"", "-", "--", "–", "—", "?", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "k.a.", "k. a.", "n.v."}
MISSING |= {"#ref!", "#div/0!", "#value!", "#name?", "#num!", "#null!", "#wert!", "#bezug!", "#nv"}

_CODES = "USD|EUR|GBP|CHF|JPY|INR|CAD|AUD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|CNY|Euro|Fr\\.|kr\\.?|zł|Kč|R\\$|US\\$"
_UNITS = re.compile(rf"(?:(?<![A-Za-z])(?:{_CODES})(?![A-Za-z])|[$€£¥₹₽₩₺%‰])", re.IGNORECASE)
#: Maximum characters of a number.
LONGEST = 60
_BLANKS = re.compile("[\\s\u00a0\u2007\u2009\u202f]+")
_EXPONENT = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d{1,3}")
_DIGITS = re.compile(r"([+-]?)(\d*(?:[.,'’ ]\d+)*)([.,]?)([-+]?)")
#: Thousands by sign. India groups by two digits: 1,23,456.
_GROUPS = {
    mark: re.compile(rf"\d{{1,3}}(?:{sign}\d{{3}})+|\d{{1,2}}(?:{sign}\d{{2}})+{sign}\d{{3}}")
    for mark in ".,'’ "
    for sign in [re.escape(mark)]
}
#: A whole number with zeros in front is a code, such as a postcode.
CODE = re.compile(r"0\d+")


def bare(text: str) -> str:
    """Return a number without currency, percent sign and outer blanks, with a minus in front if it is negative."""
    text = _BLANKS.sub(" ", _UNITS.sub(" ", text)).strip().replace("−", "-").replace("–", "-")
    if text.startswith("(") and text.endswith(")"):
        text = f"-{text[1:-1].strip()}"
    if text[:1] in ("-", "+"):
        text = text[0] + text[1:].lstrip()
    if text[:1] == "'" and text[1:2].isdigit():  # a spreadsheet's mark for text
        text = text[1:]
    return re.sub(r"[.,](?:--?|-)$", "", text) if re.search(r"\d[.,]--?$", text) else text


def plain_number(text: str, comma: bool) -> str | None:
    """Return a number as programs write it, such as -1234.5, or None if the text is not a number.

    A cell that has its own evidence is read by it: 1.234,50 and 1,234.50, 1,5 and 0.25. ``comma`` decides the rest:
    with it, 1.234 is a thousand, and without it, a little more than 1.
    """
    if len(text) > LONGEST:
        return None
    text = bare(text)
    if _EXPONENT.fullmatch(text):
        return text.replace(",", ".").removeprefix("+")
    found = _DIGITS.fullmatch(text)
    if not found or not any(character.isdigit() for character in text):
        return None
    sign, digits, _, behind = found.groups()
    if sign and behind:
        return None
    minus = "-" if "-" in (sign, behind) else ""
    mark = _decimal_mark(digits, comma)
    whole, _, part = digits.rpartition(mark) if mark else (digits, "", "")
    if not part.isdigit() and mark:
        return None
    marks = {character for character in whole if not character.isdigit()}
    if len(marks) > 1 or (marks and (whole[0] == "0" or not _GROUPS[marks.pop()].fullmatch(whole))):
        return None
    whole = re.sub(r"\D", "", whole) or "0"
    return f"{minus}{whole}.{part}" if mark else f"{minus}{whole}"


def _decimal_mark(digits: str, comma: bool) -> str:
    """Return the sign before the decimals, or an empty text if the number is whole."""
    last = max(digits.rfind(","), digits.rfind("."))
    if last < 0:
        return ""
    mark = digits[last]
    before, after = digits[:last], digits[last + 1 :]
    if mark in before:
        return ""  # a sign that repeats divides thousands
    if re.search(r"[.,'’ ]", before):
        return mark  # another sign divides the thousands
    if len(after) != 3 or not before or len(before) > 3 or before.startswith("0"):
        return mark
    return mark if (mark == ",") == comma else ""  # 1.234 and 1,234: the column decides


def decimal_sign(text: str) -> str:
    """Return the decimal sign of a number that shows it, such as the comma of 3,5 and of 1.234,50; else nothing."""
    if len(text) > LONGEST:
        return ""
    text = bare(text)
    if not re.fullmatch(r"[+-]?\d[\d.,'’ ]*[+-]?", text):
        return ""
    point, comma = _decimal_mark(text.strip("+-"), False), _decimal_mark(text.strip("+-"), True)
    return point if point == comma else ""


def has_decimal_comma(cells: list[str]) -> bool | None:
    """Return whether numbers have the form 3,5 instead of 3.5, or None if the cells do not show it."""
    signs = [sign for cell in cells if (sign := decimal_sign(cell))]
    comma = signs.count(",")
    if 2 * comma != len(signs):
        return 2 * comma > len(signs)
    if signs:
        return False
    # 1.234.567 has no decimals, and shows all the same that a comma would begin them
    grouped = [mark for cell in cells for mark in ".," if cell.count(mark) > 1 and plain_number(cell, mark == ".")]
    return grouped.count(".") > grouped.count(",") if grouped else None


#: German names of months, in the form that Python's %b and %B read.
_MONTHS = {
    "januar": "January", "jänner": "January", "februar": "February", "märz": "March", "april": "April", "mai": "May",
    "juni": "June", "juli": "July", "august": "August", "september": "September", "oktober": "October",
    "november": "November", "dezember": "December", "jan": "Jan", "feb": "Feb", "mär": "Mar", "mrz": "Mar",
    "apr": "Apr", "jun": "Jun", "jul": "Jul", "aug": "Aug", "sep": "Sep", "sept": "Sep", "okt": "Oct", "nov": "Nov",
    "dez": "Dec",
}  # fmt: skip
_MONTH = re.compile(rf"\b({'|'.join(sorted(_MONTHS, key=len, reverse=True))})\b\.?", re.IGNORECASE)

#: The forms of dates, in the order in which they are tried.
DATE_FORMS = [
    "ISO8601", "%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d-%m-%Y", "%Y/%m/%d",
    "%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%d. %b %Y", "%d. %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%b %Y",
    "%B %Y", "%b %y", "%b-%y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M", "%d.%m.%y %H:%M",
    "%Y/%m/%d %H:%M", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y, %H:%M",
]  # fmt: skip


def english_months(text: str) -> str:
    """Return a date with its German month in English: 3. März 2024 becomes 3. March 2024."""
    return _MONTH.sub(lambda found: _MONTHS[found[1].lower()], text) if any(map(str.isalpha, text)) else text
