"""Rules for a job's secrets: their names, their values, and the rest of the request, which must not contain them.

Messages never contain a value or an invalid name, because a user may have put a value in the wrong place.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr, WithJsonSchema

from orchestrator.errors import BadRequest
from orchestrator.settings import Settings
from protocol.redaction import FIXED, SHORTEST, Needles, fixed_under, mark

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

#: Maximum number of secrets per job, bytes of a value, and bytes of all values together.
MOST, VALUE_BYTES, ALL_BYTES = 32, 16_384, 65_536

#: Minimum characters of the orchestrator's own keys.
KEY = 8

#: Variables that the system sets for steps, or that change how shells and other programs start.
RESERVED = frozenset(
    {
        "PATH", "VIRTUAL_ENV", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "JOB_ID", "MPLBACKEND",
        "OMP_NUM_THREADS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS",
        "ENV", "IFS", "CDPATH", "GLOBIGNORE", "POSIXLY_CORRECT", "PS1", "PS2", "PS3", "PS4", "PROMPT_COMMAND",
        "SHELLOPTS", "EXECIGNORE", "TIMEFORMAT", "PWD", "OLDPWD", "SHLVL", "_",
        "UID", "EUID", "PPID", "GROUPS", "RANDOM", "SRANDOM", "SECONDS", "LINENO", "OPTARG", "OPTERR", "OPTIND",
        "FUNCNAME", "DIRSTACK", "PIPESTATUS", "EPOCHSECONDS", "EPOCHREALTIME", "HISTCMD", "REPLY", "COMP_WORDBREAKS",
        "TMPDIR", "TZDIR", "LOCPATH", "NLSPATH", "GCONV_PATH", "GLIBC_TUNABLES", "GETCONF_DIR", "HOSTALIASES",
        "RESOLV_HOST_CONF", "RES_OPTIONS", "LOCALDOMAIN", "NIS_PATH", "TAR_OPTIONS", "NODE_OPTIONS", "NODE_PATH",
        "PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT", "JUPYTER_PATH", "JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH",
        "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "LINK_TOKEN",
    }
)  # fmt: skip
RESERVED_BEGINNINGS = ("LD_", "LC_", "BASH", "PYTHON", "MALLOC_")


def checked(given: Any) -> dict[str, SecretStr]:
    """Validate the secrets of a request. Raises ValueError with a sentence."""
    if not isinstance(given, dict):
        raise ValueError("must be a JSON object of names and values")
    if len(given) > MOST:
        raise ValueError(f"a job takes at most {MOST} secrets, not {len(given)}")
    for name, value in given.items():
        _check_name(name)
        _check_value(name, value.get_secret_value() if isinstance(value, SecretStr) else value, given)
    values = {name: value if isinstance(value, SecretStr) else SecretStr(str(value)) for name, value in given.items()}
    if sum(len(value.get_secret_value().encode()) for value in values.values()) > ALL_BYTES:
        raise ValueError(f"the values together have more than {ALL_BYTES:,} bytes")
    return values


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            "a name must be an environment variable: at most 64 letters, digits and _, with no digit first"
        )
    if name in RESERVED or name.startswith(RESERVED_BEGINNINGS):
        raise ValueError(
            f"{name} cannot be the name of a secret: the system sets it, or it changes how programs start "
            "(such as PATH, HOME, and names that begin with LD_, BASH or PYTHON); choose another name"
        )


def _check_value(name: str, value: object, names: Mapping[str, object]) -> None:
    if not isinstance(value, str):
        raise ValueError(f"the value of {name} must be a string")
    if not value.strip():
        raise ValueError(f"{name} has no value; give one")
    if len(value.strip()) < SHORTEST:
        raise ValueError(
            f"the value of {name} has fewer than {SHORTEST} characters: it would occur in many texts by chance, "
            "so it cannot be hidden"
        )
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"the value of {name} has a character that no environment variable can have")
    if len(value.encode()) > VALUE_BYTES:
        raise ValueError(f"the value of {name} has more than {VALUE_BYTES:,} bytes")
    if any(value.strip() in mark(other) for other in names):
        raise ValueError(f"the value of {name} is part of the mark that replaces secrets, such as {mark('NAME')}")


#: The type of the request field.
Secrets = Annotated[
    dict[str, SecretStr],
    BeforeValidator(checked),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MOST,
            "propertyNames": {"pattern": f"^{NAME.pattern}$"},
            "additionalProperties": {
                "type": "string",
                "format": "password",
                "writeOnly": True,
                "minLength": SHORTEST,
                "maxLength": VALUE_BYTES,
            },
        }
    ),
]


def keys(settings: Settings) -> dict[str, str]:
    """Return the orchestrator's own keys. Shorter values are placeholders for servers that accept any key."""
    return {name: key for name, key in settings.secrets.items() if len(key) >= KEY}


def plain(secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    """Return the values as plain strings."""
    return {name: value.get_secret_value() for name, value in secrets.items()}


async def refuse_in_clear(secrets: Mapping[str, str], content: Mapping[str, Any]) -> None:
    """Raise BadRequest if a stored field of the request (field → content) contains a secret's value."""
    if secrets:
        await asyncio.to_thread(_refuse_in_clear, secrets, content)  # all forms of 32 long values take 0.3 s


def _refuse_in_clear(secrets: Mapping[str, str], content: Mapping[str, Any]) -> None:
    needles = Needles(secrets)
    for field, inner in content.items():
        if field not in FIXED and (names := needles.names_in(_texts(inner, fixed_under(field)))):
            message = (
                f"contains the value of {', '.join(sorted(names))}: all fields except `secrets` are stored "
                "as they are and go into the ZIP. Let the step read it from the environment variable of that name"
            )
            errors = [{"field": field, "message": message}]
            raise BadRequest(422, "invalid", "Invalid request", f"{field}: {message}.", errors=errors)


def refuse_other_names(needed: Sequence[str], given: Mapping[str, str], job_id: str) -> None:
    """Raise BadRequest unless a retry gives exactly the secrets that the job had."""
    missing = [name for name in needed if name not in given]
    more = [name for name in given if name not in needed]
    if missing:
        message = (
            f"job {job_id} had secrets, which are not stored: send {', '.join(missing)} again in the body "
            '{"secrets": {"NAME": "value"}}'
        )
    elif more:
        message = f"job {job_id} had no secret {', '.join(more)}; it had: {', '.join(needed) or 'none'}"
    else:
        return
    errors = [{"field": "secrets", "message": message}]
    raise BadRequest(422, "invalid", "Invalid request", f"secrets: {message}.", errors=errors)


def _texts(inner: Any, fixed: Set[str]) -> bytes:
    """Yield all texts of a structure in order, without fixed words."""
    if isinstance(inner, str):
        return inner.encode()
    if isinstance(inner, dict):
        parts = [part for item in inner.items() if item[0] not in fixed for part in item]
        return b"\n".join(_texts(part, fixed) for part in parts)
    if isinstance(inner, list | tuple):
        return b"\n".join(_texts(part, fixed) for part in inner)
    return b""
