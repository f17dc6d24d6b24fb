"""Errors for calls without the API key. They say what the call had instead, and never repeat a key."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from orchestrator.errors import Forbidden

#: Headers and query parameters in which clients of other systems send a key.
OTHER_HEADERS = ("x-api-key", "api-key", "apikey", "x-api-token", "x-auth-token", "x-access-token")
PARAMETERS = ("api_key", "apikey", "api-key", "key", "token", "access_token")

#: Schemes whose names an error repeats. Any other first word may be the key itself.
SCHEMES = ("basic", "token", "digest", "apikey", "negotiate", "key")

#: Keys that were copied from an example, or that a shell did not replace.
PLACEHOLDERS = ("$API_KEY", "${API_KEY}", "<API_KEY>", "API_KEY", "<key>")

SEND = "send it as -H 'Authorization: Bearer <API_KEY>'"

#: Maximum characters of a query that is searched for a key.
QUERY_CHARACTERS = 2_000


def refused(headers: Headers, query: bytes) -> Forbidden:
    """Build the 401 for a call whose key is missing or wrong."""
    kind, detail = _why(headers, query)
    title = "Wrong key" if kind == "wrong-key" else "Key needed"
    return Forbidden(401, kind, title, detail, {"WWW-Authenticate": "Bearer"})


def _why(headers: Headers, query: bytes) -> tuple[str, str]:
    given = headers.get("authorization", "").strip()
    scheme, _, key = given.partition(" ")
    key = key.strip()
    if scheme.lower() == "bearer" and key in PLACEHOLDERS:
        return "wrong-key", (
            f"The key is the text {key}. Use double quotes, so that the shell puts in its value: "
            '-H "Authorization: Bearer $API_KEY".'
        )
    if scheme.lower() == "bearer" and key:
        return "wrong-key", (
            "The key is wrong. It must be the value of API_KEY in the `.env` of the system: "
            "-H 'Authorization: Bearer <API_KEY>'."
        )
    if scheme.lower() == "bearer":
        return "no-key", (
            f"The Authorization header has no key after Bearer. Is $API_KEY empty in your shell? Otherwise {SEND}."
        )
    if scheme.lower() in SCHEMES and key:
        return "no-key", f"The Authorization header has the scheme {scheme}, which is not read here; {SEND}."
    if given:
        return "no-key", f"The Authorization header does not begin with Bearer; {SEND}."
    for name in OTHER_HEADERS:
        if name in headers:
            return "no-key", f"The key is in the header {name.title()}, which is not read here; {SEND}."
    words = {name.lower() for name, _ in parse_qsl(query[:QUERY_CHARACTERS].decode("latin-1"), keep_blank_values=True)}
    if found := words & {*PARAMETERS}:
        return "no-key", (
            f"The key is in the address ({min(found)}), where logs would keep it, so it is not read; {SEND}."
        )
    return "no-key", (
        "Every call needs the API key: -H 'Authorization: Bearer <API_KEY>'. A browser logs in at /login."
    )
