"""`syncd doctor` finds what was made wrong, at the check that is to blame, and names the remedy; where all is well it says so."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs
from support.asking import asking
from support.pki import self_signed
from support.proxy import running
from support.rig import Rig
from support.script import API_KINDS, KINDS, Rule, Script

from syncd.decide.findings import Check
from syncd.demo import endpoint
from syncd.demo.store.faults import Fault
from syncd.telemetry import logs

KEY = "cam/.syncd/doctor"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as rig:
        rig.store.habits.sweeps_after_days = 30
        yield rig


def amend(rig: Rig, **sections: Any) -> None:
    """Sections of the configuration are completed by what is given; `folder` is the one that it has."""
    document = yaml.safe_load(rig.config.read_text())
    document["folders"][0] |= sections.pop("folder", {})
    for name, section in sections.items():
        document[name] = document.get(name, {}) | section if isinstance(section, dict) else section
    rig.config.write_text(json.dumps(document))


@dataclass
class Report:
    code: int
    checks: list[dict[str, str]]

    def of(self, check: str) -> dict[str, str]:
        [found] = [each for each in self.checks if each["check"] == check]
        return found

    def found(self, check: str, verdict: str, text: str, *remedy: str) -> None:
        """This check has that verdict, these words, and a hint that names the remedy."""
        seen = self.of(check)
        assert seen["verdict"] == verdict, self.checks
        assert text in seen["text"]
        assert "Traceback" not in seen["text"]
        for words in remedy:
            assert words in (seen["hint"] or ""), seen
        assert self.code == (1 if self.failed() else 0)

    def failed(self) -> list[str]:
        return [each["check"] for each in self.checks if each["verdict"] == "fail"]

    def skipped(self, check: str, needed: str) -> None:
        assert self.of(check) == {
            "check": check,
            "verdict": "skipped",
            "text": f"needs {needed}",
            "hint": None,
        }


Examine = Callable[[], Report]


def read(code: int, out: str) -> Report:
    document = json.loads(out)
    assert document["ok"] is (code == 0)
    return Report(code, document["checks"])


@pytest.fixture
def examine(rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Examine:
    """The verb in this process; no secret in anything that it says."""
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)

    def call() -> Report:
        with capture_logs() as logged:
            said = asking(rig.config, capfd)("doctor", "--json")
        rig.said += [said.out, said.err, str(logged)]
        rig.assert_no_secret_was_told()
        assert rig.store.uploads() == [] or "AbortMultipartUpload" in said.out
        assert set(rig.store.objects()) <= {KEY, "other/.syncd/doctor"}
        return read(said.code, said.out)

    return call


# -- all is well


def test_where_all_is_well_every_line_says_so_and_one_object_is_all_that_is_left(rig: Rig) -> None:
    rig.start()
    told = rig.run("doctor")
    assert (told.returncode, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    checks = [check for check in Check if check is not Check.PROXY]
    assert [line[6:21].strip() for line in lines] == list(checks)
    assert "\x1b" not in told.stdout
    assert list(rig.store.objects()) == [KEY]
    assert rig.store.uploads() == []
    assert not [line for line in rig.events if line.get("level") in {"warning", "error"}]
    assert rig.stop() == 0


def test_json_is_one_document_and_nothing_else(rig: Rig) -> None:
    told = rig.run("doctor", "--json")
    assert (told.returncode, told.stderr) == (0, "")
    report = read(0, told.stdout)
    assert {each["verdict"] for each in report.checks} == {"ok"}
    assert {tuple(each) for each in report.checks} == {("check", "verdict", "text", "hint")}


def test_a_broken_configuration_ends_with_78_and_its_line(rig: Rig) -> None:
    rig.config.write_text(rig.config.read_text() + "nonsense: 1\n")
    told = rig.run("doctor", "--json")
    assert (told.returncode, told.stdout) == (78, "")
    assert "nonsense" in told.stderr


# -- the credential API


def test_a_wrong_token(rig: Rig, examine: Examine) -> None:
    (rig.place / "token").write_text("wrong")
    report = examine()
    report.found("api answer", "fail", "401", "credentials.api.token_file", "device cam")
    report.skipped("credentials", "api answer")
    report.skipped("put", "credentials")
    assert report.of("store TLS")["verdict"] == "ok"  # as far as it goes without them


def test_a_token_that_others_can_read(rig: Rig, examine: Examine) -> None:
    (rig.place / "token").chmod(0o644)
    report = examine()
    report.found("configuration", "fail", "others can read it", f"chmod o=,g-w {rig.place}/token")
    report.skipped("api answer", "configuration")
    assert rig.endpoint.calls == 0


def at_api(rig: Rig, url: str, **more: Any) -> None:
    amend(rig, credentials={"api": {"url": url, "token_file": f"{rig.place}/token", **more}})


def test_an_api_whose_name_nobody_knows(rig: Rig, examine: Examine) -> None:
    at_api(rig, "https://uploads.invalid/v1/credentials")
    report = examine()
    report.found("api DNS", "fail", "uploads.invalid has no address", "credentials.api.url", "resolvectl")
    report.skipped("api TLS", "api DNS")
    report.skipped("api answer", "api DNS")


def test_an_api_where_nothing_listens(rig: Rig, examine: Examine) -> None:
    at_api(rig, "http://127.0.0.1:1/v1/credentials")
    report = examine()
    report.found(
        "api TLS", "fail", "127.0.0.1:1 cannot be reached: Connection refused", "credentials.api.url"
    )


def answers(rig: Rig, kind: str) -> None:
    rig.endpoint.faults = Script([API_KINDS[kind]()])


@pytest.mark.parametrize(
    ("kind", "text", "remedy"),
    [
        ("API HTML 200", "web page", "captive portal"),
        ("API 302", "302", "credentials.api.url"),
        ("API garbage", "makes no sense", "credentials.api.url"),
        ("API 403", "turned away", "have device cam enabled"),
        ("API 429 with Retry-After", "too often", "wait 2 s"),
        ("API 500", "in trouble", "the log of the API"),
        ("API closed", "no whole answer", "credentials.api.url"),
        ("API set that has expired", "expired", "credentials.api.url"),
    ],
)
def test_an_api_that_gives_none(rig: Rig, examine: Examine, kind: str, text: str, remedy: str) -> None:
    answers(rig, kind)
    report = examine()
    report.found("api answer", "fail", text, remedy)
    assert report.failed() == ["api answer"]


def test_an_api_that_is_none(rig: Rig, examine: Examine) -> None:
    at_api(rig, rig.endpoint.url + "/elsewhere")
    examine().found("api answer", "fail", "404", "credentials.api.url")


def in_front_of(pem: Path, port: int) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return running(context, leads_to=port)


def port_of(url: str) -> int:
    return int(url.split(":")[2].split("/", maxsplit=1)[0])


@pytest.mark.parametrize(
    ("host", "days", "believed", "verdict", "text", "remedy"),
    [
        ("localhost", (-1, 40), False, "fail", "is not trusted", "credentials.api.ca_file"),
        ("localhost", (-9, -1), True, "fail", "out of date", "timedatectl set-ntp true"),
        ("other.example", (-1, 40), True, "fail", "is another's", "credentials.api.url"),
        ("localhost", (-1, 5), True, "warn", "by localhost ends in", "renewed"),
        ("localhost", (-1, 40), True, "ok", "proves its name by localhost", ""),
    ],
)
def test_the_certificate_of_the_api(
    rig: Rig,
    examine: Examine,
    host: str,
    days: tuple[int, int],
    believed: bool,
    verdict: str,
    text: str,
    remedy: str,
) -> None:
    pem = self_signed(rig.place / "front.pem", host, days=days)
    with in_front_of(pem, port_of(rig.endpoint.url)) as front:
        own = {"ca_file": str(pem)} if believed else {}
        at_api(rig, f"https://localhost:{front.port}/v1/credentials", **own)
        report = examine()
    report.found("api TLS", verdict, text, remedy)
    if verdict == "fail":
        report.skipped("api answer", "api TLS")
        assert rig.endpoint.calls == 0
    else:
        assert report.of("abort upload")["verdict"] == "ok"


def test_an_api_without_tls_where_https_is_said(rig: Rig, examine: Examine) -> None:
    at_api(rig, rig.endpoint.url.replace("http://127.0.0.1", "https://localhost"))
    examine().found("api TLS", "fail", "TLS with localhost fails", "openssl s_client")


def test_credentials_that_hardly_live(tmp_path: Path) -> None:
    with Rig(tmp_path, session_seconds=60) as rig:
        told = rig.run("doctor", "--json")
        read(told.returncode, told.stdout).found("credentials", "warn", "they end in", "DurationSeconds")


def test_no_credentials_by_the_chain(rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(rig.place / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(rig.place / "none"))
    document = yaml.safe_load(rig.config.read_text())
    document["credentials"] = {"chain": {"profile": "cameras"}}
    document["destination"]["bucket"] = "captures"
    rig.config.write_text(json.dumps(document))
    report = examine()
    report.found("credentials", "fail", "chain has none", "credentials.chain.profile")
    assert report.of("api answer")["text"] == "credentials.chain is configured, no API"


# -- the clock; one that is off but can be made up for: tests/clock/test_doctor.py


def test_a_clock_that_the_store_refuses_in_spite_of_all(rig: Rig, examine: Examine) -> None:
    rig.store.faults = Script([KINDS["403 RequestTimeTooSkewed"]()])
    report = examine()
    report.found("clock", "fail", "RequestTimeTooSkewed", "timedatectl set-ntp true")
    report.skipped("put", "clock")


# -- the store


def without_right(monkeypatch: pytest.MonkeyPatch, right: str) -> None:
    """The sessions' own policy does not have it: the store judges, no fault is scripted."""
    monkeypatch.setattr(endpoint, "_ACTIONS", tuple(set(endpoint._ACTIONS) - {right}))


def test_no_right_to_abort(rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    without_right(monkeypatch, "s3:AbortMultipartUpload")
    report = examine()
    report.found(
        "abort upload", "fail", "may be left open", "s3:AbortMultipartUpload", "syncd orphans --abort"
    )
    [upload] = rig.store.uploads()
    assert upload.upload_id in report.of("abort upload")["text"]
    assert report.failed() == ["abort upload"]


def test_no_right_to_list_parts(rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    without_right(monkeypatch, "s3:ListMultipartUploadParts")
    report = examine()
    report.found("list parts", "fail", "AccessDenied", "s3:ListMultipartUploadParts")
    assert report.failed() == ["list parts"]


def test_no_right_to_read(rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    without_right(monkeypatch, "s3:GetObject")
    report = examine()
    report.found("proof", "fail", "does not show", "allow s3:GetObject on s3://captures/cam/*")
    assert report.failed() == ["proof"]


@pytest.mark.parametrize(
    ("operation", "check", "dependent"),
    [
        ("CreateMultipartUpload", "create upload", "upload part"),
        ("UploadPart", "upload part", "complete"),
        ("CompleteMultipartUpload", "complete", None),
    ],
)
def test_no_multipart_permission(
    rig: Rig, examine: Examine, operation: str, check: str, dependent: str | None
) -> None:
    rig.store.faults = Script([Rule(fault=Fault(status=403, code="AccessDenied"), operation=operation)])
    report = examine()
    report.found(check, "fail", "AccessDenied", "s3:PutObject", "session policy")
    assert report.failed() == [check]
    if dependent is not None:
        report.skipped(dependent, check)
    assert rig.store.uploads() == []


def test_a_prefix_that_the_session_does_not_have(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"prefix": "other/"})
    report = examine()
    report.found("prefix", "fail", "AccessDenied", "set destination.prefix to cam/")
    report.skipped("put", "prefix")
    assert rig.store.objects() == {}


def test_no_right_to_write_at_all(rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    without_right(monkeypatch, "s3:PutObject")
    examine().found("prefix", "fail", "AccessDenied", "s3:PutObject", "the role's policy")


def test_another_region(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"region": "eu-west-1"})
    report = examine()
    report.found("region", "fail", "us-east-1", "set destination.region to us-east-1")
    report.skipped("bucket", "region")


def test_a_bucket_that_is_not_there(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"bucket": "no-such-bucket"})
    report = examine()
    report.found("bucket", "fail", "no-such-bucket", "destination.bucket")
    report.skipped("put", "bucket")


def test_no_bucket_at_all(rig: Rig, examine: Examine) -> None:
    keys = {"AccessKeyId": "ASIATEST", "SecretAccessKey": "s" * 20, "SessionToken": "t" * 20}
    body = json.dumps({"Credentials": keys | {"Expiration": "2099-01-01T00:00:00Z"}}).encode()
    rig.endpoint.faults = Script([Rule(fault=Fault(status=200, body=body))])
    examine().found("credentials", "fail", "names a bucket", "set destination.bucket")


def test_keys_of_another_store(rig: Rig, examine: Examine) -> None:
    rig.store.faults = Script([KINDS["403 InvalidAccessKeyId"]()])
    examine().found("put", "fail", "InvalidAccessKeyId", "destination.endpoint_url")


def test_something_in_the_stores_place(rig: Rig, examine: Examine) -> None:
    rig.store.faults = Script([KINDS["301 to a portal"](operation="PutObject")])
    report = examine()
    report.found("put", "fail", "301", "captive portal", "endpoint_url")
    assert report.of("create upload")["verdict"] == "skipped"


def test_a_store_that_nobody_knows(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"endpoint_url": "https://store.invalid"})
    report = examine()
    report.found("store DNS", "fail", "store.invalid has no address", "destination.endpoint_url")
    report.skipped("store TLS", "store DNS")
    report.skipped("put", "store DNS")


@pytest.mark.parametrize(
    ("believed", "verdict", "text", "remedy"),
    [
        (False, "fail", "is not trusted", "destination.ca_file"),
        (True, "warn", "by localhost ends in", "destination.endpoint_url"),
    ],
)
def test_the_certificate_of_the_store(
    rig: Rig, examine: Examine, believed: bool, verdict: str, text: str, remedy: str
) -> None:
    pem = self_signed(rig.place / "front.pem", "localhost")
    with in_front_of(pem, rig.store.port) as front:
        own = {"ca_file": str(pem)} if believed else {}
        amend(rig, destination={"endpoint_url": f"https://localhost:{front.port}", **own})
        report = examine()
    report.found("store TLS", verdict, text, remedy)
    assert report.of("put")["verdict"] == ("skipped" if verdict == "fail" else "ok")


def test_a_proxy_that_refuses(rig: Rig, examine: Examine) -> None:
    with running() as proxy:
        proxy.refuse = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
        amend(
            rig,
            destination={
                "endpoint_url": "https://s3.invalid",
                "proxy": f"http://someone:canary@127.0.0.1:{proxy.port}",
            },
        )
        report = examine()
    report.found("proxy", "fail", "407 Proxy Authentication Required", "destination.proxy", "s3.invalid:443")
    report.skipped("store TLS", "proxy")
    report.skipped("put", "proxy")
    assert "canary" not in "".join(rig.said)


def test_a_proxy_that_is_not_there(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"proxy": "http://127.0.0.1:1"})
    examine().found("proxy", "fail", "127.0.0.1:1 cannot be reached", "destination.proxy")


def test_through_a_proxy_everything_is_asked(rig: Rig, examine: Examine) -> None:
    pem = self_signed(rig.place / "front.pem", "s3.invalid")
    with in_front_of(pem, rig.store.port) as front, running() as proxy:
        proxy.ways["s3.invalid"] = ("127.0.0.1", front.port)
        amend(
            rig,
            destination={
                "endpoint_url": "https://s3.invalid",
                "proxy": f"http://127.0.0.1:{proxy.port}",
                "ca_file": str(pem),
            },
        )
        report = examine()
    assert report.of("proxy")["verdict"] == "ok"
    assert report.of("store DNS")["text"] == "s3.invalid is looked up by the proxy"
    report.found("store TLS", "warn", "ends in")
    assert report.of("abort upload")["verdict"] == "ok"


def test_a_store_that_ignores_conditions(rig: Rig, examine: Examine) -> None:
    rig.store.habits.ignores_conditions = True
    report = examine()
    report.found("condition", "warn", "in spite of If-None-Match", "destination.prefix", "{mtime:")
    assert report.code == 0


def test_a_store_that_ignores_checksums(rig: Rig, examine: Examine) -> None:
    rig.store.habits.ignores_checksums = True
    report = examine()
    report.found("checksum", "warn", "MD5 proves", "set destination.checksum: md5")
    assert report.of("complete")["text"] == "what is stored is what was sent, by md5"


def test_a_store_that_ignores_the_checksum_that_was_asked_for_by_name(rig: Rig, examine: Examine) -> None:
    rig.store.habits.ignores_checksums = True
    amend(rig, destination={"checksum": "sha256"})
    report = examine()
    report.found("checksum", "fail", "does not honour sha256", "destination.checksum to auto")
    report.skipped("proof", "checksum")


def test_a_store_that_ignores_encryption(rig: Rig, examine: Examine) -> None:
    rig.store.habits.ignores_encryption = True
    amend(rig, destination={"server_side_encryption": "AES256"})
    examine().found("put", "fail", "encrypts", "destination.server_side_encryption")


@pytest.mark.parametrize(
    ("days", "text", "remedy"),
    [
        (None, "no lifecycle rule", "AbortIncompleteMultipartUpload"),
        (1, "ends open uploads after", "DaysAfterInitiation"),
    ],
)
def test_the_rule_for_uploads_that_are_left_open(
    rig: Rig, examine: Examine, days: int | None, text: str, remedy: str
) -> None:
    rig.store.habits.sweeps_after_days = days
    examine().found("stale uploads", "warn", text, remedy)


# -- this machine and its folders


def test_a_folder_that_is_missing(rig: Rig, examine: Examine) -> None:
    rig.inbox.rmdir()
    report = examine()
    report.found("folder", "fail", f"{rig.inbox} does not exist", "create it", "folders[].path")
    report.skipped("after_upload", "folder")


def test_a_folder_where_something_must_be_mounted(rig: Rig, examine: Examine) -> None:
    amend(rig, folder={"require_mount": True})
    examine().found("folder", "fail", "nothing is mounted", "require_mount: false")


def test_a_place_to_move_to_that_is_missing(rig: Rig, examine: Examine) -> None:
    amend(rig, folder={"after_upload": {"move": {"to": f"{rig.place}/away"}}})
    examine().found("after_upload", "fail", "no such directory", f"make {rig.place}/away", "move.to")
    (rig.place / "away").mkdir()
    assert examine().of("after_upload")["verdict"] == "ok"


def test_a_proof_that_lets_nothing_go(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"checksum": "none"}, folder={"after_upload": "delete"})
    report = examine()
    report.found("checksum", "warn", "nothing is summed", "destination.checksum: auto")
    report.found("after_upload", "warn", "only the size", "destination.checksum to auto or md5")


@pytest.fixture
def namespace() -> list[str]:
    """A user namespace of its own, whose limits and mounts are not the host's."""
    alone = ["unshare", "-Urm"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("user namespaces are not permitted here")
    return alone


def elsewhere(rig: Rig, namespace: list[str], script: str, *arguments: object) -> Report:
    """The verb in a namespace in which a script has changed something before."""
    before = f'{script} || exit 99; shift {len(arguments)}; exec "$@"'
    told = subprocess.run(
        [*namespace, "sh", "-c", before, "sh", *map(str, arguments), *rig.command("doctor", "--json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stderr == ""
    return read(told.returncode, told.stdout)


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'


def test_a_folder_out_of_which_nothing_can_be_deleted(rig: Rig, namespace: list[str]) -> None:
    amend(rig, folder={"after_upload": "delete"})
    report = elsewhere(rig, namespace, READ_ONLY, rig.inbox)
    report.found("after_upload", "fail", "mounted read-only", "remount,rw", "after_upload: keep")
    assert report.failed() == ["after_upload"]


def test_a_kernel_with_too_few_watches(rig: Rig, namespace: list[str]) -> None:
    for number in range(9):
        (rig.inbox / str(number)).mkdir()
    amend(rig, folder={"watch": "auto"})
    report = elsewhere(rig, namespace, "echo 5 >/proc/sys/user/max_inotify_watches")
    report.found("watches", "warn", "10 directories", "sysctl fs.inotify.max_user_watches=20", "watch: poll")
    assert report.code == 0


def test_a_kernel_without_an_inotify_instance(rig: Rig, namespace: list[str]) -> None:
    amend(rig, folder={"watch": "auto"})
    report = elsewhere(rig, namespace, "echo 0 >/proc/sys/user/max_inotify_instances")
    report.found("watches", "warn", "no inotify instance", "fs.inotify.max_user_instances")


def test_too_few_descriptors(rig: Rig) -> None:
    report = elsewhere(rig, [], "ulimit -n 40")
    report.found("descriptors", "warn", "40 files", "LimitNOFILE=1024")


def test_a_full_disk_for_the_ledger(rig: Rig, namespace: list[str]) -> None:
    state = rig.place / "state"
    state.mkdir(mode=0o700)
    report = elsewhere(rig, namespace, 'mount -t tmpfs -o size=1m,mode=700 full "$1"', state)
    report.found("ledger space", "fail", "nothing can be recorded", f"free some space at {state}", "`state`")


def test_a_ledger_that_cannot_be_written(rig: Rig, namespace: list[str]) -> None:
    state = rig.place / "state"
    state.mkdir(mode=0o700)
    report = elsewhere(rig, namespace, READ_ONLY, state)
    report.found("ledger", "fail", f"{state} cannot be written", "StateDirectory=syncd")


def test_a_ledger_that_others_may_read(rig: Rig, examine: Examine) -> None:
    state = rig.place / "state"
    state.mkdir(mode=0o700)
    (state / "state.db").write_bytes(b"")
    (state / "state.db").chmod(0o644)
    examine().found("ledger", "warn", "mode 0644", f"chmod go= {state}/state.db")


def test_whoever_is_not_the_daemons_user_is_told_so(rig: Rig, examine: Examine) -> None:
    state = rig.place / "state"
    state.mkdir(mode=0o700)
    (state / "state.db").write_bytes(b"")
    os.chown(state / "state.db", 65534, 65534)
    examine().found(
        "user", "warn", "this runs as root, the ledger is nobody's", "sudo -u nobody syncd doctor"
    )
