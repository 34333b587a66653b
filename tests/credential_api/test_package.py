"""The Lambda's zip file: the same bytes twice, and it runs with nothing but itself and what the runtime has."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path

import pytest

from syncd.credential_api.package import DEPENDENCIES, build, sources

RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
"""What Lambda's Python has: https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html"""

HANDLER = "syncd.credential_api.lambda_handler"

NOBODY = {
    "version": "2.0",
    "rawPath": "/v1/credentials",
    "headers": {},
    "requestContext": {"stage": "$default", "http": {"method": "GET", "sourceIp": "192.0.2.1"}},
}
"""An event without a token: it is refused before anybody is asked over the network."""


@pytest.fixture(scope="module")
def packed() -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(build()))


def test_the_same_sources_give_the_same_bytes() -> None:
    assert build() == build()


def test_neither_time_nor_rights_of_a_file_reach_the_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build()
    root = tmp_path / "syncd" / "credential_api"
    root.mkdir(parents=True)
    for name, data in reversed(sources().items()):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)
        os.utime(path, (1, 1))
    monkeypatch.setattr("syncd.credential_api.package._HERE", root)
    assert build() == first


def test_it_holds_this_package_and_nothing_else_of_syncd(packed: zipfile.ZipFile) -> None:
    ours = {name for name in packed.namelist() if name.startswith("syncd/")}
    assert {"syncd/__init__.py", "syncd/credential_api/issue.py", "syncd/credential_api/devices.py"} <= ours
    assert {name for name in ours if not name.startswith("syncd/credential_api/")} == {"syncd/__init__.py"}
    assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in packed.infolist())
    assert packed.testzip() is None


def test_dependencies_are_python_alone_with_their_licence_and_need_nothing_more(
    packed: zipfile.ZipFile,
) -> None:
    for each in DEPENDENCIES:
        assert f"{each}/__init__.py" in packed.namelist()
        own = f"{each}-{version(each)}.dist-info/"
        assert any(name.startswith(f"{own}licenses/") for name in packed.namelist())
        needs = [need for need in requires(each) or () if "extra ==" not in need]
        assert all("python_version <" in need for need in needs), needs
    assert not [name for name in packed.namelist() if name.endswith((".so", ".pyd", ".pyc"))]


def modules() -> list[str]:
    """What the Lambda imports; until its handler is written, what the handler will stand on."""
    return [HANDLER] if find_spec(HANDLER) else ["syncd.credential_api.issue", *DEPENDENCIES]


def test_unpacked_it_runs_with_nothing_but_the_runtime(packed: zipfile.ZipFile, tmp_path: Path) -> None:
    code, runtime = tmp_path / "task", tmp_path / "runtime"
    packed.extractall(code)
    runtime.mkdir()
    for name in RUNTIME:
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        at = Path(found.origin).parent if found.submodule_search_locations else Path(found.origin)
        (runtime / at.name).symlink_to(at)
    script = f"""
import importlib, json, sys
for name in {modules()!r}: module = importlib.import_module(name)
if hasattr(module, "handler"):
    assert module.handler({NOBODY!r}, None)["statusCode"] == 401
print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))
print(sys.modules["syncd"].__file__)
"""
    # -S: no site-packages; -P: not the folder we stand in. What an account gives a function stands in the environment.
    told = subprocess.run(
        [sys.executable, "-S", "-P", "-c", script],
        env={
            "PYTHONPATH": f"{code}:{runtime}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_REGION": "eu-central-1",
            "SYNCD_ROLE_ARN": "arn:aws:iam::123456789012:role/syncd-upload",
            "SYNCD_TABLE": "syncd-devices",
            "SYNCD_SESSION_SECONDS": "3600",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    loaded, where = told.stdout.splitlines()[-2:]  # above them the handler's log
    assert Path(where).is_relative_to(code)
    assert set(DEPENDENCIES) <= set(json.loads(loaded))  # nothing is packed that nobody loads
    assert not {"yaml", "flask", "waitress", "click"} & set(json.loads(loaded))
