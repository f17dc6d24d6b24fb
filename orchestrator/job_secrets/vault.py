"""Encrypted storage for the secrets of jobs that have not ended, and the values to hide in each job's texts.

Each job has a file, which is deleted when the job ends. A database would not do: deleted rows remain in its free pages
and its write-ahead log.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.db.models import Job
from orchestrator.files.job_files import JobFiles
from protocol.redaction import Needles

if TYPE_CHECKING:  # the import takes a tenth of a second, so only jobs with secrets pay for it
    from cryptography.fernet import Fernet

log = logging.getLogger(__name__)


class Lost(Exception):
    """A job's secrets are unreadable. The message gives the reason."""


class Vault:
    """Stores secrets (name → value). All methods block. The constructor raises SettingsError if it can make no key."""

    def __init__(self, job_files: JobFiles) -> None:
        self._job_files, self._key = job_files, job_files.key("secrets")

    def keep(self, job_id: str, secrets: dict[str, str]) -> None:
        """Store the secrets of a new job durably. Raises OSError."""
        self._job_files.seal(job_id, self._fernet().encrypt(json.dumps(secrets).encode()))

    def open(self, job_id: str) -> dict[str, str]:
        """Return the secrets of a job. Raises Lost."""
        from cryptography.fernet import InvalidToken

        sealed = self._job_files.sealed(job_id)
        if sealed is None:
            raise Lost("their file is missing")
        try:
            return dict(json.loads(self._fernet().decrypt(sealed)))
        except InvalidToken:
            raise Lost("they were encrypted with another key, not the one in the data folder") from None

    def forget(self, job_id: str) -> None:
        """Delete the secrets of an ended job."""
        self._job_files.unseal(job_id)

    def kept(self) -> list[str]:
        """Return the IDs of jobs with stored secrets."""
        return self._job_files.with_sealed()

    def _fernet(self) -> Fernet:
        from cryptography.fernet import Fernet

        return Fernet(self._key)


class Hiding:
    """The values to hide in texts of jobs: each job's secrets and the orchestrator's keys (name → value)."""

    def __init__(self, vault: Vault, keys: Mapping[str, str]) -> None:
        self._vault, self._keys = vault, keys
        self._for_all = Needles(keys)
        self._known: dict[str, Needles] = {}

    async def of(self, job: Job) -> Needles:
        """Return all values to hide in the texts of a job."""
        if not job.secrets:
            return self._for_all
        if job.id not in self._known:
            if not (secrets := await self._of(job)):
                return self._for_all
            self._known[job.id] = await asyncio.to_thread(Needles, {**self._keys, **secrets})
        return self._known[job.id]

    async def secrets_of(self, job: Job) -> Needles:
        """Return the job's own secrets, for which its files are searched."""
        return await asyncio.to_thread(Needles, await self._of(job)) if job.secrets else Needles({})

    async def forget(self, job: Job) -> None:
        """Delete the secrets of an ended job."""
        self._known.pop(job.id, None)
        if job.secrets:
            await asyncio.to_thread(self._vault.forget, job.id)

    async def _of(self, job: Job) -> dict[str, str]:
        try:
            return await asyncio.to_thread(self._vault.open, job.id)
        except Lost as error:
            log.warning("the job's secrets cannot be read: %s", error)
            return {}
