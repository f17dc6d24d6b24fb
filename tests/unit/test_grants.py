"""Signed grants: only an unchanged text of ours, of its own kind, grants anything."""

from __future__ import annotations

import os
from itertools import product
from typing import get_args

import pytest

from orchestrator.live.grants import PASSWORD_CHARACTERS, Grant, Kind, Mode, Signer
from protocol import messages

GRANT = Grant("0123456789abcdef", "desktop", "watch", 1_900_000_000)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_grant_is_read_as_it_was_signed(kind: Kind) -> None:
    signer = Signer(os.urandom(32))
    for service, mode, follow in product(get_args(messages.Service), get_args(Mode), (False, True)):
        grant = Grant(GRANT.job_id, service, mode, GRANT.until, follow)
        text = signer.sign(kind, grant)
        assert signer.read(kind, text) == grant
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."), "safe in a URL"


def test_a_text_of_another_kind_or_key_grants_nothing() -> None:
    signer = Signer(os.urandom(32))
    assert signer.read("cookie", signer.sign("link", GRANT)) is None
    assert signer.read("link", signer.sign("cookie", GRANT)) is None
    assert signer.read("link", Signer(os.urandom(32)).sign("link", GRANT)) is None


def test_a_change_of_any_character_makes_a_grant_void() -> None:
    signer = Signer(os.urandom(32))
    text = signer.sign("cookie", GRANT)
    for at, character in product(range(len(text)), "A01.-_w"):
        changed = text[:at] + character + text[at + 1 :]
        assert changed == text or signer.read("cookie", changed) is None, changed
    for changed in (text[:-1], text[1:], f"{text}A", f"A{text}", text.replace(".watch.", ".control.")):
        assert signer.read("cookie", changed) is None, changed


@pytest.mark.parametrize("text", ["", ".", "x", "é", "desktop.0123456789abcdef.watch.0.1", "." * 9999, "a\x00b", "€."])
def test_what_was_never_signed_grants_nothing(text: str) -> None:
    assert Signer(b"key").read("link", text) is None


def test_a_password_is_of_one_sandbox_and_one_mode() -> None:
    signer = Signer(os.urandom(32))
    found = [signer.password(sandbox, mode) for sandbox, mode in product(("a", "b"), get_args(Mode))]
    assert len(set(found)) == 4 and {len(password) for password in found} == {PASSWORD_CHARACTERS}
    assert signer.password("a", "watch") == found[0], "the agent and the page get the same"
