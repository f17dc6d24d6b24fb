"""All settings, each with a type and a sentence. They are read from the environment once; empty means default."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.errors import SettingsError
from orchestrator.sizes import Size

#: Maximum bytes of a Unix socket's path (sun_path without its final null byte), see unix(7).
SOCKET_PATH_BYTES = 107

#: The part after RUN_DIR in the longest of our sockets' paths. The number stands for a sandbox's id.
LONGEST_SOCKET = b"/live/012345678901/notebook"

#: Addresses of the providers' own servers.
GEMINI_URL = "https://generativelanguage.googleapis.com"
ANTHROPIC_URL = "https://api.anthropic.com"
OPENAI_URL = "https://api.openai.com/v1"

#: The port of each scheme. Browsers leave it out of an address.
OWN_PORTS = {"http": 80, "https": 443}


class Settings(BaseSettings):
    """The settings. The name in the environment is the field's name in capitals.

    The type ``SecretStr`` marks a field as a key: redaction, health and diagnosis hide the value of each such field.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, str_strip_whitespace=True)

    llm_provider: Literal["auto", "gemini", "anthropic", "openai", "none"] = Field(
        "auto",
        description="Kind of model: gemini, anthropic, openai, none, or auto (the first configured one).",
    )
    gemini_api_key: SecretStr | None = Field(None, description="Key for Google Gemini.")
    gemini_model: str = Field("gemini-3.8-flash", description="Name of the Gemini model.")
    gemini_base_url: str = Field(GEMINI_URL, description="Address of Gemini, or of a gateway in front of it.")
    anthropic_api_key: SecretStr | None = Field(None, description="Key for Anthropic.")
    anthropic_model: str = Field("claude-sonnet-5-5", description="Name of the Claude model.")
    anthropic_base_url: str = Field(ANTHROPIC_URL, description="Address of Anthropic, or of a gateway in front of it.")
    llm_base_url: str = Field(OPENAI_URL, description="Address of a server with OpenAI's protocol, including /v1.")
    llm_api_key: SecretStr | None = Field(None, description="Key for that server. Most local servers need none.")
    llm_model: str = Field("", description="Name of the model on that server.")
    llm_models: str = Field("", description="More models that a job may choose, as kind/model, separated by commas.")
    llm_fallback: str = Field(
        "", description="Models to ask, in this order, if another model is away, busy, denied or out of quota."
    )
    llm_max_tokens: int = Field(
        8_000, ge=1, le=1_000_000, description="Maximum tokens of one answer, including its reasoning."
    )
    llm_temperature: float | None = Field(
        None,
        ge=0,
        le=2,
        description="Sampling temperature. Default: 0 for a server of your own, else the provider's default.",
    )
    llm_concurrency: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Maximum questions to one server at a time. Default: 1 for a local server, else 8.",
    )
    model_seconds: float = Field(300, ge=1, le=3600, description="Time for an answer of the model, including retries.")
    agent_image: str = Field("containerized-agent:latest", description="Image of the jobs.")
    agent_output_dir: Path = Field(Path("jobs"), description="Data folder: the database and one folder per job.")
    retention_days: float = Field(1, gt=0, le=3650, description="Retention: days to keep a job's files after its end.")
    min_keep_minutes: float = Field(
        60, ge=0, le=525_600, description="Minutes after a job's end in which its files are never removed to make room."
    )
    record_days: float = Field(
        90,
        ge=0,
        le=36500,
        description="Days that an ended job stays in the record, at least as long as its files. 0: for ever.",
    )
    host: str = Field(
        "127.0.0.1", description="Address to listen on. Any address other than loopback requires API_KEY."
    )
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    api_key: SecretStr | None = Field(
        None, min_length=8, description="Key of at least 8 characters. If set, every call needs it as bearer token."
    )
    allowed_hosts: str = Field(
        "", description="More host names by which clients may call the system, separated by commas."
    )
    max_concurrent_jobs: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=1000,
        description="Maximum number of running jobs. Default: the number of CPUs.",
    )
    max_queued_jobs: int = Field(
        10_000, ge=1, description="Maximum number of waiting jobs. More jobs are rejected with 429."
    )
    max_upload: Size = Field(2**30, ge=1, description="Maximum total size of the files of one job.")
    default_network: Literal["none", "internet"] = Field("none", description="Default network of a job.")
    start_seconds: float = Field(
        60, gt=0, le=3600, description="Time for a sandbox from its start to its first message."
    )
    package_seconds: float = Field(120, ge=1, le=3600, description="Time for packaging, on every ending.")
    link_lost_seconds: float = Field(
        300, ge=1, le=86400, description="Time for which an agent continues without the orchestrator."
    )
    drain_seconds: float = Field(30, ge=0, le=86400, description="Time for running jobs to end when the system stops.")
    disk_reserve: Size = Field(
        512 * 2**20,
        ge=0,
        description="Minimum free disk space. Below it, old results are deleted, new jobs wait, and no ZIP grows.",
    )
    public_url: str = Field(
        "",
        description="Address of the API for clients, such as https://agent.example.org behind a proxy. Links use it.",
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses and networks of proxies whose X-Forwarded-For is trusted, separated by commas.",
    )
    desktop_port: int = Field(6080, ge=1, le=65535, description="Port of the desktops.")
    notebook_port: int = Field(8888, ge=1, le=65535, description="Port of the notebooks.")
    view_domain: str = Field(
        "localhost",
        description="Parent domain of the views: each view has a host name below it. With PUBLIC_URL, localhost stands "
        "for its host.",
    )
    view_link_seconds: float = Field(600, ge=1, le=86400, description="Time for which a link to a view can be opened.")
    max_repairs: int = Field(3, ge=0, le=100, description="Maximum number of repairs by a model in one job.")
    model_step_seconds: float = Field(
        120,
        ge=1,
        le=86400,
        description="Time limit of a step that a model planned. A step that reaches it is repaired.",
    )
    agent_loop: Literal["plan", "loop", "auto"] = Field(
        "auto",
        description="How a model works: plan (all steps at once), loop (step by step), or auto (loop if hosted).",
    )
    review: Literal["always", "auto", "never"] = Field(
        "auto", description="When a model reviews the results: always, never, or auto (if facts are unclear)."
    )
    llm_context: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="Size of the model's context in tokens. 0: 16,000 for your own server, else 128,000.",
    )
    run_dir: Path = Field(
        Path("/run/containerized-agent"), description="Folder of the sockets, with the same path on the host."
    )
    docker_host: str = Field("unix:///var/run/docker.sock", description="Address of the Docker engine.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Log level.")

    @field_validator("*", mode="before")
    @classmethod
    def _lower(cls, value: Any, info: ValidationInfo) -> Any:
        """Accept the fixed words in capitals, too: LOG_LEVEL=INFO."""
        is_word = get_origin(cls.model_fields[info.field_name or ""].annotation) is Literal
        return value.strip().lower() if is_word and isinstance(value, str) else value

    @field_validator("host")
    @classmethod
    def _plain_host(cls, value: str) -> str:
        if not is_host(value):
            raise ValueError(f"{value!r} is not an address or a name, such as 127.0.0.1. The port is set by PORT.")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _plain_hosts(cls, value: str) -> str:
        for name in filter(None, map(str.strip, value.split(","))):
            if not is_host(name):
                raise ValueError(
                    f"{name!r} is not a host name. Use names such as agent.example.org, separated by commas, without "
                    "scheme, port, path or wildcard."
                )
        return value

    @field_validator("run_dir")
    @classmethod
    def _short_enough(cls, value: Path) -> Path:
        value = value.absolute()
        if len(os.fsencode(value) + LONGEST_SOCKET) > SOCKET_PATH_BYTES:
            longest = SOCKET_PATH_BYTES - len(LONGEST_SOCKET)
            raise ValueError(f"{str(value)!r} is too long for the sockets in it. Use at most {longest} bytes.")
        return value

    @field_validator("view_domain")
    @classmethod
    def _domain(cls, value: str) -> str:
        value = value.lower().rstrip(".")
        if not re.fullmatch(r"(?!.*\.\.)[a-z0-9]([a-z0-9.-]{0,180}[a-z0-9])?", value) or is_address(value):
            raise ValueError(
                f"{value!r} is not a domain. Use a name whose subdomains lead to the live gateway, such as localhost."
            )
        return value

    @field_validator("public_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        """Return the address without a slash at its end and without the scheme's own port, as browsers write it."""
        if not value:
            return value
        sentence = (
            f"{value!r} is wrong. Use scheme and name alone, such as https://agent.example.org or http://box:8000."
        )
        try:
            url = urlsplit(value.lower())
            port = url.port
        except ValueError:
            raise ValueError(sentence) from None
        host = url.hostname or ""
        if url.scheme not in ("http", "https") or not is_host(host) or url.netloc.rpartition("@")[1]:
            raise ValueError(sentence)
        if url.path not in ("", "/") or url.query or url.fragment:
            raise ValueError(f"{sentence} A path is not supported: each view needs a host name of its own anyway.")
        shown = f"[{host}]" if ":" in host else host
        return f"{url.scheme}://{shown}" + (f":{port}" if port not in (None, OWN_PORTS[url.scheme]) else "")

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for part in filter(None, map(str.strip, value.split(","))):
            try:
                ipaddress.ip_network(part)
            except ValueError:
                raise ValueError(
                    f"{part!r} is not an address or a network. Use values such as 127.0.0.1 or 10.0.0.0/8."
                ) from None
        return value

    @field_validator("agent_output_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.absolute()

    @field_validator("*")
    @classmethod
    def _printable(cls, value: Any, info: ValidationInfo) -> Any:
        """Check the keys. They are sent in a header."""
        if not isinstance(value, SecretStr):
            return value
        key = value.get_secret_value()
        if info.field_name != "api_key" and not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ValueError("It has a character that no key has: a space, a line end or a letter with an accent.")
        if not key.isprintable():
            raise ValueError("It has a line end, a tab or another control character, which no client can send.")
        return value

    @field_validator("gemini_base_url", "anthropic_base_url", "llm_base_url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname or re.search(r"[^\x21-\x7e]", value):
            raise ValueError("The value is not an address. Use an address such as http://127.0.0.1:11434/v1.")
        if url.username or url.password or url.query or url.fragment:
            raise ValueError("Use an address without user, password, query and fragment. A key has its own setting.")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _key_for_others(self) -> Settings:
        if self.api_key is None and not is_loopback(self.host):
            raise ValueError(
                f"HOST={self.host} can be reached by others, so API_KEY must be set (at least 8 characters): "
                "a client of this API runs code on this machine. Or listen on HOST=127.0.0.1."
            )
        return self

    @model_validator(mode="after")
    def _different_ports(self) -> Settings:
        ports = {"PORT": self.port, "DESKTOP_PORT": self.desktop_port, "NOTEBOOK_PORT": self.notebook_port}
        if len(set(ports.values())) < len(ports):
            given = ", ".join(f"{name}={port}" for name, port in ports.items())
            raise ValueError(f"{given}: two of these ports are the same. Use three different ports.")
        return self

    @classmethod
    def secret_names(cls) -> tuple[str, ...]:
        """Return the names of the fields that are keys."""
        return tuple(
            name
            for name, field in cls.model_fields.items()
            if SecretStr in (field.annotation, *get_args(field.annotation))
        )

    @property
    def secrets(self) -> dict[str, str]:
        """Return the keys that are set, by their names in the environment."""
        found: dict[str, SecretStr | None] = {name.upper(): getattr(self, name) for name in self.secret_names()}
        return {name: key.get_secret_value() for name, key in found.items() if key}

    @property
    def names(self) -> frozenset[str]:
        """Return the host names by which clients may call the system, in lower case."""
        given = {name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip()}
        public = {self.public.hostname} if self.public and self.public.hostname else set()
        return frozenset({"localhost", "127.0.0.1", "::1", self.host.lower(), *public, *given})

    @property
    def public(self) -> SplitResult | None:
        """Return the parts of PUBLIC_URL, if it is set."""
        return urlsplit(self.public_url) if self.public_url else None

    @property
    def over_tls(self) -> bool:
        """Return whether browsers reach the system over HTTPS. Then its cookies are marked as secure."""
        return self.public_url.startswith("https:")

    @property
    def api_url(self) -> str:
        """Return the address of the API for clients: PUBLIC_URL, or the address on this machine."""
        return self.public_url or f"http://127.0.0.1:{self.port}"

    @property
    def proxies(self) -> list[str]:
        """Return the addresses and networks of trusted proxies."""
        return [part.strip() for part in self.trusted_proxies.split(",") if part.strip()]

    @property
    def domain_of_views(self) -> str:
        """Return the domain below which each view has its host name."""
        host = (self.public.hostname or "") if self.public else ""
        return host if host and self.view_domain == "localhost" and not is_address(host) else self.view_domain

    @property
    def proxied_views(self) -> bool:
        """Return whether the views have the scheme and the port of PUBLIC_URL.

        An http address with the API's own port has no proxy in front, so the views keep their ports. An IP address has
        no names below it.
        """
        public = self.public
        if public is None or (self.view_domain == "localhost" and is_address(public.hostname or "")):
            return False
        return (public.scheme, public.port or OWN_PORTS[public.scheme]) != ("http", self.port)

    @property
    def link_dir(self) -> Path:
        """Return the folder that each sandbox sees."""
        return self.run_dir / "link"

    @property
    def live_dir(self) -> Path:
        """Return the folder that has one folder per sandbox, where its services listen for the live gateway."""
        return self.run_dir / "live"

    @property
    def gateway_dir(self) -> Path:
        """Return the folder of the socket at which the live gateway calls us."""
        return self.run_dir / "gateway"


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached only from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(host: str) -> bool:
    """Return whether a host is this machine or in a private network, by its address or the form of its name."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".internal", ".home.arpa"))


def is_address(host: str) -> bool:
    """Return whether a host is an IP address and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_host(name: str) -> bool:
    """Return whether a text is a host name or an IP address, without scheme, port and path."""
    return (
        is_address(name.partition("%")[0])
        or re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9.])?", name) is not None
    )


def load() -> Settings:
    """Read the settings from the environment. Raises SettingsError, which names each wrong setting."""
    try:
        return Settings()
    except ValidationError as error:
        lines = "\n  ".join(_wrong(found) for found in error.errors())
        raise SettingsError(f"Settings are wrong, nothing was started.\n  {lines}") from None


def _wrong(found: ErrorDetails) -> str:
    """Return a sentence about a wrong setting: its name, its value unless it is a key, and what is allowed."""
    said = found["msg"].removeprefix("Value error, ")
    if not found["loc"]:
        return said
    name = str(found["loc"][0])
    field, value = Settings.model_fields[name], str(found["input"])
    if found["type"] == "value_error":
        return f"{name.upper()}: {f'{value[:100]!r} is wrong: {said}.' if said[0].islower() else said}"
    if name in Settings.secret_names():
        least = found.get("ctx", {}).get("min_length")
        count = f"The key has {len(value.strip())} characters"
        return f"{name.upper()}: {count}. Use at least {least}; `openssl rand -hex 16` makes a key."
    return f"{name.upper()}: {value[:100]!r} is wrong. {_allowed(field, value)}"


def _allowed(field: FieldInfo, value: str) -> str:
    """Return sentences about the allowed values of a setting."""
    kinds = {kind for part in (field.annotation, *get_args(field.annotation)) for kind in (part, get_origin(part))}
    if Literal in kinds:
        words = [str(word) for word in get_args(field.annotation)]
        close = difflib.get_close_matches(value.lower(), words, 1)
        return f"Use {', '.join(words[:-1])} or {words[-1]}.{f' Did you mean {close[0]}?' if close else ''}"
    bounds = {key: getattr(part, key) for part in field.metadata for key in ("gt", "ge", "le") if hasattr(part, key)}
    number = "a whole number" if int in kinds else "a number"
    if "le" not in bounds:
        limits = f"of at least {bounds['ge']}"
    elif "ge" in bounds:
        limits = f"from {bounds['ge']} to {bounds['le']}"
    else:
        limits = f"above {bounds['gt']}, and at most {bounds['le']}"
    unit = ", without a unit" if re.fullmatch(r"[0-9.]+\s*[A-Za-z]+", value) else ""
    return f"Use {number} {limits}{unit}."
