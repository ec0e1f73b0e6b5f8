"""Tests of the example application: its Go tests, its SQL on a real server, and the running service."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provisioners.cluster import Cluster, programs, started
from tests.provisioners.fake_aws import KEY, SECRET, FakeAws

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/guestbook"
LIBRARIES = Path("/usr/share/gocode/src/github.com")

needs_go = pytest.mark.skipif(
    not shutil.which("go") or not (LIBRARIES / "aws/aws-sdk-go").exists() or not (LIBRARIES / "lib/pq").exists(),
    reason="needs golang-go, golang-github-lib-pq-dev and golang-github-aws-aws-sdk-go-dev",
)
needs_postgresql = pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed")

PASSWORD = 'it\'s \\ "hard" 비밀'


def go(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {**os.environ, "GOFLAGS": "-modfile=distro.mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", **environment}
    argv = ["go", *arguments]
    return subprocess.run(argv, cwd=EXAMPLE, env=settings, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server with the guestbook's role, database and schema."""
    with started() as running:
        quoted = PASSWORD.replace("'", "''")
        running.sql(f"CREATE ROLE guestbook LOGIN PASSWORD '{quoted}'")
        running.sql("CREATE DATABASE guestbook OWNER guestbook")
        argv = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "guestbook", "-d", "guestbook"]
        for _ in range(2):
            settings = {**running.environment, "PGPASSWORD": PASSWORD}
            subprocess.run([*argv, "-f", str(EXAMPLE / "schema.sql")], env=settings, check=True)
        yield running


def test_both_module_files_require_the_same_versions() -> None:
    modules = (EXAMPLE / "go.mod").read_text()
    distro = (EXAMPLE / "distro.mod").read_text()
    assert modules.strip() in distro


@needs_go
def test_go_is_formatted_and_vetted() -> None:
    assert subprocess.run(["gofmt", "-l", str(EXAMPLE)], capture_output=True, check=True).stdout == b""
    assert go("vet", "./...").returncode == 0


@needs_go
@needs_postgresql
def test_go_tests_pass(cluster: Cluster) -> None:
    password = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    database = (
        f"host=127.0.0.1 port={cluster.port} dbname=guestbook user=guestbook password='{password}' sslmode=disable"
    )
    done = go("test", "-v", "./...", GUESTBOOK_TEST_DATABASE=database)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SKIP" not in done.stdout


@contextlib.contextmanager
def serving(program: Path, environment: dict[str, str]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [str(program)], env={**environment, "PORT": str(port)}, stderr=subprocess.PIPE, text=True
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said


def ask(url: str, body: object = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    for _ in range(100):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data), timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{url} does not answer")


@needs_go
@needs_postgresql
def test_service_reads_its_password_from_parameter_store(cluster: Cluster, tmp_path: Path) -> None:
    program = tmp_path / "guestbook"
    done = go("build", "-o", str(program), "./cmd/server")
    assert done.returncode == 0, done.stderr
    with FakeAws({"/book/password": ("SecureString", PASSWORD)}) as aws:
        environment = {
            "USE_AWS_PARAMS": "true",
            "DB_PASSWORD_PARAMETER": "/book/password",
            "DB_PORT": str(cluster.port),
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.url,
            "APP_COMMIT": "abc",
        }
        with serving(program, environment) as url:
            assert ask(f"{url}/health") == (200, b'{"database":"ok","status":"ok"}\n')
            status, body = ask(f"{url}/api/entries", {"name": "김철수", "message": "안녕 <b>"})
            assert status == 201
            assert ask(f"{url}/api/entries/{json.loads(body)['id']}")[1] == body
            assert "안녕 &lt;b&gt;" in ask(url)[1].decode()
            assert json.loads(ask(f"{url}/version")[1])["commit"] == "abc"
            # Neither the role's keys nor the password are among what it says.
            page = ask(url)[1].decode()
            assert not [secret for secret in (KEY, SECRET, PASSWORD) if secret in page]
        # With a database that is gone it still starts, and says so.
        with serving(program, {**environment, "DB_PORT": "1"}) as url:
            assert ask(f"{url}/health")[0] == 503
