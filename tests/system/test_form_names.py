"""The names in a form, as HTTP clients and browsers write them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.answers import nothing_stored, problem
from tests.support.system import System

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STEPS = b'--b\r\nContent-Disposition: form-data; name="steps"\r\n\r\n[{"kind": "shell", "script": "true"}]\r\n'


def post(system: System, disposition: str, content: bytes = b"x", agent: str = "test") -> Any:
    """Send a form whose second part has this Content-Disposition, without ``form-data``."""
    part = b"--b\r\nContent-Disposition: form-data; " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b", "User-Agent": agent}
    return system.http.post("/schedule", content=STEPS + part, headers=headers)


def names(answer: Any) -> list[str]:
    assert answer.status_code == 202, answer.text
    return [upload["name"] for upload in answer.json()["uploads"]]


#: The header that a client sends for a file, and the file's name.
CLIENTS = {
    # .NET, also without the quotes that it leaves out
    """name=files; filename="=?utf-8?B?5oql5ZGKLmNzdg==?="; filename*=utf-8''%E6%8A%A5%E5%91%8A.csv""": "报告.csv",
    "name=files; filename=a.csv; filename*=utf-8''a.csv": "a.csv",
    'name="files"; filename="=?utf-8?B?5oql5ZGKLmNzdg==?="': "报告.csv",
    'name="files"; filename="=?UTF-8?Q?=C3=BCber_x.csv?="': "über x.csv",
    'name="files"; filename="=?utf-8?B?5oql5ZGK?= =?utf-8?B?LmNzdg==?="': "报告.csv",
    # urllib3 1.26, and others with filename* alone
    """name="files"; filename*=utf-8''%E6%8A%A5%E5%91%8A%20v2.csv""": "报告 v2.csv",
    """name="files"; filename*="UTF-8''%E6%8A%A5.csv\"""": "报.csv",
    """name="files"; filename*=UTF-8'zh'%E6%8A%A5.csv""": "报.csv",
    """name="files"; filename*=iso-8859-1''%FCber.csv""": "über.csv",
    """name="files"; FILENAME*=utf-8''%FCber.csv; filename="fallback.csv\"""": "fallback.csv",
    """name="files"; filename="fallback.csv"; filename*=utf-8''a%2Fb.csv""": "b.csv",
    # aiohttp
    'name="files"; filename="%E6%8A%A5%E5%91%8A%20v2.csv"': "报告 v2.csv",
    # browsers, undici, urllib3 2, curl 7.81 and later
    'name="files"; filename="a %22b%22.csv"': 'a "b".csv',
    'name="files"; filename="报告 100%.csv"': "报告 100%.csv",
    'name="files"; filename="100%25.csv"': "100%25.csv",
    'name="files"; filename="my%20file.csv"': "my%20file.csv",
    'name="files"; filename="C:\\Users\\me\\a.csv"': "a.csv",
    # Go, older curl
    'name="files"; filename="a \\"b\\"; c.csv"': 'a "b"; c.csv',
    # text that only looks like one of these forms
    'name="files"; filename="=?utf-8?B?!?="': "=?utf-8?B?!?=",
    'name="files"; filename="=?none?Q?a?=.csv"': "=?none?Q?a?=.csv",
    'name="files"; filename="%E6%8A.csv"': "%E6%8A.csv",
}


@pytest.mark.parametrize("disposition", CLIENTS)
def test_a_file_has_the_name_that_its_client_means(parked: System, disposition: str) -> None:
    assert names(post(parked, disposition)) == [CLIENTS[disposition]]


@pytest.mark.parametrize(
    ("sent", "name"), [("my%20file.csv", "my file.csv"), ("100%25.csv", "100%.csv"), ("a%22b.csv", 'a"b.csv')]
)
def test_aiohttp_encodes_every_name(parked: System, sent: str, name: str) -> None:
    answer = post(parked, f'name="files"; filename="{sent}"', agent="Python/3.13 aiohttp/3.13.0")
    assert names(answer) == [name]


def test_requests_sends_any_name(parked: System) -> None:
    wanted = ["报告 v2.csv", "my file.csv", "100%25.csv", 'a"b.csv']
    files: list[Any] = [("files", (name, b"x")) for name in wanted]
    answer = requests.post(f"{parked.http.base_url}/schedule", {"prompt": "Hello world"}, files=files, timeout=20)
    assert [upload["name"] for upload in answer.json()["uploads"]] == wanted


@pytest.mark.parametrize(
    "field", ["files", "file", "Files", "files[]", "file[]", "files[0]", "file1", "files2", "file_1", "file-1"]
)
def test_a_field_with_a_similar_name_is_a_file_too(parked: System, field: str) -> None:
    assert names(post(parked, f'name="{field}"; filename="a.csv"')) == ["a.csv"]


@pytest.mark.parametrize("field", ["files", "file", "file1", "files[]"])
def test_a_file_input_without_a_file_is_no_file(parked: System, field: str) -> None:
    part = f'name="{field}"; filename=""\r\nContent-Type: application/octet-stream'
    assert names(post(parked, part, b"")) == []
    assert names(post(parked, f'name="{field}"', b"")) == []


REFUSED = {
    'name="file"': "file: was sent as text; -F files=@sales.csv",
    'name="files[]"': "files[]: was sent as text; -F files=@sales.csv",
    'name="data"; filename="a.csv"': "data: was sent as a file: files go as files (-F files=@sales.csv)",
    'name="check"; filename="a.csv"': "check: was sent as a file: files go as files (-F files=@sales.csv)",
    'name="files"; filename=""': "files: the name '' names no file",
    "name=\"files\"; filename*=utf-8''%FC": "files: the name '' names no file",
    "name=\"files\"; filename*=utf-8''a%0Ab": "files: the name 'a\\nb' has control characters",
    'name="files"; filename="=?utf-8?Q?a=0Ab?="': "files: the name 'a\\nb' has control characters",
    'name="files"; filename="a.csv"\r\nContent-Transfer-Encoding: base64': "Content-Transfer-Encoding 'base64'",
    'name="promt"': "promt: there is no such field",
}


@pytest.mark.parametrize("part", REFUSED)
def test_a_part_that_cannot_be_taken_is_explained(parked: System, part: str) -> None:
    with nothing_stored(parked):
        problem(post(parked, part), 422, REFUSED[part])


@pytest.mark.parametrize("part", ["filename=a", "name*0=a; name*=utf-8''b; name*1=c", "x"])
def test_a_part_without_a_name_is_refused(parked: System, part: str) -> None:
    with nothing_stored(parked):
        problem(post(parked, part), 400, "has no name")


def test_a_json_field_may_be_a_blob_of_a_browser(parked: System) -> None:
    part = 'name="labels"; filename="blob"\r\nContent-Type: application/json'
    assert post(parked, part, b'{"team": "blue"}').json()["labels"] == {"team": "blue"}


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("", "utf-8-sig"),
        ("", "utf-16"),
        ("Content-Type: text/plain; charset=ISO-8859-1", "latin-1"),
        ("Content-Type: text/plain; charset=ISO-8859-1", "utf-8"),
        ("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit", "utf-8"),
    ],
)
def test_a_field_is_text_in_the_encoding_that_its_client_uses(parked: System, header: str, encoding: str) -> None:
    part = 'name="labels"' + (f"\r\n{header}" if header else "")
    answer = post(parked, part, '{"a": "grün"}'.encode(encoding))
    assert answer.json()["labels"] == {"a": "grün"}, answer.text


def test_an_empty_field_counts_as_missing(parked: System) -> None:
    for field in ("prompt", "template", "check", "labels", "limits", "keep_days", "network", "outputs"):
        answer = post(parked, f'name="{field}"', b"")
        assert answer.status_code == 202, answer.text


PAGE = """
<form method="post" action="/schedule" enctype="{enctype}">
<input name="prompt" value="Hello world"><input name="template"><textarea name="labels"></textarea>
<input type="file" name="files[]" multiple><button>Send</button>
</form>
"""


@pytest.mark.parametrize("chosen", [[], ["报告 v2.csv", 'a "b" 100%25.csv']])
def test_a_form_of_a_page_submits_a_job(parked: System, browser: Browser, tmp_path: Path, chosen: list[str]) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        for enctype in ("multipart/form-data", "application/x-www-form-urlencoded"):
            page.goto(f"{parked.http.base_url}/docs")
            page.set_content(PAGE.format(enctype=enctype))
            if enctype.startswith("multipart"):
                for name in chosen:
                    (tmp_path / name).write_text("x")
                page.set_input_files("input[type=file]", [tmp_path / name for name in chosen])
            else:
                page.evaluate("document.querySelector('input[type=file]').remove()")
            with page.expect_response("**/schedule") as response:
                page.click("button")
            answer = response.value.json()
            assert answer["prompt"] == "Hello world", answer
            assert [upload["name"] for upload in answer["uploads"]] == (chosen if "multi" in enctype else [])
