"""Reads one line of a log, or one JSON object: its time, its level, its text, and the request that it is about.

Each form is a function that returns an Entry, or None if the line has another form. If a form wraps another one, such
as syslog around JSON, the inner one is read too.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

LEVELS = {
    "emerg": "critical", "emergency": "critical", "alert": "critical", "crit": "critical", "critical": "critical",
    "fatal": "critical", "panic": "critical", "dpanic": "critical", "ftl": "critical", "pnc": "critical",
    "severe": "error", "error": "error", "err": "error", "eror": "error", "failure": "error",
    "warning": "warning", "warn": "warning", "wrn": "warning",
    "notice": "info", "info": "info", "information": "info", "informational": "info", "inf": "info", "note": "info",
    "default": "info", "log": "info", "statement": "info", "config": "debug", "fine": "debug", "finer": "debug",
    "finest": "debug", "debug": "debug", "dbg": "debug", "dbug": "debug", "trace": "debug", "trc": "debug",
    "trce": "debug", "verbose": "debug", "fail": "error", "audit": "info", "success": "info",
    "schwerwiegend": "error", "fehler": "error", "warnung": "warning", "hinweis": "info",
}  # fmt: skip
ORDER = ["critical", "error", "warning", "info", "debug"]

#: Numbers for levels: of syslog (RFC 5424), of pino and bunyan, of Python's logging, of OpenTelemetry, of Windows.
SYSLOG = ["critical", "critical", "critical", "error", "warning", "info", "info", "debug"]
PINO = {10: "debug", 20: "debug", 30: "info", 40: "warning", 50: "error", 60: "critical"}
PYTHON = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
LETTERS = {"F": "critical", "C": "critical", "E": "error", "W": "warning", "I": "info", "N": "info", "D": "debug",
           "T": "debug", "V": "debug", "A": "critical", "S": "critical"}  # fmt: skip

#: The first and the last year that a time may have. Others are placeholders, such as Go's zero time of the year 1.
YEARS = range(1980, 2101)

#: The text for the path of a request that has none.
NO_REQUEST, NOT_HTTP = "(no request)", "(not HTTP, such as a TLS handshake)"

#: Names of fields in JSON and key=value lines, the first that is there counts. Nested names are joined with dots.
NAMES = {
    "level": ("leveldisplayname", "level", "severity", "levelname", "lvl", "log.level", "loglevel", "log_level",
              "severity_text", "severitytext", "@l", "level.name", "level.levelstr", "levelstr", "error.level",
              "record.level.name", "priority", "s", "severity.text"),
    "number": ("levelno", "severitynumber", "severity_number"),
    "time": ("@timestamp", "timestamp", "time", "ts", "@t", "datetime", "date", "eventtime", "timecreated", "asctime",
             "__realtime_timestamp", "_source_realtime_timestamp", "record.time.repr", "t.$date", "t", "log.time",
             "receivetimestamp", "start_time", "time_iso8601", "time_local", "timeunixnano", "instant.epochsecond"),
    "message": ("message", "msg", "@m", "short_message", "event", "text", "textpayload", "log.message", "@mt", "body",
                "body.stringvalue", "jsonpayload.message", "record.message", "fields.message", "attributes.message",
                "log", "error.message", "error.msg", "err.message", "exception.message", "error", "err", "exception",
                "errormessage", "eventname", "@x"),
    "source": ("logger", "log.logger", "logger_name", "loggername", "service", "service.name", "syslog_identifier",
               "_systemd_unit", "_comm", "name", "component", "program", "app", "providername", "category", "c",
               "kubernetes.container_name", "container", "module", "eventsource"),
    "failed": ("error", "err", "exception", "exc_info", "stack", "stacktrace", "stack_trace", "errorcode",
               "error.message", "err.message", "error.type", "err.type", "@x"),
    "status": ("status", "status_code", "statuscode", "response_code", "downstreamstatus", "sc-status",
               "http.response.status_code", "http.status_code", "httprequest.status", "res.statuscode",
               "response.status", "responsestatus", "http_status", "attributes.http.response.status_code"),
    "path": ("path", "uri", "url.path", "request_uri", "request.uri", "req.url", "requestpath", "url", "url.original",
             "request.path", "request.url", "httprequest.requesturl", "request_path", "cs-uri-stem", "http.url",
             "http.target", "route"),
    "method": ("method", "request_method", "request.method", "req.method", "requestmethod", "http.request.method",
               "httprequest.requestmethod", "cs-method", "http.method", "http_method", "verb"),
    "client": ("remote_addr", "remote_ip", "request.remote_ip", "client_ip", "clientip", "client.ip", "clienthost",
               "source.ip", "httprequest.remoteip", "c-ip", "fwd", "remote", "req.remoteaddress", "ip",
               "request.client_ip", "remoteaddr", "remote_host", "downstream_remote_address"),
    "size": ("bytes", "body_bytes_sent", "bytes_sent", "downstreamcontentsize", "http.response.body.bytes",
             "http.response.bytes", "httprequest.responsesize", "sc-bytes", "response_size", "size", "bytes_out",
             "responsesize", "content_length", "res.headers.content-length", "res.contentlength"),
    "agent": ("http_user_agent", "user_agent", "useragent", "user_agent.original", "httprequest.useragent", "agent",
              "request.headers.user-agent", "req.headers.user-agent", "cs(user-agent)", "user-agent",
              "request_user-agent", "http.user_agent"),
    "seconds": ("request_time", "duration_seconds", "time-taken", "responsetime", "response_time", "duration_ms",
                "durationms", "latency_ms", "elapsed_ms", "request_duration_ms", "event.duration", "duration",
                "latency", "httprequest.latency", "elapsed", "elapsedmilliseconds", "took", "service", "time_taken",
                "latency_human", "total_time"),
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A request to a server. ``seconds`` is its duration; ``number`` is one whose unit the line does not say."""

    client: str
    path: str
    status: int
    size: int = 0
    seconds: float | None = None
    number: int | None = None
    agent: str = ""


@dataclass(frozen=True)
class Entry:
    """The contents of a line."""

    form: str
    level: str
    message: str
    time: datetime | None = None
    source: str = ""
    request: Request | None = None
    #: The time that the line gives, if it cannot be right, and whether it gives none for the year.
    odd_time: str = ""
    without_year: bool = False


# ── times ────────────────────────────────────────────────────────────────────────────────────────────────────────────

ISO = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,:]\d{1,9})?(?: ?(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?))?(?!\d)"
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
MONTHS = {name: number for number, name in enumerate(MONTH[3:-1].split("|"), 1)}
_CLOCK_PART = r"(?P<clock>\d\d?:\d\d:\d\d)(?:[.,](?P<part>\d+))?(?: (?P<half>[AP]M))?"
_ZONE = r"(?: ?(?P<zone>[+-]\d{4}|GMT|UTC|Z))?"
_DATES = [re.compile(pattern + _ZONE + "(?: (?P<last>\\d{4}))?$") for pattern in (
    rf"(?:\w{{3}},? )?(?P<day>\d\d?)[ /-](?P<name>{MONTH})[ /-](?P<year>\d{{4}})[: ]{_CLOCK_PART}",
    rf"(?:\w{{3}},? )?(?P<name>{MONTH}) +(?P<day>\d\d?)(?:,? (?P<year>\d{{4}}))? {_CLOCK_PART}",
    rf"(?P<day>\d\d?)\.(?P<month>\d\d?)\.(?P<year>\d{{4}}) {_CLOCK_PART}",
    rf"(?P<year>\d{{4}})?(?P<month>\d\d)-?(?P<day>\d\d) {_CLOCK_PART}",
)]  # fmt: skip


def when(value: object) -> dict[str, Any]:
    """Return the fields of an Entry that a time gives: ``time``, ``odd_time`` and ``without_year``."""
    return _when(str(value).strip()[:80])


@lru_cache(4096)
def _when(text: str) -> dict[str, Any]:
    found, without_year = None, False
    try:
        if re.fullmatch(r"-?\d+(?:\.\d+)?(?:e\+?\d+)?", text) and not re.fullmatch(r"\d{8}", text):
            found = _seconds_since_1970(float(text))
        elif re.match(r"\d{4}-\d\d-\d\dT|\d{4}[-/]\d\d[-/]\d\d[T ]", text):
            found = _iso(text)
        else:
            found, without_year = _other(text)
        if found:
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
            if found.year in YEARS:
                return {"time": found.astimezone(UTC), "without_year": without_year}
    except (ValueError, OverflowError, OSError):
        pass
    # a year out of range is worth a word, but not each text that is no time at all
    odd = found or re.match(r"\d{4}-\d\d-\d\d|-?\d+(?:\.\d+)?(?:e\+?\d+)?$", text)
    return {"odd_time": text[:40] if odd else ""}


def _seconds_since_1970(number: float) -> datetime | None:
    for _ in range(3):  # milliseconds, microseconds, nanoseconds
        if abs(number) > 1e11:
            number /= 1000
    return datetime.fromtimestamp(number, UTC) if number > 0 and math.isfinite(number) else None


def _iso(text: str) -> datetime:
    text = text.replace("/", "-").replace(",", ".")
    text = re.sub(r"(\d\d:\d\d:\d\d):(\d+)", r"\1.\2", text)
    text = re.sub(r" ?(?:UTC|GMT)$", "Z", text)
    text = re.sub(r"\.(\d{6})\d+", r".\1", text)
    return datetime.fromisoformat(re.sub(r" (?=[+-]\d\d)", "", text))


def _other(text: str) -> tuple[datetime | None, bool]:
    """Read a time that is not in ISO 8601, and tell whether it has no year. The latest possible year is taken then."""
    found = next((found for pattern in _DATES if (found := pattern.match(text))), None)
    if not found:
        return None, False
    parts = found.groupdict()
    month = MONTHS[parts["name"]] if parts.get("name") else int(parts["month"])
    hour, minute, second = map(int, parts["clock"].split(":"))
    if parts["half"]:
        hour = hour % 12 + 12 * (parts["half"] == "PM")
    rest = (month, int(parts["day"]), hour, minute, second, int((parts["part"] or "0")[:6].ljust(6, "0")))
    zone = UTC
    if parts["zone"] and parts["zone"][0] in "+-":
        offset = timedelta(hours=int(parts["zone"][1:3]), minutes=int(parts["zone"][3:]))
        zone = timezone(offset if parts["zone"][0] == "+" else -offset)
    if year := parts["year"] or parts["last"]:
        return datetime(int(year), *rest, tzinfo=zone), False
    now = datetime.now(UTC)
    for number in range(now.year, now.year - 5, -1):  # 29 February is not in each year
        with suppress(ValueError):
            if (day := datetime(number, *rest, tzinfo=zone)) <= now + timedelta(days=2):
                return day, True
    return None, False


# ── levels ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_NAMES = "|".join(sorted((name for name in LEVELS if name != "fail"), key=len, reverse=True))
_SHOUTED = re.compile(rf"(?<![\w-])(?:{_NAMES.upper()})(?![\w-])")
_MARKED = re.compile(rf"[\[(<|]\s*({_NAMES})\s*[\])>|]|(?:^|\s)({_NAMES})(?::|\s+-\s|\s*\||\t)", re.IGNORECASE)
_PLAIN = re.compile(r"\b(?:error|warning|critical|fatal|panic)\b", re.IGNORECASE)
_FAILED = re.compile(
    r"\b(?:fail(?:ed|ure)?|denied|refused|cannot|unable|segfault|panic|fehlgeschlagen)\b", re.IGNORECASE
)
_STARTS = re.compile(
    rf"\W{{0,2}}(?:(?i:({_NAMES}|fail))(?=[\])>]?\s*[:|\-\])>])|({_NAMES.upper()})\b)[\s\])>:|-]*(?P<message>.+)"
)


def level_in(text: str) -> tuple[str, str] | None:
    """Return the level that a text names near its start, and the text after it."""
    head = text[:120]
    for pattern in (_SHOUTED, _MARKED, _PLAIN):
        if found := pattern.search(head):
            word = next(group for group in (*found.groups(), found[0]) if group)
            rest = text[found.end() :].lstrip(" ]|:-\t)>") if pattern is not _PLAIN else text
            return LEVELS[word.lower()], rest
    return None


def guessed(text: str) -> str:
    """Return the level of a text without a level of its own."""
    found = level_in(text)
    return found[0] if found else "error" if _FAILED.search(text[:200]) else "info"


def _worse(*levels: str) -> str:
    return min(levels, key=ORDER.index)


def of_status(status: int) -> str:
    return "error" if status >= 500 else "warning" if status >= 400 else "info"


# ── forms of one line ────────────────────────────────────────────────────────────────────────────────────────────────

_ACCESS = re.compile(
    r"(?![A-Z]+:)(?:(?P<host>[\w.:-]+) )??(?P<client>[\w.:%\[\]-]+) (?:-|\w+) (?P<user>\S.{0,60}?) "
    r"\[(?P<time>[^\]]{18,32})\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}|-) (?P<size>\d+|-)(?P<rest>.*)'
)
_BALANCER = re.compile(
    rf"(?:\w+ )?(?P<time>{ISO}) (?P<name>\S+) (?P<client>[\d.a-f:]+:\d+) \S+ (?P<times>(?:-?\d+(?:\.\d+)? ){{3}})"
    r'(?P<status>\d{3}|-) \S+ \d+ (?P<size>\d+) "(?P<request>[^"]*)"(?: "(?P<agent>[^"]*)")?'
)
_HAPROXY = re.compile(
    r"(?P<client>[\da-f.:]+):\d+ \[[^\]]+\] (?P<name>\S+) \S+ [-\d+/]*?(?P<ms>\d+) (?P<status>\d{3}) (?P<size>\d+) .*"
    r'"(?P<request>[^"]*)"'
)
_AGENT = re.compile(r' "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"(?P<more>.*)')
_NAMED_TIME = re.compile(r'\b(?:rt|request_time|rtime|duration|took)[=:]"?(\d+(?:\.\d+)?)(ms|s)?')


def access(line: str) -> Entry | None:
    """Read Apache's and nginx's access logs, with or without virtual host, and what comes after the user agent."""
    found = _ACCESS.match(line)
    if not found:
        return None
    agent, more = "", found["rest"]
    if after := _AGENT.match(more):
        agent, more = after["agent"], after["more"]
    seconds, number = _durations(more)
    size = int(found["size"]) if found["size"] != "-" else 0
    status = int(found["status"]) if found["status"] != "-" else 0
    return _requested("access log", found["request"], status, when(found["time"]), client=found["client"], size=size,
                      seconds=seconds, number=number, agent=agent)  # fmt: skip


def balancer(line: str) -> Entry | None:
    """Read the access logs of AWS load balancers."""
    found = _BALANCER.match(line)
    if not found:
        return None
    seconds = sum(max(0.0, float(time)) for time in found["times"].split())
    status = int(found["status"]) if found["status"] != "-" else 0
    client = found["client"].rpartition(":")[0]
    return _requested("load balancer", found["request"], status, when(found["time"]), client=client,
                      size=int(found["size"]), seconds=seconds, agent=found["agent"] or "")  # fmt: skip


def haproxy(line: str) -> Entry | None:
    found = _HAPROXY.match(line)
    if not found:
        return None
    return _requested("HAProxy", found["request"], int(found["status"]), {}, client=found["client"],
                      size=int(found["size"]), seconds=int(found["ms"]) / 1000)  # fmt: skip


def _requested(form: str, request: str, status: int, time: dict[str, Any], **more: Any) -> Entry:
    method, path = _split_request(request)
    more["agent"] = "" if more.get("agent") in (None, "-") else more["agent"]
    about = Request(path=path, status=status, **more)
    return Entry(form, of_status(status), f"{method} {path} → {status}".strip(), request=about, **time)


def _split_request(request: str) -> tuple[str, str]:
    """Return the method and the path of a request line. Scanners and TLS clients send no such line."""
    if request in ("", "-"):
        return "", NO_REQUEST
    found = re.fullmatch(r"([A-Z][A-Z-]{1,20}) (.+?)(?: HTTP/[\d.]+)?", request)
    return (found[1], shortened(found[2])) if found else ("", NOT_HTTP)


def shortened(url: str) -> str:
    """Return the path of a URL without host and query, so that equal pages count together."""
    url = re.sub(r"^\w+://[^/?#]*", "", url) or "/"
    return re.split("[?#]", url, maxsplit=1)[0][:200] or "/"


def _durations(text: str) -> tuple[float | None, int | None]:
    """Return the seconds that a request took, or a whole number whose unit is not said, from the end of a line."""
    if found := _NAMED_TIME.search(text):
        return float(found[1]) / (1000 if found[2] == "ms" else 1), None
    if found := re.search(r"(?<![\w.])(\d+(?:\.\d+)?)ms\b", text):
        return float(found[1]) / 1000, None
    if found := re.search(r'(?<![\w.])"?(\d+\.\d{1,6})"?(?![\w.])', text):
        return float(found[1]), None
    if found := re.fullmatch(r'\s"?(\d+)"?', text):
        return None, int(found[1])
    return None, None


_APACHE = re.compile(
    rf"\[(?P<time>\w{{3}} {MONTH} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{{4}})\] "
    r"\[(?:(?P<module>[\w-]*):)?(?P<level>[a-z]+)\d?\](?: \[pid [^\]]*\])?(?: \[tid \d+\])? (?P<message>.*)"
)


def apache_error(line: str) -> Entry | None:
    found = _APACHE.match(line)
    if not found or found["level"] not in LEVELS:
        return None
    message = re.sub(r"\[(?:client|remote) [^\]]+\] ", "", found["message"], count=1)
    return Entry(
        "Apache error log", LEVELS[found["level"]], message, source=found["module"] or "", **when(found["time"])
    )


_SYSLOG = re.compile(
    rf"(?:<(?P<pri>\d{{1,3}})>)?(?P<time>{MONTH} [ \d]\d (?:\d{{4}} )?\d\d:\d\d:\d\d(?:\.\d+)?|\d{{4}}-\d\d-\d\dT\S+"
    rf"|(?<=>){ISO})(?: (?P<host>[\w.:-]+))? (?P<program>[\w./@()-]+)(?:\[(?P<pid>[^\]]*)\])?: ?(?P<message>.*)"
)
_PRI = re.compile(rf"<(?P<pri>\d{{1,3}})>(?P<time>{MONTH} [ \d]\d \d\d:\d\d:\d\d|{ISO})? ?(?P<message>\D.*)")
_SYSLOG_5424 = re.compile(
    r"<(?P<pri>\d{1,3})>1 (?P<time>\S+) (?P<host>\S+) (?P<program>\S+) (?P<pid>\S+) (?P<id>\S+) "
    r'(?:-|(?:\[(?:[^"\]]|"(?:[^"\\]|\\.)*")*\])+)(?: \ufeff?(?P<message>.*))?$'
)
_CISCO = re.compile(
    rf"(?:<\d+>)?(?:\d+: )?[*.]?(?P<time>{MONTH} +\d+ (?:\d{{4}} )?\d\d:\d\d:\d\d)(?:\.\d+)?[^%]{{0,40}}: "
    r"%(?P<program>[\w-]+)-(?P<level>[0-7])-(?P<message>.*)"
)
_DMESG = re.compile(
    r"(?:<(?P<pri>\d+)>)?\[ *\d+\.\d{6}\](?:\[[^\]]*\])? (?:(?P<program>[\w.-]+(?: [\w.:-]+)?): )?(?P<message>.*)"
)


def syslog(line: str) -> Entry | None:
    """Read RFC 3164, RFC 5424, and the files of rsyslog and journalctl. The message may have a form of its own."""
    if found := _SYSLOG_5424.match(line):
        return _wrapped(
            "syslog", found["message"] or "", SYSLOG[int(found["pri"]) % 8], found["time"], found["program"]
        )
    if found := _CISCO.match(line):
        level = SYSLOG[int(found["level"])]
        return Entry("syslog", level, found["message"], source=found["program"], **when(found["time"]))
    if (found := _SYSLOG.match(line)) and not _is_application(found):
        level = SYSLOG[int(found["pri"]) % 8] if found["pri"] else ""
        return _wrapped("syslog", found["message"], level, found["time"], found["program"])
    if found := _PRI.match(line):
        return _wrapped("syslog", found["message"], SYSLOG[int(found["pri"]) % 8], found["time"] or "", "")
    if found := _DMESG.match(line):
        level = SYSLOG[int(found["pri"]) % 8] if found["pri"] else guessed(found["message"])
        return Entry("kernel", level, found["message"], source=found["program"] or "kernel")
    return None


def _is_application(found: re.Match[str]) -> bool:
    """Tell whether a line with an ISO time is that of an application, whose level stands at the place of a host."""
    words = {(found["host"] or "").lower(), found["program"].lower()}
    iso = found["time"][:4].isdigit()
    return not found["pri"] and ((iso and not found["host"]) or bool(words & LEVELS.keys()))


def _wrapped(form: str, message: str, level: str, time: str, source: str = "") -> Entry:
    """Return the entry of a message that a collector has wrapped. The time of the message itself has priority."""
    about = {**when(time), "source": "" if source == "-" else source}
    inner = _inner(message)
    if inner:
        about = about if inner.time is None else {"source": about["source"]}
        about["source"] = inner.source or about["source"]
        level = _worse(level or "debug", inner.level) if level else inner.level
        return replace(inner, form=f"{form}, {inner.form}", level=level, **about)
    return Entry(form, level or guessed(message), message, **about)


def _inner(message: str) -> Entry | None:
    forms = (json_object, access, haproxy, klog, logfmt, timed)
    return next((found for form in forms if (found := form(message))), None)


_CRI = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\S+) (?P<stream>stdout|stderr) [FP] (?P<message>.*)")
_COMPOSE = re.compile(r"(?P<source>[\w.-]+) +\| (?P<message>.*)")


def container(line: str) -> Entry | None:
    """Read the logs of Kubernetes' containers (CRI), and the output of ``docker compose logs``."""
    if found := _CRI.match(line):
        return _wrapped("container", found["message"], "", found["time"])
    if (found := _COMPOSE.match(line)) and (inner := _inner(found["message"])):
        return replace(inner, form=f"container, {inner.form}", source=inner.source or found["source"])
    return None


_KLOG = re.compile(
    r"(?P<level>[IWEF])(?P<time>\d{4} \d\d:\d\d:\d\d\.\d+|\d{8} \d\d:\d\d:\d\d\.\d+) +\d+ (?P<source>[\w./-]+):\d+\] ?"
    r"(?P<message>.*)"
)
_LOGCAT = re.compile(
    r"(?P<time>\d\d-\d\d \d\d:\d\d:\d\d\.\d+) +\d+ +\d+ (?P<level>[VDIWEFAS]) (?P<source>.*?) *: (?P<message>.*)"
)
_REDIS = re.compile(r"\d+:[A-Z] (?P<time>\d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d+) (?P<level>[.*#-]) (?P<message>.*)")


def klog(line: str) -> Entry | None:
    """Read the forms with one letter for the level: klog of Kubernetes, logcat of Android, Redis."""
    for name, pattern in (("klog", _KLOG), ("logcat", _LOGCAT)):
        if found := pattern.match(line):
            level = LETTERS[found["level"]]
            return Entry(name, level, found["message"], source=found["source"], **when(found["time"]))
    if found := _REDIS.match(line):
        level = {"#": "warning", "*": "info"}.get(found["level"], "debug")
        return Entry("Redis", level, found["message"], **when(found["time"]))
    return None


_TIME = re.compile(
    rf"(?:[A-Z], )?\[?(?P<time>{ISO}|\d\d-{MONTH}-\d{{4}} \d\d:\d\d:\d\d(?:\.\d+)?"
    rf"|\d\d?\.\d\d?\.\d{{4}} \d\d:\d\d:\d\d(?:[.,]\d+)?|{MONTH} \d\d?, \d{{4}} \d\d?:\d\d:\d\d [AP]M"
    rf"|\w{{3}}, \d\d {MONTH} \d{{4}} \d\d:\d\d:\d\d (?:GMT|[+-]\d{{4}}))\]?"
)
_CLOCK = re.compile(r"\[?\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?:[AP]M)?(?: |(?=\]))")
_LETTER = re.compile(r"(?:\d+[ -]+){1,2}([FEWIDV])[ /]|([EWIDF]) (?=\[|\w+:)|(?:\[)([EWIDFC])(?:\])")


def timed(line: str) -> Entry | None:
    """Read the logs of applications: a time, often a level, a text. The text may be key=value pairs or JSON."""
    if found := _TIME.match(line):
        rest, about = line[found.end() :].strip(" -|:\t,"), when(found["time"])
    elif (clock := _CLOCK.match(line)) and level_in(line[clock.end() - 1 : clock.end() + 60]):
        rest, about = line[clock.end() :].strip(" -|:\t,"), {}
    else:
        return None
    if not rest:
        return None
    inner = json_object(rest) or logfmt(rest)
    if inner and (inner.request or inner.level != "info"):
        return replace(inner, form=f"application log, {inner.form}", **(about if inner.time is None else {}))
    if found := level_in(rest):
        return Entry("application log", found[0], found[1] or rest, **about)
    if letter := _LETTER.match(rest):
        level = LETTERS[next(filter(None, letter.groups()))]
        return Entry("application log", level, rest[letter.end() :].strip(" ]"), **about)
    return Entry("application log", "info", rest, **about)


_SERVED = re.compile(r'(?P<client>[\da-f.:]+):\d+ - "(?P<request>[^"]+)" (?P<status>\d{3})')
_NAMED = re.compile(r"(?P<source>[\w.-]+):(?P<message>\S.*)")


def plain(line: str) -> Entry | None:
    """Read lines that begin with their level and have no time, such as those of Python's logging and of uvicorn."""
    found = _STARTS.match(line)
    if not found:
        return None
    level, message = LEVELS[(found[1] or found[2]).lower()], found["message"]
    if served := _SERVED.match(message):
        return _requested("access log", served["request"], int(served["status"]), {}, client=served["client"])
    source = ""
    if named := _NAMED.match(message):
        source, message = named["source"], named["message"]
    inner = access(message)
    return inner or Entry("lines with a level", level, message, source=source)


_PAIR = re.compile(r'([\w.@/()-]+)=("(?:[^"\\]|\\.)*"|\S*)')
_PAIRS = re.compile(r'\s*[\w.@/()-]+=(?:"(?:[^"\\]|\\.)*"|\S*)\s+[\w.@/()-]+=')


def logfmt(line: str) -> Entry | None:
    """Read key=value pairs, as Go programs and Heroku's router print them."""
    if not _PAIRS.match(line):
        return None
    pairs: dict[str, Any] = {}
    for key, value in _PAIR.findall(line):
        text = value[1:-1].replace('\\"', '"').replace("\\n", " ") if value.startswith('"') else value
        pairs.setdefault(key.lower(), text)
    if not any(name in pairs for name in (*NAMES["level"][:8], *NAMES["message"][:2], *NAMES["status"])):
        return None
    if pairs.get("at") in LEVELS:
        pairs.setdefault("level", pairs["at"])
    return _record(pairs, "key=value", line)


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def json_object(line: str) -> Entry | None:
    """Read a JSON object on one line. A line of an array, with its comma, is read too."""
    if not line.startswith("{"):
        return None
    try:
        data = json.loads(line.rstrip().rstrip(","))
    except (ValueError, RecursionError):
        return None
    return record(data) if isinstance(data, dict) and data else None


def record(data: dict[str, Any]) -> Entry:
    """Read an object of JSON, whatever its fields are called."""
    flat = dict(_flat(data))
    log = data.get("log")
    if isinstance(log, str) and not any(name in data for name in ("message", "msg")):
        return _wrapped(
            "container", log.strip(), str(data.get("level", "")) and _level(flat), str(data.get("time", ""))
        )
    form = "journal" if "__realtime_timestamp" in flat else "JSON"
    return _record(flat, form, json.dumps(data, ensure_ascii=False)[:1000])


def _flat(data: dict[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        name = f"{prefix}{key}".lower()
        if isinstance(value, dict) and depth < 4:
            yield from _flat(value, f"{name}.", depth + 1)
        else:
            yield name, value


def _first(flat: dict[str, Any], kind: str) -> Any:
    return next((flat[name] for name in NAMES[kind] if flat.get(name) not in (None, "", [], {}, "-")), None)


def _record(flat: dict[str, Any], form: str, line: str) -> Entry:
    request = _request(flat)
    message = request[0] if request else ""
    if not message:
        message = _text(_first(flat, "message")) or line
    level = _level(flat)
    if request:
        level = _worse(level or "debug", of_status(request[1].status)) if level else of_status(request[1].status)
    level = level or ("error" if _first(flat, "failed") else guessed(message) if form != "JSON" else "info")
    source = re.sub(r"^\d+ms$", "", _text(_first(flat, "source"))[:80])  # Heroku's service=18ms is a duration
    time = _first(flat, "time")
    return Entry(form, level, message, source=source, request=request[1] if request else None,
                 **(when(time) if time is not None else {}))  # fmt: skip


def _text(value: object) -> str:
    """Return a value of JSON as text. The journal writes texts with control characters as lists of bytes."""
    if isinstance(value, list) and value and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, list) and value:
        return _text(value[0])
    return "" if value is None or isinstance(value, bool) else " ".join(str(value).split())


def _level(flat: dict[str, Any]) -> str:
    """Return the level of a record, or an empty text if it has none."""
    number = _first(flat, "number")
    if isinstance(number, int) and not isinstance(number, bool):
        if "levelno" in flat:
            return PYTHON.get(number // 10 * 10, "info")
        return ["debug", "debug", "info", "warning", "error", "critical"][min(5, max(0, number - 1) // 4)]
    for name in NAMES["level"]:
        value = flat.get(name)
        text = str(value).strip().lower() if value is not None else ""
        if re.fullmatch(r"\d{1,6}", text):
            return _numbered(int(text))
        word = re.match(r"[a-z]+", text)
        if word and word[0] in LEVELS:
            return LEVELS[word[0]]
        if name == "s" and text.upper()[:1] in LETTERS and len(text) <= 2 and text:  # MongoDB
            return LETTERS[text.upper()[0]]
        if len(text) == 1 and text.upper() in LETTERS:
            return LETTERS[text.upper()]
    return ""


def _numbered(number: int) -> str:
    """Return the level of a number: up to 7 as in syslog, 10 to 60 as in pino, above as in logback."""
    if number < 8:
        return SYSLOG[number]
    if number >= 5000:
        return PYTHON.get(number // 10_000 * 10, "debug")
    return PINO.get(min(60, number // 10 * 10), "info")


def _request(flat: dict[str, Any]) -> tuple[str, Request] | None:
    """Return the request that a record is about, with a text for it."""
    status, path, line = _first(flat, "status"), _first(flat, "path"), flat.get("request")
    if not re.fullmatch(r"[1-5]\d\d", str(status)) or not (path or isinstance(line, str)):
        return None
    method = str(_first(flat, "method") or "")
    if not path:
        method, path = _split_request(str(line))
    path = shortened(str(path))
    size = str(_first(flat, "size") or 0)
    about = Request(
        client=_text(_first(flat, "client")).rpartition(",")[2].strip()[:80],
        path=path,
        status=int(status),
        size=int(size) if re.fullmatch(r"\d{1,15}", size) else 0,
        seconds=_duration(flat),
        agent=_text(_first(flat, "agent"))[:300],
    )
    return f"{method} {path} → {status}".strip(), about


UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def _duration(flat: dict[str, Any]) -> float | None:
    """Return the seconds that a request took. The unit comes from the value, the field's name, or its usual writer."""
    for name in NAMES["seconds"]:
        value = flat.get(name)
        found = re.fullmatch(r"(\d+(?:\.\d+)?(?:e-?\d+)?) ?(ns|us|µs|μs|ms|s|m)?", str(value).strip())
        if not found or isinstance(value, bool):
            continue
        number, unit = float(found[1]), found[2]
        if unit is None:
            if name in ("event.duration",) or (name == "duration" and "downstreamstatus" in flat):
                unit = "ns"
            elif name.endswith(("ms", "milliseconds")) or name == "responsetime":
                unit = "ms"
            elif name in ("request_time", "duration_seconds"):
                unit = "s"
            else:
                unit = "s" if "." in found[1] or "e" in found[1] else "ms"
        if name == "service" and not found[2]:
            continue  # the name of a service, not Heroku's duration
        return number * UNITS[unit] if math.isfinite(number) else None
    return None


#: All forms, in the order in which they are tried.
READERS: list[Callable[[str], Entry | None]] = [
    json_object, access, balancer, apache_error, container, syslog, klog, timed, logfmt, haproxy, plain,
]  # fmt: skip


def read(line: str) -> Entry | None:
    """Return the entry of a line, or None if its form is unknown."""
    return next((found for reader in READERS if (found := reader(line))), None)


class W3C:
    """The forms whose lines #Fields describes: those of IIS, CloudFront and other programs."""

    def __init__(self, fields: str) -> None:
        self.names = fields.lower().split()

    def read(self, line: str) -> Entry | None:
        values = line.split("\t") if "\t" in line else line.split()
        if len(values) != len(self.names):
            return None
        flat = dict(zip(self.names, values, strict=True))
        if "date" in flat and "time" in flat:
            flat["timestamp"] = f"{flat['date']}T{flat['time']}Z"
        for name in ("cs(user-agent)", "cs-uri-stem"):
            flat[name] = flat.get(name, "-").replace("+", " ").replace("%20", " ")
        return _record(flat, "W3C", line)
