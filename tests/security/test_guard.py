"""Who may knock: names, origins, the key; and what the system says of itself to those who may."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from orchestrator.api.guard import LIVE
from tests.support.answers import nothing_stored, problem, raw
from tests.support.system import System, docker

ANY = "0.0.0.0"  # noqa: S104 - on purpose, with a key
KEY = "a key of ours: schlüssel"
EVERYWHERE = ("/", "/health", "/jobs", "/docs", "/openapi.json", "/nothing")


@pytest.fixture(scope="module")
def guarded(no_engine: str) -> Iterator[System]:
    """A system that others can reach: it listens on every address, and has a key."""
    one = System(HOST=ANY, ALLOWED_HOSTS="box.example, OTHER.example", DOCKER_HOST=no_engine)
    one.settings["API_KEY"] = KEY
    one.http.headers.update(keyed())
    try:
        yield one.start()
    finally:
        one.close()


def keyed(key: str = KEY, scheme: str = "Bearer") -> dict[str, Any]:
    """The header as curl sends it: in the terminal's UTF-8."""
    return {"Authorization": f"{scheme} {key}".encode()}


@pytest.fixture(scope="module")
def sandboxs_address(system: System) -> str:
    """An address that a sandbox could have: their network is made for the first job that needs it."""
    system.completed(system.shell("true", network="internet"))
    label = f"label=containerized-agent.run-dir={system.run_dir}"
    network = docker("network", "ls", "--quiet", "--filter", label)
    subnet = docker("network", "inspect", network, "--format", "{{(index .IPAM.Config 0).Subnet}}")
    return str(ipaddress.ip_network(subnet)[9])


def with_host(system: System, host: str, path: str = "/health", **headers: str) -> httpx.Response:
    return raw(system, "GET", path, {"Host": host, **headers})


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_the_machines_own_names_are_known_with_and_without_a_port(system: System, host: str) -> None:
    for name in (host, f"{host}:{system.port}", f"{host}:1"):
        assert with_host(system, name).status_code == 200, name


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.0.1", "127.0.0.1@evil.example",
     "evil.example#localhost", "[::2]", "[", "", "0", "2130706433"],
)  # fmt: skip
def test_a_foreign_name_is_refused_with_what_to_set(system: System, host: str) -> None:
    for path in EVERYWHERE:
        found = problem(with_host(system, host, path), 403, repr(host), "ALLOWED_HOSTS")
        assert found["type"] == "/problems/foreign-host"


def test_a_page_whose_name_was_pointed_at_this_machine_cannot_submit(system: System) -> None:
    with nothing_stored(system):
        headers = {"Host": "rebound.example", "Origin": "http://rebound.example"}
        problem(system.http.post("/schedule", json={"prompt": "Hello world"}, headers=headers), 403)


def test_allowed_hosts_are_known_whatever_their_case(guarded: System) -> None:
    for host in ("box.example", "Box.Example:80", "other.example"):
        assert with_host(guarded, host, "/jobs", **keyed()).status_code == 200
    problem(with_host(guarded, "third.example", "/jobs", **keyed()), 403, "ALLOWED_HOSTS")


def test_the_address_that_was_called_is_a_name_too(guarded: System) -> None:
    url = f"http://127.0.0.2:{guarded.port}/jobs"
    assert httpx.get(url, headers=keyed()).status_code == 200
    problem(httpx.get(url, headers={**keyed(), "Host": "127.0.0.3"}), 403, "127.0.0.3")


# ── origins ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://evil.example:8000", "null", "http://127.0.0.1", "http://127.0.0.1:1", "http://localhost",
     "file://", "http://[", "", "x"],
)  # fmt: skip
def test_pages_of_others_may_not_call_us(system: System, origin: str) -> None:
    with nothing_stored(system):
        headers = {"Origin": origin}
        answer = system.http.post("/schedule", json={"prompt": "Hello world"}, headers=headers)
        found = problem(answer, 403, repr(origin))
        assert found["type"] == "/problems/foreign-origin"
        problem(system.http.get("/jobs", headers=headers), 403)


def test_our_own_pages_may_call_us(system: System) -> None:
    own = str(system.http.base_url)
    assert system.http.get("/jobs", headers={"Origin": own}).status_code == 200
    host = f"localhost:{system.port}"
    assert with_host(system, host, Origin=f"http://{host}").status_code == 200


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "X-Forwarded-Host"])
def test_what_a_proxy_would_say_changes_nothing(system: System, sandboxs_address: str, name: str) -> None:
    for value in ("junk", "10.0.0.1", "https", "for=evil.example;host=evil.example", sandboxs_address):
        assert system.http.get("/jobs", headers={name: value}).status_code == 200


def test_a_browsers_question_beforehand_is_not_answered_with_yes(system: System) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = system.http.options("/schedule", headers=headers)
    problem(answer, 403)
    assert not [name for name in answer.headers if name.startswith("access-control")]


# ── the key ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def calls(system: System) -> list[tuple[str, str]]:
    """Every call that the OpenAPI document has, and those about it."""
    paths = system.http.get("/openapi.json").json()["paths"]
    found = [(method.upper(), path) for path, item in paths.items() for method in item]
    assert len(found) >= 8
    found += [("HEAD", "/download/{job_id}"), ("GET", "/download/{job_id}.zip"), ("HEAD", "/"), ("HEAD", "/health")]
    return [*found, ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/nothing")]


def test_with_a_key_every_call_needs_it(guarded: System) -> None:
    job_id = guarded.submit(prompt="Hello world")
    wrong_keys = [keyed(key) for key in ("wrong-key", KEY[:-1], KEY + "x", KEY.upper())]
    with nothing_stored(guarded), httpx.Client(base_url=f"http://127.0.0.1:{guarded.port}") as stranger:
        assert stranger.get(LIVE).text == "ok\n"
        for method, path in calls(guarded):
            target = path.replace("{job_id}", job_id)
            if path == LIVE:
                continue
            for wrong in ({}, {"Authorization": "Bearer"}, keyed(KEY, "Basic"), *wrong_keys):
                answer = stranger.request(method, target, headers=wrong)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert KEY not in answer.text
                if method != "HEAD":
                    found = problem(answer, 401, "Authorization: Bearer")
                    assert found["type"] in ("/problems/no-key", "/problems/wrong-key")
    assert guarded.status(job_id)["status"] == "scheduled"


def test_with_the_right_key_every_call_is_let_through(guarded: System) -> None:
    job_id = guarded.submit(prompt="Hello world")
    guarded.cancel(job_id)
    for method, path in calls(guarded):
        answer = guarded.http.request(method, path.replace("{job_id}", job_id))
        assert answer.status_code in (200, 202, 204, 400, 404, 503), (method, path, answer.text)
    assert guarded.http.get("/jobs", headers=keyed(KEY, "bearer")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "query", "kind", "words"),
    [
        ({}, "", "no-key", "Every call needs the API key: -H 'Auth"),
        ({"Authorization": "Bearer a-wrong-key"}, "", "wrong-key", "It must be the value of API_KEY in the `.env`"),
        ({"Authorization": "bearer a-wrong-key"}, "", "wrong-key", "The key is wrong."),
        ({"Authorization": "Bearer a-wrong-key", "X-API-Key": "x"}, "", "wrong-key", "The key is wrong."),
        ({"Authorization": "Bearer $API_KEY"}, "", "wrong-key", "The key is the text $API_KEY. Use double quotes"),
        ({"Authorization": "Bearer <API_KEY>"}, "", "wrong-key", "The key is the text <API_KEY>."),
        ({"Authorization": "Bearer"}, "", "no-key", "has no key after Bearer. Is $API_KEY empty in your shell?"),
        ({"Authorization": "Basic dTpw"}, "", "no-key", "has the scheme Basic, which is not read here; send it as -H"),
        ({"Authorization": "Token a-wrong-key"}, "", "no-key", "has the scheme Token"),
        ({"Authorization": "a-wrong-key"}, "", "no-key", "does not begin with Bearer"),
        ({"Authorization": "my secret key"}, "", "no-key", "does not begin with Bearer"),
        ({"X-API-Key": "a-wrong-key"}, "", "no-key", "The key is in the header X-Api-Key, which is not read"),
        ({"Api-Key": "a-wrong-key"}, "", "no-key", "The key is in the header Api-Key"),
        ({"X-Auth-Token": "a-wrong-key"}, "", "no-key", "The key is in the header X-Auth-Token"),
        ({}, "?api_key=a-wrong-key", "no-key", "The key is in the address (api_key), where logs would keep it"),
        ({}, "?token=a-wrong-key&wait=3", "no-key", "The key is in the address (token)"),
        ({"Accept": "text/html, image/gif, *; q=.2"}, "", "no-key", "Every call needs the API key"),
    ],
)  # fmt: skip
def test_a_call_without_the_key_is_told_what_it_had_instead_and_the_key_is_not_repeated(
    guarded: System, headers: dict[str, str], query: str, kind: str, words: str
) -> None:
    answer = httpx.get(f"http://127.0.0.1:{guarded.port}/jobs{query}", headers=headers)
    found = problem(answer, 401, words, "Authorization: Bearer")
    assert found["type"] == f"/problems/{kind}" and answer.headers["www-authenticate"] == "Bearer"
    for value in ("a-wrong-key", "dTpw", "secret"):
        assert value not in answer.text


def test_the_key_is_in_no_answer_and_not_in_the_log(guarded: System) -> None:
    for path in EVERYWHERE:
        assert KEY not in guarded.http.get(path).text
    assert KEY not in guarded.log.read_text()


# ── what the system says of itself ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("accept", ["*/*", "text/plain"])
@pytest.mark.parametrize("path", ["/", "/health"])
def test_who_watches_the_system_may_ask_with_head(system: System, parked: System, path: str, accept: str) -> None:
    for one in (system, parked):
        whole, head = (one.http.request(method, path, headers={"Accept": accept}) for method in ("GET", "HEAD"))
        assert head.status_code == whole.status_code == (503 if one is parked and path == "/health" else 200)
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert int(head.headers["content-length"]) > 0 and head.content == b""
    assert system.http.head(f"{path}?deep=1").status_code == 422
    assert system.http.delete(path).headers["allow"] == "GET, HEAD"
    assert "head" not in system.http.get("/openapi.json").json()["paths"][path]


def test_the_first_page_says_where_things_are_and_they_are_there(system: System) -> None:
    home = system.http.get("/").json()
    assert home["health"]["status"] == "ok"
    assert all(check["ok"] for check in home["health"]["checks"].values())
    assert home["templates"]["hello-world"] == "Create a Python script that prints hello world"
    paths = system.http.get("/openapi.json").json()["paths"]
    for where in home["where"].values():
        method, path = where.split()
        assert path == "/docs" or method.lower() in paths[path]
    assert home["watch"] == {
        "desktops": f"http://localhost:{system.desktop_port}/",
        "notebooks": f"http://localhost:{system.notebook_port}/",
    }
    assert {"submit", "status", "jobs", "cancel", "download", "events", "health", "docs"} <= set(home["where"])


def test_the_health_says_what_was_checked(system: System) -> None:
    answer = system.http.get("/health")
    assert answer.status_code == 200
    found = answer.json()
    assert set(found["checks"]) == {"engine", "image", "disk", "model"}
    assert set(found["jobs"]) == {"scheduled", "running", "completed", "failed", "cancelled"}
    assert found["slots"] >= 1


def test_the_openapi_document_is_whole(system: System) -> None:
    document = system.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1.")
    names = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            names.append(operation["operationId"])
            assert operation["summary"], (method, path)
            in_path = {found["name"] for found in operation.get("parameters", []) if found["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))
            for status, answer in operation["responses"].items():
                assert answer["description"]
                for media in answer.get("content", {}).values():
                    assert set(media) <= {"schema", "example", "examples", "encoding"}  # the words of OpenAPI 3.1
                if status.startswith("4"):
                    assert "application/problem+json" in answer["content"], (method, path, status)
    assert len(names) == len(set(names))
    for reference in references(document):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]  # KeyError: the document points at nothing
        assert target


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_the_documents_examples_are_good_requests(system: System) -> None:
    document = system.http.get("/openapi.json").json()
    examples = document["components"]["schemas"]["ScheduleRequest"]["examples"]
    assert examples
    for example in examples:
        system.completed(system.submit(**example))


def test_the_docs_page_needs_nothing_from_the_internet(system: System) -> None:
    page = system.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) >= 2
    for asset in assets:
        assert asset.startswith("/"), asset
        assert system.http.get(asset).status_code == 200, asset
    assert "://" not in page.text
