"""The secrets of jobs that have not ended: encrypted, a file for each job, which goes when the job ends; and what is
hidden in the texts of jobs.

Not in the database: what is deleted there stays for long in its free pages and its write-ahead log.
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

if TYPE_CHECKING:  # a tenth of a second to import: done where there is a secret
    from cryptography.fernet import Fernet

log = logging.getLogger(__name__)


class Lost(Exception):
    """The secrets of a job cannot be read any more; a sentence why."""


class Vault:
    """Keeps secrets (name → value). All of it blocks. Making it raises SettingsError where there can be no key."""

    def __init__(self, job_files: JobFiles) -> None:
        self._job_files, self._key = job_files, job_files.key("secrets")

    def keep(self, job_id: str, secrets: dict[str, str]) -> None:
        """Keep the secrets of a new job: they are on disk when this returns. Raises OSError."""
        self._job_files.seal(job_id, self._fernet().encrypt(json.dumps(secrets).encode()))

    def open(self, job_id: str) -> dict[str, str]:
        """The secrets of a job; raises Lost."""
        from cryptography.fernet import InvalidToken

        sealed = self._job_files.sealed(job_id)
        if sealed is None:
            raise Lost("their file is gone")
        try:
            return dict(json.loads(self._fernet().decrypt(sealed)))
        except InvalidToken:
            raise Lost("they were encrypted with another key than the one in the data folder") from None

    def forget(self, job_id: str) -> None:
        """The job ends: nobody can read them any more."""
        self._job_files.unseal(job_id)

    def kept(self) -> list[str]:
        """The ids of jobs whose secrets are there."""
        return self._job_files.with_sealed()

    def _fernet(self) -> Fernet:
        from cryptography.fernet import Fernet

        return Fernet(self._key)


class Hiding:
    """What is hidden in the texts of jobs: the secrets of each, and the keys of the orchestrator (name → value)."""

    def __init__(self, vault: Vault, keys: Mapping[str, str]) -> None:
        self._vault, self._keys = vault, keys
        self._for_all = Needles(keys)
        self._known: dict[str, Needles] = {}

    async def of(self, job: Job) -> Needles:
        """All that is hidden in the texts of a job."""
        if not job.secrets:
            return self._for_all
        if job.id not in self._known:
            if not (secrets := await self._of(job)):
                return self._for_all
            self._known[job.id] = await asyncio.to_thread(Needles, {**self._keys, **secrets})
        return self._known[job.id]

    async def secrets_of(self, job: Job) -> Needles:
        """The job's own secrets, which its files are looked through for."""
        return await asyncio.to_thread(Needles, await self._of(job)) if job.secrets else Needles({})

    async def forget(self, job: Job) -> None:
        """The job ends: nobody can read its secrets any more."""
        self._known.pop(job.id, None)
        if job.secrets:
            await asyncio.to_thread(self._vault.forget, job.id)

    async def _of(self, job: Job) -> dict[str, str]:
        try:
            return await asyncio.to_thread(self._vault.open, job.id)
        except Lost as error:
            log.warning("its secrets cannot be read: %s", error)
            return {}
