"""What else on the machine may upload with the device's token: boto3 as it is, the aws command, and a plain PUT."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.child import SYNCD, until
from support.edge import sha256
from support.rgw import REGION
from support.rig import noise
from support.site import NewSite, Site

pytestmark = pytest.mark.gateway

FILM = noise(12 << 20)

BOTO3 = """
import sys
import boto3

boto3.client("s3").upload_file(*sys.argv[1:])
"""


def environment(site: Site, home: Path, **more: str) -> dict[str, str]:
    """Nothing that this machine happens to have, but the way to the store. Botocore's trailers do not go over https here."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_S3": site.estate.gateway.url,
        **more,
    }


def run(*command: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def token_file(place: Path) -> Path:
    """As an operator makes one: what add-device says, sent into a file, and not touched."""
    file = place / "token"
    words = ["add-device", "cam", "--another-token", "--registry", str(place / "devices.yaml")]
    with file.open("w") as out:
        subprocess.run([*SYNCD, "credential-api", *words], stdout=out, timeout=30, check=True)
    return file


def test_an_unmodified_boto3_uploads_with_the_devices_token_file(new_site: NewSite, tmp_path: Path) -> None:
    site = new_site()
    (tmp_path / "film").write_bytes(FILM)
    env = environment(
        site,
        tmp_path,
        AWS_CONTAINER_CREDENTIALS_FULL_URI=site.api.url,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token_file(tmp_path)),
    )
    upload = [sys.executable, "-c", BOTO3, str(tmp_path / "film"), site.estate.bucket]
    done = run(*upload, "cam/from boto3", env=env)
    assert done.returncode == 0, done.stderr
    assert sha256(site.estate.read("cam/from boto3")) == sha256(FILM)
    assert "AccessDenied" in run(*upload, "other/from boto3", env=env).stderr
    assert site.estate.object_keys() == ["cam/from boto3"]


def test_the_aws_command_uploads_with_syncd_as_its_credential_process(
    new_site: NewSite, tmp_path: Path
) -> None:
    if shutil.which("aws") is None:
        pytest.skip("this machine has no aws command: apt-get install awscli")
    site = new_site()
    (tmp_path / "film").write_bytes(FILM)
    syncd = Path(sys.executable).with_name("syncd")
    profile = f"[default]\ncredential_process = {syncd} creds --format process -c {site.edge.config}\n"
    (tmp_path / "aws").write_text(profile)
    env = environment(site, tmp_path, AWS_CONFIG_FILE=str(tmp_path / "aws"))
    bucket, endpoint = f"s3://{site.estate.bucket}", f"--endpoint-url={site.estate.gateway.url}"
    copy = ["aws", endpoint, "s3", "cp", "--no-progress", str(tmp_path / "film")]
    done = run(*copy, f"{bucket}/cam/from-aws", env=env)
    assert done.returncode == 0, done.stderr
    assert sha256(site.estate.read("cam/from-aws")) == sha256(FILM)
    assert run(*copy, f"{bucket}/other/from-aws", env=env).returncode == 1
    assert site.estate.object_keys() == ["cam/from-aws"]


def ask(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """These headers and Host, no others: urllib would add a content type, which is signed."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.putrequest(method, url.removeprefix(f"http://{parts.netloc}"), skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def presigned(site: Site, path: str, size: int) -> tuple[int, dict[str, Any]]:
    token = site.edge.token_file.read_text()
    body = json.dumps({"device": "cam", "path": path, "size": size}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Length": str(len(body))}
    status, answer = ask("POST", f"{site.api.url}/presign", body, headers)
    return status, json.loads(answer)


def put(given: Mapping[str, Any], body: bytes, **changes: str) -> int:
    headers = {**given["Headers"], "Content-Length": str(len(body))}
    return ask(given["Method"], given["Url"], body, headers | changes)[0]


def test_a_presigned_url_takes_the_one_object_that_it_was_made_for(new_site: NewSite) -> None:
    site = new_site()
    status, given = presigned(site, "day 1/film.mp4", len(FILM))
    assert (status, given["Key"]) == (200, "cam/day 1/film.mp4")
    assert put(given, b"shorter") == 403
    assert put(given | {"Url": given["Url"].replace("film.mp4", "other.mp4")}, FILM) == 403
    assert put(given, FILM) == 200
    assert sha256(site.estate.read("cam/day 1/film.mp4")) == sha256(FILM)
    assert site.estate.object_keys() == ["cam/day 1/film.mp4"]


def test_a_presigned_url_ends_with_its_session(new_site: NewSite) -> None:
    site = new_site(session="3s")
    _, given = presigned(site, "film", 4)
    assert put(given, b"film") == 200
    until(lambda: put(given, b"film") == 403, 20, "its end")


def test_what_is_too_large_for_one_put_is_pointed_to_multipart(new_site: NewSite) -> None:
    status, answer = presigned(new_site(), "film", (5 << 30) + 1)
    assert status == 400
    assert "multipart" in answer["error"]["message"]
