"""What the doctor makes of facts: where a verdict turns, whose fault it is, and that every remedy can be acted on."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.config.schema import json_schema, keys_of
from syncd.decide import doctor, premises
from syncd.decide.dispose import DisposalPolicy
from syncd.decide.findings import Check, Finding, Verdict, passed, skipped, well, without
from syncd.decide.settle import SettlePolicy
from syncd.decide.troubles import Trouble, here, servers
from syncd.errors import EncryptionIgnored, LockedOut, SyncdError, Transient

DAY = 86_400.0
TROUBLES = {
    name: each
    for module in (here, servers)
    for name, each in vars(module).items()
    if isinstance(each, Trouble)
}
AIM = doctor.Aim(bucket="b", prefix="cam/", configured=None, given="cam/")


# -- the words


@pytest.mark.parametrize("name", TROUBLES)
def test_every_remedy_is_one_sentence_with_a_key_or_a_command_in_it(name: str) -> None:
    trouble = TROUBLES[name]
    hint = trouble.hint
    if hint == "{hint}":  # by the adapter that met it, and held by the tests of the seeded faults
        return
    assert hint[-1] not in ".!"
    assert ". " not in hint
    assert "\n" not in hint
    schema = json_schema()
    keys = {path.rpartition(".")[2] for path, _ in keys_of(schema, schema["properties"])}
    acts = re.search(
        r"sudo|sysctl|chmod|chown|setfacl|mount|systemctl|resolvectl|timedatectl|openssl|s3:|Abort|free some",
        hint,
    )
    # A key is written `so`, or so:, or section.so; any word could be the last one of some key.
    spelt = [word for word in hint.split() if "`" in word or word.endswith(":") or "." in word.strip(".,")]
    named = {word.strip("`[]:,;()").rpartition(".")[2] for word in spelt}
    assert acts or named & keys or "{key}" in hint or "{ca_key}" in hint or "{hint}" in hint, hint


@pytest.mark.parametrize("name", TROUBLES)
def test_every_trouble_says_so_by_one_who_may_find_it(name: str) -> None:
    trouble = TROUBLES[name]
    fields = {
        field
        for template in (trouble.text, trouble.hint)
        for _, field, _, _ in string.Formatter().parse(template)
        if field
    }
    facts = {field: f"<{field}>" for field in fields}
    for check in (trouble.check, *trouble.also):
        found = trouble.found(at=check, **facts)
        assert (found.check, found.verdict) == (check, trouble.verdict)
        assert found.hint
    assert trouble.verdict in {Verdict.WARN, Verdict.FAIL}


# -- findings


def test_nothing_failed_while_only_warned_and_skipped() -> None:
    fine = [well(Check.PUT, ""), *skipped([Check.LIST], "why"), Finding(Check.CLOCK, Verdict.WARN, "")]
    assert passed(fine)
    assert not passed([*fine, Finding(Check.PUT, Verdict.FAIL, "")])
    assert [each.text for each in without([Check.PART, Check.LIST], Check.CREATE)] == [
        "needs create upload"
    ] * 2


# -- servers


SERVER = doctor.Server(host="h", port=443, key="the.key", ca_key="the.ca")


@pytest.mark.parametrize(("left", "verdict"), [(14 * DAY + 1, Verdict.OK), (14 * DAY - 1, Verdict.WARN)])
def test_a_certificate_is_warned_of_two_weeks_before_its_end(left: float, verdict: Verdict) -> None:
    found = doctor.certificate(Check.STORE_LINE, SERVER, "CA", left, 2e9)
    assert (found.check, found.verdict) == (Check.STORE_LINE, verdict)
    assert "CA" in found.text


@given(st.floats(-1e7, 1e7))
@example(60.0)
@example(61.0)
@example(-60.0)
@example(-61.0)
def test_a_clock_counts_as_right_within_a_minute(offset: float) -> None:
    found = doctor.clock(offset)
    assert (found.verdict is Verdict.OK) is (abs(offset) <= 60)
    assert ("ahead" in found.text) is (offset > 0)


def answered(status: int, *, retry_after: float | None = None) -> SyncdError:
    fault: SyncdError = Transient("said", retry_after=retry_after)
    fault.status = status
    return fault


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (answered(401), "token is refused"),
        (answered(403), "turned away"),
        (answered(429, retry_after=90), "too often"),
        (answered(408), "in trouble"),
        (answered(425), "in trouble"),
        (answered(503), "in trouble"),
        (answered(404), "no such request"),
        (answered(302), "somebody else"),
        (answered(200), "somebody else"),
        (Transient("late", unreachable=True), "no whole answer"),
        (LockedOut("token file /t: is empty", code="credentials", hint="put it there"), "is empty"),
        (LockedOut("client_cert", code="tls", hint="mend it"), "client_cert"),
    ],
)
def test_why_the_api_gave_nothing_is_told_by_its_status(error: SyncdError, words: str) -> None:
    found = doctor.api_trouble(error, device="cam")
    assert (found.check, found.verdict) == (Check.API_ANSWER, Verdict.FAIL)
    assert words in found.text


def test_the_apis_own_wish_is_passed_on() -> None:
    assert "wait 1 min 30 s" in (doctor.api_trouble(answered(429, retry_after=90), device="cam").hint or "")
    assert "wait a minute" in (doctor.api_trouble(answered(429), device="cam").hint or "")


@pytest.mark.parametrize(
    ("left", "verdict"), [(301.0, Verdict.OK), (299.0, Verdict.WARN), (None, Verdict.OK)]
)
def test_credentials_are_to_last_five_minutes(left: float | None, verdict: Verdict) -> None:
    end = None if left is None else 2e9
    assert doctor.credentials("role", "s3://b/", left, end).verdict is verdict


def locked(code: str) -> LockedOut:
    return LockedOut(f"it is the {code}", code=code, hint="do this")


@pytest.mark.parametrize(
    ("code", "at_put", "later"),
    [
        ("region", Check.REGION, Check.PART),
        ("bucket", Check.BUCKET, Check.PART),
        ("permission", Check.PREFIX, Check.PART),
        ("credentials", Check.PUT, Check.PART),
        ("clock", Check.CLOCK, Check.CLOCK),
        ("tls", Check.PUT, Check.PART),
    ],
)
def test_the_first_request_blames_the_destination_a_later_one_itself(
    code: str, at_put: Check, later: Check
) -> None:
    assert doctor.store_trouble(Check.PUT, locked(code), AIM).check is at_put
    assert doctor.store_trouble(Check.PART, locked(code), AIM).check is later


@pytest.mark.parametrize(
    ("configured", "given", "blamed"),
    [
        ("other/", "cam/", True),
        ("cam/site/", "cam/", False),
        (None, "cam/", False),
        ("other/", None, False),
        ("other/", "", False),
    ],
)
def test_the_prefix_is_blamed_where_the_api_gave_another(
    configured: str | None, given: str | None, blamed: bool
) -> None:
    aim = doctor.Aim(bucket="b", prefix=configured or "cam/", configured=configured, given=given)
    found = doctor.store_trouble(Check.PUT, locked("permission"), aim)
    assert ("set destination.prefix to" in (found.hint or "")) is blamed


def test_a_failure_without_a_hint_still_has_a_remedy() -> None:
    for error in (SyncdError("what"), EncryptionIgnored("what"), Transient("what")):
        assert "destination." in (doctor.store_trouble(Check.CREATE, error, AIM).hint or "")


@pytest.mark.parametrize(
    ("after", "verdict"), [(None, Verdict.WARN), (2.9 * DAY, Verdict.WARN), (3.1 * DAY, Verdict.OK)]
)
def test_a_rule_must_leave_a_machine_some_days(after: float | None, verdict: Verdict) -> None:
    assert doctor.stale_rule("b", after).verdict is verdict


# -- this machine


@pytest.mark.parametrize(
    ("owner", "verdict"), [("syncd", Verdict.OK), (None, Verdict.OK), ("root", Verdict.WARN)]
)
def test_rights_are_judged_for_the_owner_of_the_ledger(owner: str | None, verdict: Verdict) -> None:
    assert premises.user("syncd", owner).verdict is verdict


@pytest.mark.parametrize(
    ("limit", "instance", "verdict"),
    [
        (100, True, Verdict.OK),
        (99, True, Verdict.WARN),
        (None, True, Verdict.OK),
        (1000, False, Verdict.WARN),
    ],
)
def test_every_directory_needs_a_watch(limit: int | None, instance: bool, verdict: Verdict) -> None:
    assert premises.watches(100, limit, instance=instance).verdict is verdict


@pytest.mark.parametrize(("limit", "verdict"), [(64, Verdict.OK), (47, Verdict.WARN)])
def test_descriptors_suffice_for_what_is_configured(limit: int, verdict: Verdict) -> None:
    assert premises.descriptors(limit, files=4, parts=4).verdict is verdict


def ledger(**facts: object) -> list[Verdict]:
    usual: dict[str, object] = {
        "directory": "/var/lib/syncd",
        "me": "syncd",
        "hindered": None,
        "far": False,
        "exposed": None,
        "free_bytes": 10**12,
    }
    return [each.verdict for each in premises.ledger(premises.LedgerFacts(**usual | facts))]  # type: ignore[arg-type]


def test_the_ledger_must_be_writable_near_private_and_have_room() -> None:
    assert ledger() == [Verdict.OK, Verdict.OK]
    assert ledger(hindered="permission denied")[0] is Verdict.FAIL
    assert ledger(far=True)[0] is Verdict.WARN
    assert ledger(exposed=("/var/lib/syncd", 0o777))[0] is Verdict.WARN
    assert ledger(free_bytes=10**6)[1] is Verdict.FAIL
    assert ledger(free_bytes=5 * 10**7)[1] is Verdict.WARN
    assert ledger(free_bytes=None)[1] is Verdict.SKIPPED


def folder(
    *, only_size: bool = False, wish: dict[str, object] | None = None, **facts: object
) -> dict[Check, Verdict]:
    usual: dict[str, object] = {
        "path": "/srv",
        "me": "syncd",
        "mounted": False,
        "free_bytes": 10**12,
        "may_ask": True,
    }
    wanted: dict[str, object] = {
        "settle": SettlePolicy(),
        "disposal": DisposalPolicy(),
        "require_mount": False,
    }
    found = premises.folder(
        premises.FolderFacts(**usual | facts),  # type: ignore[arg-type]
        premises.FolderWish(**wanted | (wish or {})),  # type: ignore[arg-type]
        only_size=only_size,
    )
    return {each.check: each.verdict for each in found}


DELETE = {"disposal": DisposalPolicy(delete=True)}
MOVE = {"disposal": DisposalPolicy(move_to=b"/away")}


def test_a_folder_that_must_be_mounted_is_judged_no_further_while_it_is_not() -> None:
    assert set(folder(wish={"require_mount": True}).values()) == {Verdict.FAIL, Verdict.SKIPPED}
    assert set(folder(wish={"require_mount": True}, mounted=True).values()) == {Verdict.OK}


@pytest.mark.parametrize(
    ("settle", "disposal", "may_ask", "verdict"),
    [
        (SettlePolicy(), DisposalPolicy(), False, Verdict.OK),
        (SettlePolicy(), DisposalPolicy(delete=True), True, Verdict.OK),
        (SettlePolicy(), DisposalPolicy(delete=True), False, Verdict.WARN),
        (SettlePolicy(marker="{name}.done"), DisposalPolicy(delete=True), False, Verdict.OK),
        (SettlePolicy(), DisposalPolicy(delete=True, min_age_s=3600), False, Verdict.OK),
        (SettlePolicy(), DisposalPolicy(delete=True, min_age_s=3599), False, Verdict.WARN),
        (SettlePolicy(check_writer=False), DisposalPolicy(move_to=b"/away"), True, Verdict.WARN),
        (SettlePolicy(require_answer=True), DisposalPolicy(), False, Verdict.FAIL),
        (SettlePolicy(require_answer=True), DisposalPolicy(), True, Verdict.OK),
    ],
)
def test_who_writes_matters_where_files_are_to_go(
    settle: SettlePolicy, disposal: DisposalPolicy, may_ask: bool, verdict: Verdict
) -> None:
    found = folder(wish={"settle": settle, "disposal": disposal}, may_ask=may_ask)
    assert found[Check.WRITERS] is verdict


def test_files_can_be_put_away_where_nothing_hinders_it() -> None:
    hindered = premises.Hindrance(where="/srv/a", sticky=True)
    assert folder(hindrance=hindered)[Check.DISPOSAL] is Verdict.OK  # they are kept
    assert folder(wish=DELETE, hindrance=hindered)[Check.DISPOSAL] is Verdict.FAIL
    assert folder(wish=MOVE, target="permission denied")[Check.DISPOSAL] is Verdict.FAIL
    assert folder(wish=MOVE, same_file_system=False)[Check.DISPOSAL] is Verdict.OK
    assert folder(wish=DELETE, only_size=True)[Check.DISPOSAL] is Verdict.WARN
    assert folder(only_size=True)[Check.DISPOSAL] is Verdict.OK


def test_a_folder_that_is_nearly_full_is_worth_a_look() -> None:
    assert folder(free_bytes=10**8)[Check.FOLDER_SPACE] is Verdict.WARN
    assert folder(free_bytes=None)[Check.FOLDER_SPACE] is Verdict.SKIPPED
