"""Tests of ssm-parameter: signed requests, exact values, retries, no secrets in arguments."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.provisioners.fake_aws import KEY, SECRET, SESSION, TOKEN, FakeAws

HELPER = Path(__file__).resolve().parents[2] / "provisioners/files/ssm-parameter"
HARD = 'it\'s \\ a "very" $secret `id` & 비밀 %{x} ${y}\n two\t\n\n'

pytestmark = pytest.mark.skipif(not shutil.which("jq") or not shutil.which("curl"), reason="needs curl and jq")


def read(aws: FakeAws, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "PATH": "/usr/bin:/bin",
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.url,
        "SSM_ATTEMPTS": "1",
        **environment,
    }
    return subprocess.run(
        [str(HELPER), *arguments], env=settings, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("value", [HARD, "x", "-n", "\\", '"', "null", "{}", "끝\n"])
def test_value_is_exact(value: str) -> None:
    with FakeAws({"/book/password": ("SecureString", value)}) as aws:
        done = read(aws, "/book/password")
        assert (done.returncode, done.stdout, aws.rejected) == (0, value, [])


def test_type() -> None:
    with FakeAws({"/book/password": ("SecureString", "x")}) as aws:
        assert read(aws, "--type", "/book/password").stdout == "SecureString"


def test_region_of_the_environment_takes_precedence() -> None:
    with FakeAws({"/a": ("String", "x")}, region="eu-west-1") as aws:
        assert read(aws, "/a", AWS_REGION="eu-west-1").returncode == 0
        assert "signature does not match" in read(aws, "/a", AWS_REGION="eu-west-2").stderr


def test_missing_parameter_fails_without_retry() -> None:
    with FakeAws({}) as aws:
        done = read(aws, "/missing", SSM_ATTEMPTS="9")
        assert done.returncode == 1
        assert "ParameterNotFound" in done.stderr
        assert "/missing could not be read (attempt 1 of 9)" in done.stderr
        assert done.stdout == ""


def test_unavailable_service_is_retried() -> None:
    with FakeAws({"/a": ("String", "x")}, failures=1) as aws:
        assert read(aws, "/a", SSM_ATTEMPTS="2").stdout == "x"


def test_missing_role_is_reported() -> None:
    with FakeAws({"/a": ("String", "x")}, role=None) as aws:
        assert "does the instance have an instance profile?" in read(aws, "/a").stderr


def test_usage() -> None:
    assert subprocess.run([str(HELPER)], capture_output=True, check=False).returncode == 2


def test_arguments_contain_no_secret(tmp_path: Path) -> None:
    """Wrap every program that the helper starts with one that records its arguments."""
    bin_folder, log = tmp_path / "bin", tmp_path / "log"
    bin_folder.mkdir()
    for name in ("curl", "jq", "sleep"):
        wrapper = bin_folder / name
        wrapper.write_text(f'#!/bin/bash\nprintf "%s\\n" "$0 $*" >>{log}\nexec /usr/bin/{name} "$@"\n')
        wrapper.chmod(0o755)
    with FakeAws({"/book/password": ("SecureString", HARD)}) as aws:
        done = read(aws, "/book/password", PATH=f"{bin_folder}:/usr/bin:/bin")
        assert done.stdout == HARD
    arguments = log.read_text()
    assert "curl" in arguments
    for secret in (KEY, SECRET, SESSION, TOKEN, "$secret"):
        assert secret not in arguments
