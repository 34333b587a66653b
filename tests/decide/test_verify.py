"""What proves an object: nothing is called proven that was not shown, and no object ours that is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncd.decide.verify import Expected, Finding, examine, proof_by_head, proof_by_put, sum_of
from syncd.model import Algorithm, ProofKind, RemoteObject, Stored

OURS, ABSENT, FOREIGN, DAMAGED = Finding.OURS, Finding.ABSENT, Finding.FOREIGN, Finding.DAMAGED
SUMMED = [Algorithm.CRC64NVME, Algorithm.CRC32, Algorithm.CRC32C, Algorithm.SHA256]
HEX = "5d41402abc4b2a76b9719d911017c592"


def expected(algorithm: Algorithm, checksum: str | None = "right") -> Expected:
    return Expected(token="ours", size=10, algorithm=algorithm, checksum=checksum)


def remote(**facts: Any) -> RemoteObject:
    plain = RemoteObject(etag='"etag"', size=10, token="ours", checksums={})
    return replace(plain, **facts)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize(
    ("facts", "finding"),
    [
        ({}, OURS),
        ({"checksums": {Algorithm.CRC32: "of another kind"}}, OURS),
        ({"size": 9}, DAMAGED),
        ({"size": 0}, DAMAGED),
        ({"token": "theirs"}, FOREIGN),
        ({"token": None}, FOREIGN),
        ({"token": ""}, FOREIGN),
        ({"token": None, "size": 9}, FOREIGN),
    ],
)
def test_an_object_is_ours_by_token_and_size(
    algorithm: Algorithm, facts: dict[str, Any], finding: Finding
) -> None:
    if algorithm in facts.get("checksums", {}):
        finding = DAMAGED
    assert examine(remote(**facts), expected(algorithm)) is finding


@pytest.mark.parametrize("algorithm", SUMMED)
def test_a_checksum_that_is_shown_must_be_right(algorithm: Algorithm) -> None:
    assert examine(remote(checksums={algorithm: "right"}), expected(algorithm)) is OURS
    assert examine(remote(checksums={algorithm: "wrong"}), expected(algorithm)) is DAMAGED
    assert examine(remote(checksums={algorithm: ""}), expected(algorithm)) is DAMAGED
    foreign = remote(checksums={algorithm: "right"}, token="theirs")
    assert examine(foreign, expected(algorithm)) is FOREIGN


def test_where_the_bytes_can_no_longer_be_summed_token_and_size_decide_and_are_the_proof() -> None:
    for algorithm in Algorithm:
        found = remote(checksums={algorithm: "whatever"})
        assert examine(found, expected(algorithm, None)) is OURS
        assert proof_by_head(found, expected(algorithm, None)).kind is ProofKind.SIZE
        assert examine(replace(found, size=11), expected(algorithm, None)) is DAMAGED


def test_where_the_bytes_can_no_longer_be_summed_the_stores_own_sum_is_kept_in_mind() -> None:
    for algorithm in SUMMED:
        found = remote(checksums={algorithm: "theirs"})
        assert sum_of(found, expected(algorithm, None)) == "theirs"
        assert sum_of(found, expected(algorithm, "ours")) == "ours"
        assert sum_of(remote(checksums={}), expected(algorithm, None)) is None
    assert sum_of(remote(etag=f'"{HEX}"'), expected(Algorithm.MD5, None)) == HEX
    assert sum_of(remote(etag=f'"{HEX}"', etag_is_md5=False), expected(Algorithm.MD5, None)) is None


def test_nothing_there_or_nothing_to_be_seen_is_absent() -> None:
    assert examine(None, expected(Algorithm.CRC64NVME)) is ABSENT


@pytest.mark.parametrize("algorithm", SUMMED)
@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"shown": "right"}, ProofKind.CHECKSUM),
        ({}, ProofKind.SIZE),  # the store shows no checksum
        ({"etag": '"right"'}, ProofKind.SIZE),
        ({"etag_is_md5": False}, ProofKind.SIZE),
    ],
)
def test_the_proof_of_a_head_is_the_checksum_only_if_it_is_shown(
    algorithm: Algorithm, facts: dict[str, Any], kind: ProofKind
) -> None:
    shown = {algorithm: facts["shown"]} if "shown" in facts else {}
    found = remote(**{name: value for name, value in facts.items() if name != "shown"}, checksums=shown)
    proof = proof_by_head(found, expected(algorithm))
    assert proof.kind is kind
    assert proof.value == (f"{algorithm} right" if kind is ProofKind.CHECKSUM else "10")
    assert proof.by.startswith("HEAD")


@pytest.mark.parametrize(
    ("checksum", "etag", "is_md5", "kind"),
    [
        (HEX, f'"{HEX}"', True, ProofKind.MD5),
        (HEX, HEX, True, ProofKind.MD5),
        (f"{HEX}-3", f'"{HEX}-3"', True, ProofKind.MD5),
        (HEX, '"0123"', True, ProofKind.SIZE),  # a store whose ETags are something else
        (f"{HEX}-3", f'"{HEX}-2"', True, ProofKind.SIZE),
        (HEX, '"0123"', False, ProofKind.MD5_PARTS),  # SSE-KMS, SSE-C
        (f"{HEX}-3", '"0123-3"', False, ProofKind.MD5_PARTS),
    ],
)
def test_the_proof_of_a_head_under_md5(checksum: str, etag: str, is_md5: bool, kind: ProofKind) -> None:
    found = remote(etag=etag, etag_is_md5=is_md5)
    proof = proof_by_head(found, expected(Algorithm.MD5, checksum))
    assert proof.kind is kind
    assert proof.value == ("10" if kind is ProofKind.SIZE else checksum)


def test_without_an_algorithm_only_the_size_is_proven() -> None:
    nothing = expected(Algorithm.NONE, "")
    assert examine(remote(), nothing) is OURS
    for found in (remote(), remote(checksums={Algorithm.NONE: ""}), remote(etag='""')):
        assert proof_by_head(found, nothing).kind is ProofKind.SIZE
    assert proof_by_put(Stored(etag='""', checksum=""), nothing) is None


@pytest.mark.parametrize("algorithm", SUMMED)
@pytest.mark.parametrize("echoed", ["right", "wrong", "", None])
def test_the_answer_to_a_put_proves_the_checksum_that_it_echoes(
    algorithm: Algorithm, echoed: str | None
) -> None:
    proof = proof_by_put(Stored(etag='"right"', checksum=echoed), expected(algorithm))
    assert (proof is not None) is (echoed == "right")
    if proof is not None:
        assert (proof.kind, proof.value) == (ProofKind.CHECKSUM, f"{algorithm} right")


@pytest.mark.parametrize(("etag", "proven"), [(f'"{HEX}"', True), ('"0123"', False), ('""', False)])
def test_the_answer_to_a_put_proves_md5_by_its_etag(etag: str, proven: bool) -> None:
    proof = proof_by_put(Stored(etag=etag), expected(Algorithm.MD5, HEX))
    assert (proof is not None) is proven
    assert proof is None or proof.kind is ProofKind.MD5


def test_a_sum_that_we_do_not_have_is_proven_by_no_answer() -> None:
    for algorithm in Algorithm:
        assert proof_by_put(Stored(etag='""', checksum=None), expected(algorithm, None)) is None
        assert proof_by_put(Stored(etag='""', checksum="x"), expected(algorithm, None)) is None
