"""What survives: a store killed with -9 has its uploads, parts, objects and sessions again when it comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from syncd.demo.store import Store

AT = {"Bucket": "captures", "Key": "k"}

Running = SimpleNamespace


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts the store as a process of its own; every process is gone at the end."""
    with ExitStack() as stack:

        def start(*arguments: str, port: int = 0) -> Any:
            command = [sys.executable, "-m", "syncd.demo.store", "--dir", str(tmp_path / "store")]
            command += ["--port", str(port), "--min-part-size", "5", "--min-session", "1", *arguments]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            return Running(process=process, port=int(said["url"].rpartition(":")[2]), **said)

        yield start


def _kill(running: Any) -> None:
    running.process.kill()
    running.process.wait()


def test_after_kill_9_everything_is_there_again(
    launch: Callable[..., Any], connect: Any, checksum: Any, tmp_path: Path
) -> None:
    first = launch()
    s3, sts = connect(first), connect(first, service="sts")
    answer = sts.assume_role(RoleArn=first.role_arn, RoleSessionName="device", DurationSeconds=600)[
        "Credentials"
    ]
    keys = {
        "aws_access_key_id": answer["AccessKeyId"],
        "aws_secret_access_key": answer["SecretAccessKey"],
        "aws_session_token": answer["SessionToken"],
    }
    client = connect(first, keys)
    s3.put_object(Bucket="captures", Key="whole", Body=b"whole", Metadata={"a": "b"})
    upload = client.create_multipart_upload(ChecksumAlgorithm="SHA1", Metadata={"m": "1"}, **AT)["UploadId"]
    sha1 = checksum("SHA1", b"hello")
    part = client.upload_part(UploadId=upload, PartNumber=1, Body=b"hello", ChecksumSHA1=sha1, **AT)
    _kill(first)

    second = launch(port=first.port)
    assert (second.access_key, second.secret_key) == (first.access_key, first.secret_key)
    [listed] = client.list_parts(UploadId=upload, **AT)["Parts"]
    assert (listed["ETag"], listed["ChecksumSHA1"]) == (part["ETag"], sha1)
    client.complete_multipart_upload(
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA1": sha1}]},
        **AT,
    )
    _kill(second)

    with Store(tmp_path / "store", min_part_size=5) as third:
        assert {key: each.metadata for key, each in third.objects().items()} == {
            "whole": {"a": "b"},
            "k": {"m": "1"},
        }
        assert third.read("k") == b"hello"
        assert third.uploads() == []


def test_the_journal_on_disk_tells_of_every_request_over_restarts(
    launch: Callable[..., Any], connect: Any, tmp_path: Path
) -> None:
    first = launch()
    connect(first).put_object(Body=b"hello", **AT)
    _kill(first)
    second = launch()
    connect(second).get_object(**AT)["Body"].read()
    lines = (tmp_path / "store" / "requests.jsonl").read_text().splitlines()
    assert [json.loads(line)["operation"] for line in lines] == ["PutObject", "GetObject"]
    assert json.loads(lines[0])["received"] == 5


def test_the_process_ends_on_sigterm(launch: Callable[..., Any]) -> None:
    running = launch()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=10) == 0


def test_the_process_does_not_outlive_its_parent(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'syncd.demo.store', '--dir', {str(tmp_path / 's')!r}],"
        " stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), flush=True)\n"
        "import os; os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    pid = json.loads(done.stdout)["pid"]
    watch = os.pidfd_open(pid) if Path(f"/proc/{pid}").exists() else None
    if watch is not None:
        import select

        gone, _, _ = select.select([watch], [], [], 10)
        os.close(watch)
        assert gone


def test_a_directory_belongs_to_one_store_at_a_time(store: Store, tmp_path: Path) -> None:
    second = Store(tmp_path / "store")
    with pytest.raises(BlockingIOError):
        second.start()
    store.stop()
    with second:
        assert second.objects() == {}


def test_what_a_kill_left_half_written_is_swept_and_what_was_said_is_kept(
    store: Store, s3: Any, tmp_path: Path
) -> None:
    s3.put_object(Body=b"hello", **AT)
    upload = s3.create_multipart_upload(Bucket="captures", Key="m")["UploadId"]
    s3.upload_part(Bucket="captures", Key="m", UploadId=upload, PartNumber=1, Body=b"hello")
    store.stop()
    bucket = tmp_path / "store" / "buckets" / "captures"
    kept = {path for path in bucket.rglob("*") if path.is_file()}
    for litter in (
        "data/0123",
        f"data/{upload}/2.0123",
        "objects/.x.json.1",
        "uploads/.x.json.1",
        "data/nobody/1.0",
    ):
        (bucket / litter).parent.mkdir(exist_ok=True)
        (bucket / litter).write_bytes(b"half")
    store.start()
    assert {path for path in bucket.rglob("*") if path.is_file()} == kept
    assert store.read("k") == b"hello"
    assert list(store.uploads()[0].parts) == [1]


def test_a_kill_just_after_the_object_appeared_does_not_bring_the_upload_back(
    store: Store, s3: Any, tmp_path: Path
) -> None:
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    etag = s3.upload_part(UploadId=upload, PartNumber=1, Body=b"hello", **AT)["ETag"]
    record = tmp_path / "store" / "buckets" / "captures" / "uploads" / f"{upload}.json"
    before = record.read_bytes()
    completion = {"UploadId": upload, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}
    first = s3.complete_multipart_upload(**completion, **AT)
    store.stop()
    record.write_bytes(before)
    store.start()
    assert store.uploads() == []
    assert store.read("k") == b"hello"
    assert s3.complete_multipart_upload(**completion, **AT)["ETag"] == first["ETag"]
