"""All settings, each with a type and a sentence. They are read from the environment once; empty means default."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.errors import SettingsError
from orchestrator.sizes import Size
from orchestrator.wording import given, words

#: Maximum bytes of a Unix socket's path (sun_path without its final null byte), see unix(7).
SOCKET_PATH_BYTES = 107

#: The part after RUN_DIR in the longest of our sockets' paths. The number stands for a sandbox's id.
LONGEST_SOCKET = b"/live/012345678901/notebook"

#: Minimum characters of API_KEY.
KEY_CHARACTERS = 8

#: Addresses of the providers' own servers.
GEMINI_URL = "https://generativelanguage.googleapis.com"
ANTHROPIC_URL = "https://api.anthropic.com"
OPENAI_URL = "https://api.openai.com/v1"


class Settings(BaseSettings):
    """The settings. The name in the environment is the field's name in capitals.

    The type ``SecretStr`` marks a field as a key: redaction, health and diagnosis hide the value of each such field.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

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
        None, description="Key of at least 8 characters. If set, every call needs it as bearer token."
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
    desktop_port: int = Field(6080, ge=1, le=65535, description="Port of the desktops.")
    notebook_port: int = Field(8888, ge=1, le=65535, description="Port of the notebooks.")
    view_domain: str = Field("localhost", description="Parent domain of the views: each view has a host name below it.")
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

    @field_validator("run_dir")
    @classmethod
    def _short_enough(cls, value: Path) -> Path:
        value = value.absolute()
        if len(os.fsencode(value) + LONGEST_SOCKET) > SOCKET_PATH_BYTES:
            longest = SOCKET_PATH_BYTES - len(LONGEST_SOCKET)
            raise ValueError(f"is too long for a Unix socket in it ({longest} bytes at most)")
        return value

    @field_validator("view_domain")
    @classmethod
    def _domain(cls, value: str) -> str:
        value = value.lower().rstrip(".")
        if not re.fullmatch(r"(?!.*\.\.)[a-z0-9]([a-z0-9.-]{0,180}[a-z0-9])?", value) or is_address(value):
            raise ValueError("must be a name whose subdomains lead to the live gateway, such as localhost")
        return value

    @field_validator("agent_output_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.absolute()

    @field_validator("api_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < KEY_CHARACTERS:
            length = len(value.get_secret_value())
            raise ValueError(
                f"has {length} character{'s' if length > 1 else ''}, and a key needs at least {KEY_CHARACTERS}; "
                "`openssl rand -hex 16` makes one"
            )
        return value

    @field_validator("*")
    @classmethod
    def _printable(cls, value: Any, info: ValidationInfo) -> Any:
        """Check the keys of models, which are sent in a header."""
        if not isinstance(value, SecretStr) or info.field_name == "api_key":
            return value
        if not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
            raise ValueError("has a character that no key has (a space, a line end, a letter with an accent)")
        return value

    @field_validator("gemini_base_url", "anthropic_base_url", "llm_base_url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname or re.search(r"[^\x21-\x7e]", value):
            raise ValueError("must be an address such as http://127.0.0.1:11434/v1")
        if url.username or url.password or url.query or url.fragment:
            raise ValueError("must have no user, password, query or fragment: a key has a setting of its own")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _key_for_others(self) -> Settings:
        if self.api_key is None and not is_loopback(self.host):
            raise ValueError(
                f"HOST={self.host} can be reached by others, so API_KEY must be set (at least 8 characters): "
                "a client of this API runs code on this machine. Or listen on HOST=127.0.0.1."
            )
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
        return frozenset({"localhost", "127.0.0.1", "::1", self.host.lower(), *given})

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


def load() -> Settings:
    """Read the settings from the environment. Raises SettingsError, which names each wrong setting."""
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for wrong in error.errors():
            name = ".".join(str(part) for part in wrong["loc"])
            said, value = words(wrong), "" if name in Settings.secret_names() else given(wrong)
            if said.startswith("must be") and value:
                said = f"{said}, not {value}"
            lines.append(f"{name.upper()}: {said}" if name else said)
        raise SettingsError("Settings are wrong, nothing was started.\n  " + "\n  ".join(lines)) from None
