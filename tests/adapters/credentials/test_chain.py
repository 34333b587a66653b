"""boto3's own chain: walked anew for each set, with a life by the clock that is known, and failures that say what to mend."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncd.adapters.credentials import chain as chain_module
from syncd.adapters.credentials.chain import CredentialChain
from syncd.adapters.credentials.keeper import open_chain_keeper
from syncd.errors import LockedOut, Transient

SECRET = "sec/CANARY+of+the+chain"


@pytest.fixture(autouse=True)
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only AWS settings are those of the test."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


@pytest.fixture
def chain(kit: Any) -> Callable[..., CredentialChain]:
    return lambda profile=None, **options: CredentialChain(
        profile=profile, **{"clock": kit.RealClock(), **options}
    )


def process(place: Path, answer: str, *, profile: str = "lab", status: int = 0, words: str = "") -> Path:
    """A profile with a helper program that prints this."""
    place.joinpath("answer").write_text(answer)
    program = place / "helper.py"
    program.write_text(
        f"import sys\nprint(open({str(place / 'answer')!r}).read())\n"
        f"sys.stderr.write({words!r})\nsys.exit({status})\n"
    )
    (place / "config").write_text(f"[profile {profile}]\ncredential_process = {sys.executable} {program}\n")
    return place / "answer"


def answer(expires: float | None, key: str = "ASIAPROCESS") -> str:
    document = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": SECRET, "SessionToken": "tok"}
    if expires is not None:
        document["Expiration"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
    return json.dumps(document)


def test_variables_of_the_environment_give_a_set_without_an_end(
    chain: Callable[..., CredentialChain], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    found = chain().fetch()
    assert (found.credentials.access_key, found.credentials.secret_key) == ("AKIAENV", SECRET)
    assert (found.credentials.session_token, found.credentials.expires_at) == (None, None)
    assert math.isinf(found.lifetime)


def test_a_profile_by_name_wins_over_the_environment_and_is_read_anew(
    chain: Callable[..., CredentialChain], aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    asked = chain("lab")
    for key in ("AKIAFIRST", "AKIASECOND"):
        text = f"[lab]\naws_access_key_id = {key}\naws_secret_access_key = {SECRET}\n"
        (aws / "credentials").write_text(text)
        assert asked.fetch().credentials.access_key == key


def test_a_credential_process_says_how_long_its_set_lives(
    chain: Callable[..., CredentialChain], aws: Path
) -> None:
    process(aws, answer(time.time() + 3600))
    found = chain("lab").fetch()
    assert found.credentials.access_key == "ASIAPROCESS"
    assert found.credentials.session_token == "tok"
    assert found.lifetime == pytest.approx(3600, abs=5)


def test_while_nobody_told_the_time_a_set_is_tried_for_a_while_whatever_our_clock_says(
    chain: Callable[..., CredentialChain], aws: Path, kit: Any
) -> None:
    class Untold:
        @staticmethod
        def now() -> float:
            return time.time() + 86_400

        @staticmethod
        def offset() -> None:
            return None

    process(aws, answer(time.time() + 3600))
    assert chain("lab", server_time=Untold()).fetch().lifetime == 60.0


def test_a_set_that_has_ended_is_waited_out(chain: Callable[..., CredentialChain], aws: Path) -> None:
    process(aws, answer(time.time() - 100))
    with pytest.raises(Transient, match=r"expired 10. s ago"):
        chain("lab").fetch()


def test_a_chain_that_gives_nothing_locks_out_with_what_to_do(chain: Callable[..., CredentialChain]) -> None:
    with pytest.raises(LockedOut, match="gives nothing") as caught:
        chain().fetch()
    assert caught.value.code == "credentials"
    assert "credentials.api" in (caught.value.hint or "")


def test_a_profile_that_is_not_there_locks_out_by_name(chain: Callable[..., CredentialChain]) -> None:
    with pytest.raises(LockedOut, match=r"ProfileNotFound.*\(lab\)") as caught:
        chain("lab").fetch()
    assert "credentials.chain.profile" in (caught.value.hint or "")


def test_a_helper_that_fails_is_waited_for_and_its_words_are_shown(
    chain: Callable[..., CredentialChain], aws: Path
) -> None:
    process(aws, "", status=3, words="no \x1b[31mtoken\nplugged in")
    with pytest.raises(Transient, match=r"no \[31mtoken plugged in") as caught:
        chain("lab").fetch()
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "said", [f'{{"Version": 1, "SecretAccessKey": "{SECRET}"', f'["{SECRET}"]', f'{{"{SECRET}": 1}}']
)
def test_garbage_of_a_helper_is_never_shown(
    chain: Callable[..., CredentialChain], aws: Path, kit: Any, said: str
) -> None:
    process(aws, said)
    with pytest.raises(Transient) as caught:
        chain("lab").fetch()
    assert SECRET not in kit.chain(caught.value)


def test_a_helper_that_hangs_is_given_up_and_not_started_twice(
    chain: Callable[..., CredentialChain], aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "_PATIENCE", 0.3)
    process(aws, answer(time.time() + 3600))
    program = aws / "helper.py"
    program.write_text(
        f"import pathlib, time\nwhile not pathlib.Path({str(aws / 'go')!r}).exists(): time.sleep(0.02)\n"
        + program.read_text()
    )
    asked = chain("lab")
    for _ in range(2):
        with pytest.raises(Transient, match="did not answer"):
            asked.fetch()
    (aws / "go").touch()
    assert asked._walk is not None
    asked._walk.join(20)
    monkeypatch.setattr(chain_module, "_PATIENCE", 20.0)
    assert asked.fetch().credentials.access_key == "ASIAPROCESS"


def test_the_keeper_renews_what_ends_and_looks_again_for_what_does_not(aws: Path, kit: Any) -> None:
    clock = kit.FakeClock()
    keeper = open_chain_keeper(profile="lab", clock=clock, on_change=lambda: None, jitter=lambda: 0.0)
    assert keeper.snapshot().source == "chain (profile lab)"
    kept = process(aws, answer(clock.wall + 3600, "ASIAFIRST"))
    keeper.tick()
    kept.write_text(answer(None, "AKIASECOND"))
    clock.turn(3600 - 601)
    keeper.tick()
    assert keeper.current().access_key == "ASIAFIRST", "not before it is time"
    clock.turn(2)
    keeper.tick()
    assert keeper.current().access_key == "AKIASECOND"
    kept.write_text(answer(None, "AKIATHIRD"))
    clock.turn(890)
    keeper.tick()
    assert keeper.current().access_key == "AKIASECOND"
    clock.turn(11)
    keeper.tick()
    assert keeper.current().access_key == "AKIATHIRD"
    kept.write_text("gone")
    clock.turn(86_400)
    keeper.tick()
    assert keeper.current().access_key == "AKIATHIRD", "a set without an end serves on"
    assert keeper.snapshot().state == "stale"


def test_a_set_that_s3_refuses_is_looked_for_at_once(aws: Path, kit: Any) -> None:
    clock = kit.FakeClock()
    keeper = open_chain_keeper(profile="lab", clock=clock, on_change=lambda: None, jitter=lambda: 0.0)
    kept = process(aws, answer(None, "AKIAOLD"))
    keeper.tick()
    clock.turn(10)
    kept.write_text(answer(None, "AKIANEW"))
    assert keeper.renew(keeper.current()).access_key == "AKIANEW"
