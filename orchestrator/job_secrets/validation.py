"""Secrets that come with a job: what they may be called, what they may be, and where else they may not stand.

What is said about them has no value in it, nor a name that is none: it might be a value in the wrong place.
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

#: Secrets of one job; bytes of a value, and of all values together.
MOST, VALUE_BYTES, ALL_BYTES = 32, 16_384, 65_536

#: Characters of a key of ours, at least.
KEY = 8

#: Variables that the system itself sets for steps, or that change how shells and other programs start.
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
    """The secrets of a request; raises ValueError with a sentence."""
    if not isinstance(given, dict):
        raise ValueError("must be a JSON object of names and values")
    if len(given) > MOST:
        raise ValueError(f"a job takes {MOST} secrets at most, not {len(given)}")
    for name, value in given.items():
        _check_name(name)
        _check_value(name, value.get_secret_value() if isinstance(value, SecretStr) else value, given)
    values = {name: value if isinstance(value, SecretStr) else SecretStr(str(value)) for name, value in given.items()}
    if sum(len(value.get_secret_value().encode()) for value in values.values()) > ALL_BYTES:
        raise ValueError(f"all values together have more than {ALL_BYTES:,} bytes")
    return values


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            "a name is that of an environment variable: letters, digits and _, at most 64, and no digit first"
        )
    if name in RESERVED or name.startswith(RESERVED_BEGINNINGS):
        raise ValueError(
            f"{name} cannot be the name of a secret: the system sets it itself, or it changes how programs start "
            "(as PATH, HOME, and names that begin with LD_, BASH or PYTHON do)"
        )


def _check_value(name: str, value: object, names: Mapping[str, object]) -> None:
    if not isinstance(value, str):
        raise ValueError(f"the value of {name} must be a text")
    if not value.strip():
        raise ValueError(f"{name} has no value: give it one")
    if len(value.strip()) < SHORTEST:
        raise ValueError(
            f"the value of {name} has less than {SHORTEST} characters: one so short stands in many texts by chance, "
            "and cannot be kept out of them"
        )
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"the value of {name} has a character that no environment variable can have")
    if len(value.encode()) > VALUE_BYTES:
        raise ValueError(f"the value of {name} has more than {VALUE_BYTES:,} bytes")
    if any(value.strip() in mark(other) for other in names):
        raise ValueError(f"the value of {name} is a part of the mark that stands for a secret, such as {mark('NAME')}")


#: The field of a request.
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
    """The keys of the orchestrator itself; what is shorter is none, but given to a server that wants any."""
    return {name: key for name, key in settings.secrets.items() if len(key) >= KEY}


def plain(secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    """The values themselves."""
    return {name: value.get_secret_value() for name, value in secrets.items()}


async def refuse_in_clear(secrets: Mapping[str, str], content: Mapping[str, Any]) -> None:
    """Raise BadRequest where a field of what is kept of a request (field → its content) has the value of a secret."""
    if secrets:
        await asyncio.to_thread(_refuse_in_clear, secrets, content)  # all forms of 32 long values take 0.3 s


def _refuse_in_clear(secrets: Mapping[str, str], content: Mapping[str, Any]) -> None:
    needles = Needles(secrets)
    for field, inner in content.items():
        if field not in FIXED and (names := needles.names_in(_texts(inner, fixed_under(field)))):
            message = (
                f"has the value of {', '.join(sorted(names))}: all but `secrets` is kept as it is, and stands in the "
                "ZIP. Let a step take it from its environment, where it is under its name"
            )
            errors = [{"field": field, "message": message}]
            raise BadRequest(422, "invalid", "Invalid request", f"{field}: {message}.", errors=errors)


def refuse_other_names(needed: Sequence[str], given: Mapping[str, str], job_id: str) -> None:
    """Raise BadRequest where a retry does not give the secrets that the job had, and no others."""
    missing = [name for name in needed if name not in given]
    more = [name for name in given if name not in needed]
    if missing:
        message = (
            f"job {job_id} had secrets, which are not kept: give {', '.join(missing)} again, as the body "
            '{"secrets": {"NAME": "value"}}'
        )
    elif more:
        message = f"job {job_id} had no {', '.join(more)}; it had: {', '.join(needed) or 'none'}"
    else:
        return
    errors = [{"field": "secrets", "message": message}]
    raise BadRequest(422, "invalid", "Invalid request", f"secrets: {message}.", errors=errors)


def _texts(inner: Any, fixed: Set[str]) -> bytes:
    """All texts of a structure, one after the other, but no fixed words."""
    if isinstance(inner, str):
        return inner.encode()
    if isinstance(inner, dict):
        parts = [part for item in inner.items() if item[0] not in fixed for part in item]
        return b"\n".join(_texts(part, fixed) for part in parts)
    if isinstance(inner, list | tuple):
        return b"\n".join(_texts(part, fixed) for part in inner)
    return b""
