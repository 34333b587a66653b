"""Every key of `destination`, from the YAML file to what the strict store got."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import proxy as proxies
from support.endpoint import json_answer
from support.house import computable
from support.pki import self_signed
from support.whole import LARGE, Servers, Whole

from syncd.demo.loopback import Answer, Request
from syncd.demo.store import Fault, Habits, Record
from syncd.demo.store.objects import Description, ObjectRecord
from syncd.demo.store.store import ACCOUNT
from syncd.model import Algorithm

Daemon = Callable[..., Whole]

SMALL = b"12345"
FILES = {"small": SMALL, "large": LARGE}
BOTH = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in one piece", "in parts"])


@pytest.fixture
def daemon(servers: Servers, tmp_path: Path) -> Iterator[Daemon]:
    """A running daemon with these sections in its configuration."""
    running: list[Whole] = []

    def start(**destination: Any) -> Whole:
        running.append(Whole(servers, tmp_path / str(len(running)), destination=destination))
        return running[-1]

    yield start
    servers.store.habits, servers.store.faults, servers.endpoint.override = Habits(), None, None
    servers.endpoint.tagging = True
    for one in running:
        one.__exit__()


def test_metadata_and_tags_go_with_every_object_beside_our_own(daemon: Daemon) -> None:
    tags = {"project": "Reef: +1/2 = ok@home", "größe": "", "a b": "c d"}
    device = daemon(metadata={"lab": "7", "operator": "Ada Lovelace"}, tags=tags)
    for name, sent in zip(FILES, device.sends_all(FILES), strict=True):
        metadata = sent.description.metadata
        assert metadata["lab"] == "7"
        assert metadata["operator"] == "Ada Lovelace"
        assert metadata["syncd-device"] == device.device
        assert metadata["syncd-upload"] == device.row(name).token
        assert sent.description.tags == tags


def test_tags_without_the_right_to_tag_lock_the_destination_and_name_that_right(
    daemon: Daemon, servers: Servers
) -> None:
    servers.endpoint.tagging = False
    device = daemon(tags={"project": "reef"})
    device.drop("film")
    device.run(lambda: device.closed() == "permission")
    assert "s3:PutObjectTagging (for destination.tags)" in device.hint()
    assert device.row("film").attempts == 0
    servers.endpoint.tagging = True
    device.write(destination={})
    assert device.reload()
    device.run(lambda: device.done("film"))
    assert device.object("film").description.tags == {}


def test_the_store_keeps_objects_in_the_class_and_under_the_key_that_are_asked_for(daemon: Daemon) -> None:
    wishes = {"server_side_encryption": "aws:kms", "kms_key_id": "alias/reef", "storage_class": "GLACIER_IR"}
    device = daemon(**wishes, checksum="md5")
    for name, sent in zip(FILES, device.sends_all(FILES), strict=True):
        kept = sent.description.headers
        assert kept["x-amz-storage-class"] == "GLACIER_IR"
        assert kept["x-amz-server-side-encryption"] == "aws:kms"
        assert kept["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/reef"
        assert device.proof(name) == "md5-parts", "under KMS an ETag is no MD5"


def test_a_class_that_the_store_does_not_know_locks_the_destination(daemon: Daemon) -> None:
    device = daemon(storage_class="STANDART")
    device.drop("film")
    device.run(lambda: device.closed() == "bucket")
    assert "check destination.storage_class" in device.hint()
    assert device.row("film").attempts == 0


@BOTH
def test_a_store_that_does_not_encrypt_as_asked_locks_the_destination_and_what_it_took_is_replaced(
    daemon: Daemon, servers: Servers, data: bytes
) -> None:
    servers.store.habits = Habits(ignores_encryption=True)
    device = daemon(server_side_encryption="AES256")
    device.drop("film", data)
    device.run(lambda: device.closed() == "bucket")
    assert "destination.server_side_encryption" in device.hint()
    servers.store.habits = Habits()
    device.app.gate.probe_now()
    device.run(lambda: device.done("film"))
    assert device.object("film").description.headers["x-amz-server-side-encryption"] == "AES256"
    assert servers.store.read(f"{device.device}/film") == data
    assert not servers.store.uploads()


def test_the_content_type_is_told_by_the_suffix_or_fixed_for_all(daemon: Daemon) -> None:
    device = daemon()
    sent = device.sends_all({"a.mkv": SMALL, "b.mp4": LARGE})
    assert [each.description.headers["Content-Type"] for each in sent] == ["video/x-matroska", "video/mp4"]
    device.write(destination={"content_type": "application/x-lab; run=7"})
    assert device.reload()
    sent = device.sends_all({"c.mkv": SMALL, "d.mp4": LARGE})
    assert {each.description.headers["Content-Type"] for each in sent} == {"application/x-lab; run=7"}


def test_a_bucket_of_another_owner_gets_nothing(daemon: Daemon) -> None:
    device = daemon(expected_bucket_owner="999999999999")
    device.drop("small")
    device.drop("large", LARGE)
    device.run(lambda: device.closed() == "permission")
    assert "destination.expected_bucket_owner" in device.hint()
    assert not any(request.received for request in device.requests())
    device.write(destination={"expected_bucket_owner": ACCOUNT})
    assert device.reload()
    device.run(lambda: device.done("small") and device.done("large"))


def test_the_store_is_reached_through_the_configured_proxy_and_the_credential_api_without(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with proxies.running() as proxy:
        device = daemon(proxy=f"http://cam:pass%2FCANARY@127.0.0.1:{proxy.port}")
        device.sends("film", LARGE)
        through = {line.split()[0] for line in proxy.asked}
        assert {"HEAD", "POST", "PUT"} <= through
        assert len(proxy.asked) == len(device.requests())
        assert {"pass%2FCANARY", "pass/CANARY"} <= set(device.app.household.secrets())
        device.write()
        assert device.reload()
        device.sends("direct")
        assert len(proxy.asked) < len(device.requests())


@pytest.mark.parametrize(
    ("style", "host", "asked"),
    [
        ("virtual", "localhost", "captures.localhost"),
        ("auto", "localhost", "localhost"),
        ("path", "localhost", "localhost"),
    ],
)
def test_the_bucket_stands_in_the_host_name_or_in_the_path(
    daemon: Daemon, servers: Servers, monkeypatch: pytest.MonkeyPatch, style: str, host: str, asked: str
) -> None:
    names = set()
    resolve = socket.getaddrinfo

    def resolved(name: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if port == servers.store.port:
            names.add(name)
        return resolve("127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    url = f"http://{host}:{servers.store.port}"
    device = daemon(endpoint_url=url, addressing_style=style)
    device.sends_all({"small": SMALL, "ein film ä+&=": LARGE})
    assert asked in names
    assert names <= {asked, "127.0.0.1"}  # the credential API asks its STS there


def test_a_strangers_object_is_replaced_where_the_configuration_says_so(daemon: Daemon) -> None:
    device = daemon()
    key = f"{device.device}/film"
    (device.store._buckets[device.store.bucket].data / "theirs").write_bytes(b"abc")
    theirs = ObjectRecord(
        key=key, size=3, etag="0" * 32, modified=0.0, description=Description(), files=(("theirs", 3),)
    )
    device.store._buckets[device.store.bucket].put(theirs)
    device.drop("film")
    device.run(lambda: device.app.ledger.counts().parked == 1)
    device.write(destination={"if_exists": "overwrite"})
    assert device.reload()
    device.app.household.doors.console.view.retry([bytes(device.inbox / "film")])
    device.run(lambda: device.done("film"))
    assert device.store.read(key) == SMALL
    assert any("as destination.if_exists says" in why for why in device.told("film"))


PROOFS = {
    "auto": ("checksum", "crc64nvme" if computable(Algorithm.CRC64NVME) else "crc32", "FULL_OBJECT"),
    "crc64nvme": ("checksum", "crc64nvme", "FULL_OBJECT"),
    "crc32": ("checksum", "crc32", "FULL_OBJECT"),
    "crc32c": ("checksum", "crc32c", "FULL_OBJECT"),
    "sha256": ("checksum", "sha256", "COMPOSITE"),
    "md5": ("md5", None, None),
    "none": ("size", None, None),
}
"""What proves an object, and the sum that the store keeps of one in parts because we asked for it."""


def test_every_checksum_ends_in_its_proof(daemon: Daemon, servers: Servers) -> None:
    device = daemon()
    for name, (proof, algorithm, kind) in PROOFS.items():
        if algorithm is not None and not computable(Algorithm(algorithm)):
            continue
        device.write(destination={"checksum": name})
        assert device.reload()
        small, large = device.sends_all({f"{name}-small": SMALL, f"{name}-large": LARGE})
        assert {device.proof(f"{name}-small"), device.proof(f"{name}-large")} == {proof}, name
        if algorithm is not None:
            assert (small.algorithm, small.checksum_type) == (algorithm, "FULL_OBJECT")
            assert (large.algorithm, large.checksum_type) == (algorithm, kind)
        assert servers.store.read(f"{device.device}/{name}-large") == LARGE


def test_a_checksum_that_is_asked_for_by_name_and_not_honoured_locks_and_never_falls_back(
    daemon: Daemon, servers: Servers
) -> None:
    servers.store.habits = Habits(ignores_checksums=True)
    device = daemon(checksum="crc32")
    for name, data in FILES.items():
        device.drop(name, data)
    device.run(lambda: device.closed() == "checksum")
    assert device.hint() == "set destination.checksum to auto, or to one that the store honours"
    assert not any(map(device.done, FILES))
    device.write(destination={"checksum": "auto"})
    assert device.reload()
    device.run(lambda: all(map(device.done, FILES)))
    assert {device.proof(name) for name in FILES} == {"md5"}
    assert not servers.store.uploads()


def test_bucket_prefix_and_region_of_the_configuration_win_over_what_the_api_answers(
    daemon: Daemon, servers: Servers
) -> None:
    def elsewhere(request: Request) -> Answer:
        document = json.loads(servers.endpoint.credentials(request).body)
        document["Destination"] = {"Bucket": "nobodys", "Prefix": "elsewhere/", "Region": "eu-north-1"}
        return json_answer(200, document)

    servers.endpoint.override = elsewhere
    here = {"bucket": servers.store.bucket, "region": servers.store.region}
    device = daemon(**here)
    device.write(destination={**here, "prefix": f"{device.device}/kept-"})
    assert device.reload()
    device.drop("film", LARGE)
    device.run(lambda: device.done("film"))
    assert device.row("film").key == f"{device.device}/kept-film"
    assert servers.store.read(f"{device.device}/kept-film") == LARGE


def test_the_ca_file_of_the_configuration_vouches_for_the_store(
    daemon: Daemon, servers: Servers, tmp_path: Path
) -> None:
    pem = self_signed(tmp_path / "store.pem", "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    with proxies.running(tls, leads_to=servers.store.port) as front:
        url = {"endpoint_url": f"https://localhost:{front.port}"}
        device = daemon(**url)
        device.drop("film")
        device.run(lambda: device.closed() == "tls")
        device.write(destination=url | {"ca_file": str(pem)})
        assert device.reload()
        device.run(lambda: device.done("film"))


def test_what_only_concerns_objects_changes_without_a_new_connection(daemon: Daemon) -> None:
    device = daemon()
    store = device.app.household._store
    for change, same in (({"metadata": {"lab": "8"}}, True), ({"proxy": "http://127.0.0.1:9"}, False)):
        device.write(destination=change)
        assert device.reload()
        assert (device.app.household._store is store) is same


class LosesTheFirstPut:
    """Its answer, not the object."""

    lost = False

    def before(self, _record: Record) -> Fault | None:
        return None

    def after(self, record: Record) -> Fault | None:
        if self.lost or record.operation != "PutObject" or record.status != 200:
            return None
        self.lost = True
        return Fault(drop=True)


def test_what_was_stored_without_encryption_is_no_upload_either_when_the_answer_was_lost(
    daemon: Daemon, servers: Servers
) -> None:
    servers.store.habits, servers.store.faults = Habits(ignores_encryption=True), LosesTheFirstPut()
    device = daemon(server_side_encryption="AES256")
    device.drop("film")
    device.run(lambda: device.closed() == "bucket")
    servers.store.habits = Habits()
    device.app.gate.probe_now()
    device.run(lambda: device.done("film"))
    assert device.object("film").description.headers["x-amz-server-side-encryption"] == "AES256"
    assert "our object is not encrypted as it was asked for" in device.told("film")
