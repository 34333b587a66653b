"""The token file: rotated, half written, too open, or full of something else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from syncd.adapters.credentials.bearer import TokenFile
from syncd.errors import LockedOut


@pytest.mark.parametrize("content", [b"abc", b"abc\n", b"abc\r\n", b"  abc\t\n\n"])
def test_white_space_around_the_token_does_not_count(token_file: Path, content: bytes) -> None:
    token_file.write_bytes(content)
    assert TokenFile(token_file).read() == "abc"


def test_a_rotated_token_is_seen_at_the_next_read_and_both_are_secret(token_file: Path, kit: Any) -> None:
    file = TokenFile(token_file)
    file.read()
    fresh = token_file.with_name("fresh")
    fresh.write_text("new-token")
    fresh.chmod(0o600)
    fresh.replace(token_file)
    assert file.read() == "new-token"
    assert file.read() == "new-token"
    assert file.secrets() == ("new-token", kit.token)


def test_an_empty_file_keeps_the_token_that_was_there(token_file: Path, kit: Any) -> None:
    file = TokenFile(token_file)
    file.read()
    token_file.write_text("\n")
    assert file.read() == kit.token


def test_an_empty_file_at_first_is_refused(token_file: Path) -> None:
    token_file.write_text(" \n")
    with pytest.raises(LockedOut, match="is empty"):
        TokenFile(token_file).read()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o620, 0o602, 0o642, 0o666])
def test_a_file_that_others_can_read_or_the_group_can_write_is_refused(token_file: Path, mode: int) -> None:
    token_file.chmod(mode)
    with pytest.raises(LockedOut, match=f"mode {mode:04o}") as caught:
        TokenFile(token_file).read()
    assert caught.value.code == "credentials"
    assert caught.value.hint == f"chmod 640 {token_file}"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_a_file_for_owner_and_group_is_taken(token_file: Path, kit: Any, mode: int) -> None:
    token_file.chmod(mode)
    assert TokenFile(token_file).read() == kit.token


@pytest.mark.parametrize(
    "content",
    [
        b"CANARY\nsecond",
        b"CANARY\0",
        b"CANARY two",
        b"CAN\xc3\x84RY",
        b"\xef\xbb\xbfCANARY",
        b"CANARY" * 2000,
    ],
)
def test_what_could_be_no_token_is_refused_without_repeating_it(
    token_file: Path, kit: Any, content: bytes
) -> None:
    token_file.write_bytes(content)
    with pytest.raises(LockedOut) as caught:
        TokenFile(token_file).read()
    assert "CAN" not in kit.chain(caught.value)
    assert caught.value.hint


def test_a_missing_file_a_directory_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(mode=0o700)
    for name, complaint in [
        ("gone", "No such file"),
        ("directory", "not a regular file"),
        ("pipe", "not a regular file"),
    ]:
        with pytest.raises(LockedOut, match=complaint):
            TokenFile(tmp_path / name).read()
