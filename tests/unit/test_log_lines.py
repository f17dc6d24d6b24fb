"""The lines of logs that programs write, and what the template log-report reads in them."""

# ruff: noqa: E501 - lines of logs are long

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.logs import log_lines

#: A line → its form, level, message, time (of UTC), and source.
LINES: dict[str, tuple[str, str, str, str | None, str]] = {
    # Apache's and nginx's error logs
    "[Wed Oct 11 14:32:52.123456 2023] [core:error] [pid 35708:tid 4328636416] [client 72.15.99.187] File does not exist: /x":
        ("Apache error log", "error", "File does not exist: /x", "2023-10-11T14:32:52.123456", "core"),
    "[Wed Oct 11 14:32:53 2000] [error] [client 127.0.0.1] client denied by server configuration: /y":
        ("Apache error log", "error", "client denied by server configuration: /y", "2000-10-11T14:32:53", ""),
    "[Wed Oct 11 14:32:54.000001 2023] [mpm_event:notice] [pid 1:tid 2] AH00489: resuming normal operations":
        ("Apache error log", "info", "AH00489: resuming normal operations", "2023-10-11T14:32:54.000001", "mpm_event"),
    "[Wed Oct 11 14:32:54 2023] [ssl:emerg] [pid 7] (13)Permission denied: [client ::1:99] AH02572: no key":
        ("Apache error log", "critical", "(13)Permission denied: AH02572: no key", "2023-10-11T14:32:54", "ssl"),
    "[Wed Oct 11 14:32:54 2023] [proxy:trace3] [pid 7] x": ("Apache error log", "debug", "x", "2023-10-11T14:32:54", "proxy"),
    "2023/10/11 14:32:52 [error] 1234#0: *5 open() failed (2: No such file), client: 1.2.3.4":
        ("application log", "error", "1234#0: *5 open() failed (2: No such file), client: 1.2.3.4", "2023-10-11T14:32:52", ""),
    # syslog, RFC 3164 and 5424, rsyslog, journalctl, devices
    "<34>Oct 11 2023 22:14:15 mymachine su: 'su root' failed for lonvick":
        ("syslog", "critical", "'su root' failed for lonvick", "2023-10-11T22:14:15", "su"),
    '<165>1 2003-10-11T22:14:15.003Z host.example.com evntslog - ID47 [ex@32473 iut="3" c="a]b"] \ufeffAn event':
        ("syslog", "info", "An event", "2003-10-11T22:14:15.003000", "evntslog"),
    "<11>1 2024-01-01T00:00:00+02:00 h app 12 - - disk full": ("syslog", "error", "disk full", "2023-12-31T22:00:00", "app"),
    "<13>1 - - - - - -": ("syslog", "info", "", None, ""),
    "2024-10-10T10:00:00.123456+02:00 host sshd[12]: Failed password for root":
        ("syslog", "error", "Failed password for root", "2024-10-10T08:00:00.123456", "sshd"),
    "2024-10-10T10:00:00+0200 host systemd[1]: Started Session 1.":
        ("syslog", "info", "Started Session 1.", "2024-10-10T08:00:00", "systemd"),
    '2024-10-10T10:00:00Z host app[1]: {"level":"error","msg":"inner","logger":"db"}':
        ("syslog, JSON", "error", "inner", "2024-10-10T10:00:00", "db"),
    "<191>2024-10-10T10:00:00Z something": ("syslog", "debug", "something", "2024-10-10T10:00:00", ""),
    "<189>123: *Mar  1 2024 00:00:10: %LINK-3-UPDOWN: Interface Fa0/1, changed state to down":
        ("syslog", "error", "UPDOWN: Interface Fa0/1, changed state to down", "2024-03-01T00:00:10", "LINK"),
    "[   12.345678] usb 1-1: device descriptor read/64, error -110":
        ("kernel", "error", "device descriptor read/64, error -110", None, "usb 1-1"),
    # applications
    "2024-10-10 10:00:00,123 - app.db - ERROR - no connection":
        ("application log", "error", "no connection", "2024-10-10T10:00:00.123000", ""),
    "2024-10-10T10:00:00Z INFO started: error handler ready":
        ("application log", "info", "started: error handler ready", "2024-10-10T10:00:00", ""),
    "2024-10-10T10:00:00.123Z\tWARN\tmain\tapp/main.go:12\tslow\t{\"ms\": 5}":
        ("application log", "warning", 'main\tapp/main.go:12\tslow\t{"ms": 5}', "2024-10-10T10:00:00.123000", ""),
    "2024-10-10 10:00:00.123 UTC [12] user@db ERROR:  relation \"x\" does not exist":
        ("application log", "error", 'relation "x" does not exist', "2024-10-10T10:00:00.123000", ""),
    "2024-10-10T10:00:00.123456Z 0 [Warning] [MY-010055] [Server] old":
        ("application log", "warning", "[MY-010055] [Server] old", "2024-10-10T10:00:00.123456", ""),
    "[2024-10-10 10:00:00,123] ERROR Broken (kafka.server)":
        ("application log", "error", "Broken (kafka.server)", "2024-10-10T10:00:00.123000", ""),
    "10-Oct-2024 10:00:00.123 SEVERE [main] org.apache.X failed":
        ("application log", "error", "[main] org.apache.X failed", "2024-10-10T10:00:00.123000", ""),
    "10.10.2024 10:00:00 FEHLER: Verbindung getrennt":
        ("application log", "error", "Verbindung getrennt", "2024-10-10T10:00:00", ""),
    "I, [2024-10-10T10:00:00.123456 #12]  INFO -- : Started":
        ("application log", "info", "Started", "2024-10-10T10:00:00.123456", ""),
    "10:00:00.123 [main] ERROR com.x.Y - bad": ("application log", "error", "com.x.Y - bad", None, ""),
    "10:00AM ERR no route error=x": ("application log", "error", "no route error=x", None, ""),
    "[10:00:00 WRN] careful": ("application log", "warning", "careful", None, ""),
    "2024/10/10 10:00:00 listening on :80": ("application log", "info", "listening on :80", "2024-10-10T10:00:00", ""),
    "1728560000 is a number": None,  # type: ignore[dict-item]
    # levels without a time
    "ERROR:root:no file": ("lines with a level", "error", "no file", None, "root"),
    "WARNING:app.db:slow: 12": ("lines with a level", "warning", "slow: 12", None, "app.db"),
    "[ERROR] broken": ("lines with a level", "error", "broken", None, ""),
    "fail: Microsoft.Hosting[0]": ("lines with a level", "error", "Microsoft.Hosting[0]", None, ""),
    "panic: runtime error: index out of range": ("lines with a level", "critical", "runtime error: index out of range", None, ""),
    "Information technology is nice": None,  # type: ignore[dict-item]
    # one letter for the level
    "E1011 14:32:52.123456   12345 file.go:123] it broke": ("klog", "error", "it broke", "now", "file.go"),
    "I20241011 14:32:52.123456 12345 file.cc:1] up": ("klog", "info", "up", "2024-10-11T14:32:52.123456", "file.cc"),
    "10-10 10:00:00.123  1234  5678 W ActivityManager: slow": ("logcat", "warning", "slow", "now", "ActivityManager"),
    "1:M 10 Oct 2024 10:00:00.123 # Server can't set maximum open files":
        ("Redis", "warning", "Server can't set maximum open files", "2024-10-10T10:00:00.123000", ""),
    # key=value
    'time="2024-10-10T10:00:00Z" level=error msg="no \\"x\\"" a=1': ("key=value", "error", 'no "x"', "2024-10-10T10:00:00", ""),
    "ts=2024-10-10T10:00:00Z caller=main.go:1 level=warn component=tsdb msg=slow":
        ("key=value", "warning", "slow", "2024-10-10T10:00:00", "tsdb"),
    "level=info ts=1728554400.5 msg=ok": ("key=value", "info", "ok", "2024-10-10T10:00:00.500000", ""),
    # containers
    "2024-10-10T10:00:00.123456789Z stderr F E1011 14:32:52.1 1 a.go:1] x": ("container, klog", "error", "x", "now", "a.go"),
    "2024-10-10T10:00:00.123456789Z stdout F plain text": ("container", "info", "plain text", "2024-10-10T10:00:00.123456", ""),
    "web-1  | 2024-10-10 10:00:00 ERROR x": ("container, application log", "error", "x", "2024-10-10T10:00:00", "web-1"),
    # no logs
    "": None,  # type: ignore[dict-item]
    "Some text of a letter.": None,  # type: ignore[dict-item]
    "{broken": None,  # type: ignore[dict-item]
}  # fmt: skip

#: The fields of a JSON object → its level, message and time.
OBJECTS: list[tuple[dict[str, Any], str, str, str | None]] = [
    ({"level": "error", "msg": "x", "time": "0001-01-01T00:00:00Z"}, "error", "x", None),
    ({"level": "info", "msg": "x", "ts": "9999-12-31T23:59:59-05:00"}, "info", "x", None),
    ({"level": "info", "msg": "x", "ts": 1e300}, "info", "x", None),
    ({"level": "info", "msg": "x", "ts": -5}, "info", "x", None),
    ({"level": "info", "msg": "x", "ts": 1728554400.25}, "info", "x", "2024-10-10T10:00:00.250000"),
    ({"level": "info", "msg": "x", "time": 1728554400123}, "info", "x", "2024-10-10T10:00:00.123000"),
    ({"level": "info", "msg": "x", "time": 1728554400123456789}, "info", "x", "2024-10-10T10:00:00.123457"),
    ({"PRIORITY": "2", "MESSAGE": "crit!", "__REALTIME_TIMESTAMP": "1728554400000000"}, "critical", "crit!", "2024-10-10T10:00:00"),
    ({"PRIORITY": "3", "MESSAGE": [104, 105, 27], "__REALTIME_TIMESTAMP": "1728554400000000"}, "error", "hi\x1b", "2024-10-10T10:00:00"),
    ({"PRIORITY": "4", "MESSAGE": ["a", "b"]}, "warning", "a", None),
    ({"PRIORITY": "7", "MESSAGE": "d"}, "debug", "d", None),
    ({"log": {"level": "error"}, "message": "nested"}, "error", "nested", None),
    ({"log.level": "WARN", "message": "dotted", "@timestamp": "2024-10-10T10:00:00.1Z"}, "warning", "dotted", "2024-10-10T10:00:00.100000"),
    ({"level": {"name": "CRITICAL"}, "message": "x"}, "critical", "x", None),
    ({"record": {"level": {"name": "ERROR", "no": 40}, "message": "loguru"}, "text": "long"}, "error", "long", None),
    ({"level": 50, "msg": "pino"}, "error", "pino", None),
    ({"level": 60, "msg": "pino"}, "critical", "pino", None),
    ({"level": "30", "msg": "pino"}, "info", "pino", None),
    ({"level": 40000, "msg": "logback"}, "error", "logback", None),
    ({"level": 3, "short_message": "gelf", "timestamp": 1728554400.0}, "error", "gelf", "2024-10-10T10:00:00"),
    ({"levelno": 30, "message": "python"}, "warning", "python", None),
    ({"severityNumber": 17, "body": {"stringValue": "otel"}}, "error", "otel", None),
    ({"level": "ERROR+4", "msg": "slog"}, "error", "slog", None),
    ({"level": "dpanic", "msg": "zap"}, "critical", "zap", None),
    ({"@l": "Fatal", "@mt": "serilog {X}", "@t": "2024-10-10T10:00:00.1234567Z"}, "critical", "serilog {X}", "2024-10-10T10:00:00.123456"),
    ({"t": {"$date": "2024-10-10T10:00:00.000+00:00"}, "s": "E", "c": "NETWORK", "msg": "mongo"}, "error", "mongo", "2024-10-10T10:00:00"),
    ({"severity": "ERROR", "textPayload": "gcp", "timestamp": "2024-10-10T10:00:00Z"}, "error", "gcp", "2024-10-10T10:00:00"),
    ({"log": "2024-10-10 10:00:00 ERROR docker\n", "stream": "stderr", "time": "2024-10-10T10:00:01Z"}, "error", "docker", "2024-10-10T10:00:00"),
    ({"log": "plain\n", "stream": "stdout", "time": "2024-10-10T10:00:01Z"}, "info", "plain", "2024-10-10T10:00:01"),
    ({"ts": 1728554400, "msg": "klog", "err": "timeout"}, "error", "klog", "2024-10-10T10:00:00"),
    ({"message": "x", "error": None}, "info", "x", None),
    ({"LevelDisplayName": "Warning", "Level": 3, "Message": "windows"}, "warning", "windows", None),
    ({"level": None, "msg": None}, "info", '{"level": null, "msg": null}', None),
    ({"level": [], "msg": {"a": 1}}, "info", '{"level": [], "msg": {"a": 1}}', None),
]  # fmt: skip

#: A line with a request → client, path, status, bytes, seconds or number, user agent, level.
REQUESTS: dict[str, tuple[str, str, int, int, float | None, str, str]] = {
    '1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /a?b=1 HTTP/1.0" 200 2326':
        ("1.2.3.4", "/a", 200, 2326, None, "", "info"),
    '1.2.3.4 - John Doe [10/Oct/2000:13:55:36 -0700] "GET /a b HTTP/1.0" 404 - "-" "Mozilla/5.0 (X11; \\"q\\")"':
        ("1.2.3.4", "/a b", 404, 0, None, 'Mozilla/5.0 (X11; \\"q\\")', "warning"),
    'www.example.com:443 1.2.3.4 - bob [10/Oct/2000:13:55:36 -0700] "POST /a HTTP/2.0" 500 1 "http://r/" "curl/8"':
        ("1.2.3.4", "/a", 500, 1, None, "curl/8", "error"),
    '2001:db8::1 - - [10/Oct/2000:13:55:36 +0000] "HEAD / HTTP/1.1" 301 0 "-" "-"':
        ("2001:db8::1", "/", 301, 0, None, "", "info"),
    '1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "\\x16\\x03\\x01\\x02\\x00\\x01" 400 166 "-" "-"':
        ("1.2.3.4", log_lines.NOT_HTTP, 400, 166, None, "", "warning"),
    '1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "-" 408 0 "-" "-"':
        ("1.2.3.4", log_lines.NO_REQUEST, 408, 0, None, "", "warning"),
    '1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "" 400 0': ("1.2.3.4", log_lines.NO_REQUEST, 400, 0, None, "", "warning"),
    '1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8" 0.123':
        ("1.2.3.4", "/", 200, 5, 0.123, "curl/8", "info"),
    '1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8" rt=0.250 uct="0.000" urt="0.2"':
        ("1.2.3.4", "/", 200, 5, 0.25, "curl/8", "info"),
    '1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8" 12 "router" "http://10.0.0.1" 5ms':
        ("1.2.3.4", "/", 200, 5, 0.005, "curl/8", "info"),
    '1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "x" 485 0.003 [a-80] [] 10.0.0.1:80 6 0.003 200 id':
        ("1.2.3.4", "/", 200, 5, 0.003, "x", "info"),
    'https 2018-07-02T22:23:00.186641Z app/lb/50dc 192.168.1.9:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 '
    '"GET https://www.example.com:443/x?y HTTP/1.1" "curl/7.46.0" - -':
        ("192.168.1.9", "/x", 200, 57, 0.171, "curl/7.46.0", "info"),
    'Oct 11 10:00:00 lb haproxy[674]: 127.0.0.1:33319 [15/Oct/2003:08:31:57.5] front Srv1 6559/0/7/147/6723 503 243 - - '
    '---- 1/3/3/1/0 0/0 "HEAD / HTTP/1.0"': ("127.0.0.1", "/", 503, 243, 6.723, "", "error"),
    'INFO:     127.0.0.1:5000 - "GET /x HTTP/1.1" 500 Internal Server Error': ("127.0.0.1", "/x", 500, 0, None, "", "error"),
    'INFO:werkzeug:127.0.0.1 - - [10/Oct/2024 10:00:00] "GET /x HTTP/1.1" 200 -': ("127.0.0.1", "/x", 200, 0, None, "", "info"),
    'at=info method=GET path="/x?y" host=h fwd="1.2.3.4" dyno=web.1 connect=1ms service=18ms status=503 bytes=13':
        ("1.2.3.4", "/x", 503, 13, 0.018, "", "error"),
    json.dumps({"level": "info", "ts": 1728554400.1, "logger": "http.log.access", "msg": "handled request", "status": 200,
                "request": {"remote_ip": "1.2.3.4", "method": "GET", "uri": "/c", "headers": {"User-Agent": ["curl/8"]}},
                "size": 10, "duration": 0.0015}): ("1.2.3.4", "/c", 200, 10, 0.0015, "curl/8", "info"),
    json.dumps({"ClientHost": "1.2.3.4", "DownstreamStatus": 502, "RequestPath": "/t", "Duration": 2_000_000, "level": "info",
                "DownstreamContentSize": 9, "RequestMethod": "GET"}): ("1.2.3.4", "/t", 502, 9, 0.002, "", "error"),
    json.dumps({"remote_addr": "1.2.3.4", "request": "GET /n HTTP/1.1", "status": "404", "body_bytes_sent": "7",
                "request_time": "0.500", "http_user_agent": "x"}): ("1.2.3.4", "/n", 404, 7, 0.5, "x", "warning"),
    json.dumps({"level": 30, "req": {"method": "GET", "url": "/p", "remoteAddress": "::1"}, "res": {"statusCode": 200},
                "responseTime": 12, "msg": "request completed"}): ("::1", "/p", 200, 0, 0.012, "", "info"),
    json.dumps({"@timestamp": "2024-10-10T10:00:00Z", "event": {"duration": 5_000_000}, "source": {"ip": "1.2.3.4"},
                "http": {"response": {"status_code": 500, "body": {"bytes": 3}}}, "url": {"path": "/e"},
                "user_agent": {"original": "x"}}): ("1.2.3.4", "/e", 500, 3, 0.005, "x", "error"),
    json.dumps({"severity": "INFO", "httpRequest": {"status": 200, "latency": "0.25s", "requestUrl": "https://h/g?x",
                "userAgent": "x", "responseSize": "12", "remoteIp": "1.2.3.4"}}): ("1.2.3.4", "/g", 200, 12, 0.25, "x", "info"),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_read_whatever_program_has_written_it(line: str) -> None:
    found, wanted = log_lines.read(line), LINES[line]
    if wanted is None:
        assert found is None
        return
    assert found is not None
    time = found.time.replace(tzinfo=None).isoformat() if found.time else None
    if wanted[3] == "now":  # the line has no year
        assert found.without_year
        assert found.time is not None
        assert abs(found.time.year - datetime.now(UTC).year) <= 1
        time = "now"
    assert (found.form, found.level, found.message, time, found.source) == wanted


@pytest.mark.parametrize(("data", "level", "message", "time"), OBJECTS)
def test_an_object_is_read_whatever_its_fields_are_called(
    data: dict[str, Any], level: str, message: str, time: str | None
) -> None:
    found = log_lines.read(json.dumps(data))
    assert found is not None
    shown = found.time.replace(tzinfo=None).isoformat() if found.time else None
    assert (found.level, found.message, shown) == (level, message, time)


@pytest.mark.parametrize("line", REQUESTS)
def test_a_request_is_read_with_its_bytes_duration_and_user_agent(line: str) -> None:
    found = log_lines.read(line)
    assert found is not None
    assert found.request is not None
    request = found.request
    client, path, status, size, seconds, agent, level = REQUESTS[line]
    assert (request.client, request.path, request.status, request.size) == (client, path, status, size)
    assert (request.agent, found.level) == (agent, level)
    assert request.seconds == pytest.approx(seconds)


def test_a_whole_number_at_the_end_of_an_access_line_has_no_unit_yet() -> None:
    found = log_lines.read('1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "x" 15300')
    assert found is not None
    assert found.request is not None
    assert (found.request.number, found.request.seconds) == (15300, None)


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("0001-01-01T00:00:00Z", True),
        ("9999-12-31T23:59:59Z", True),
        ("9999-12-31T23:59:59-14:00", True),
        ("0001-01-01T00:00:00+14:00", True),
        ("0000-00-00 00:00:00", True),
        ("0", True),
        ("1e300", True),
        ("nan", False),
        ("soon", False),
        ("", False),
    ],
)
def test_a_time_that_cannot_be_right_is_no_time_and_only_a_number_is_worth_a_word(text: str, odd: bool) -> None:
    found = log_lines.when(text)
    assert found.get("time") is None
    assert bool(found["odd_time"]) is odd


def test_a_w3c_log_is_read_by_its_fields() -> None:
    reader = log_lines.W3C(
        "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status time-taken"
    )
    found = reader.read("2024-10-10 10:00:00 10.0.0.1 GET /a b=1 443 - 1.2.3.4 Mozilla/5.0+(X) 500 120")
    assert found is not None
    assert found.request is not None
    assert (found.level, found.time) == ("error", datetime(2024, 10, 10, 10, tzinfo=UTC))
    assert (found.request.client, found.request.path, found.request.agent) == ("1.2.3.4", "/a", "Mozilla/5.0 (X)")
    assert found.request.seconds == pytest.approx(0.12)
    assert reader.read("too few") is None
