"""Tests of installing Go and PostgreSQL: declared versions, and checksums that are verified before unpacking."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tests.provisioners.guest import Guest


def go_archive(version: str = "1.23.0") -> bytes:
    """Return a tarball like go.dev's whose `go` only prints its version."""
    packed = io.BytesIO()
    program = f'#!/bin/sh\necho "go version go{version} linux/amd64"\n'.encode()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("go/bin/go")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
    return packed.getvalue()


@pytest.fixture
def go_dev(guest: Guest) -> dict[str, str]:
    """A fake curl that downloads the tarball, and a folder to install to."""
    archive = guest.folder / "served.tar.gz"
    archive.write_bytes(go_archive())
    guest.fake("curl", f'while [[ $1 != --output ]]; do shift; done; cp "{archive}" "$2"')
    guest.fake("go", "exit 127")
    for name in ("local/bin", "etc/profile.d"):
        (guest.folder / name).mkdir(parents=True)
    return {"GO_PARENT": str(guest.folder / "local"), "ETC": str(guest.folder / "etc")}


GO = {"GO_SOURCE": "go.dev", "GO_VERSION": "1.23.0"}


def test_go_dev(guest: Guest, go_dev: dict[str, str]) -> None:
    served = (guest.folder / "served.tar.gz").read_bytes()
    sha256 = hashlib.sha256(served).hexdigest()
    done = guest.run("base/30-go.sh", {**GO, "GO_SHA256": sha256}, **go_dev)
    assert done.returncode == 0, done.stderr
    assert "https://go.dev/dl/go1.23.0.linux-amd64.tar.gz" in guest.called()[-1]
    assert (guest.folder / "local/go/bin/go").exists()
    assert "/go/bin" in (guest.folder / "etc/profile.d/go.sh").read_text()
    # Already installed: nothing is downloaded.
    fetched = len([call for call in guest.called() if call.startswith("curl")])
    assert guest.run("base/30-go.sh", {**GO, "GO_SHA256": sha256}, **go_dev).returncode == 0
    assert len([call for call in guest.called() if call.startswith("curl")]) == fetched


def test_wrong_checksum_installs_nothing(guest: Guest, go_dev: dict[str, str]) -> None:
    done = guest.run("base/30-go.sh", {**GO, "GO_SHA256": "0" * 64}, **go_dev)
    assert done.returncode == 1
    assert "nothing was installed" in done.stderr
    assert sorted(path.name for path in (guest.folder / "local").iterdir()) == ["bin"]
    assert list((guest.folder / "etc/profile.d").iterdir()) == []


def test_wrong_checksum_keeps_the_old_go(guest: Guest, go_dev: dict[str, str]) -> None:
    old = guest.folder / "local/go/bin"
    old.mkdir(parents=True)
    (old / "go").write_text('#!/bin/sh\necho "go version go1.22.1 linux/amd64"\n')
    (old / "go").chmod(0o755)
    assert guest.run("base/30-go.sh", {**GO, "GO_SHA256": "0" * 64}, **go_dev).returncode == 1
    assert "1.22.1" in (old / "go").read_text()


@pytest.mark.parametrize("sha256", ["", "abc", "A" * 64])
def test_missing_checksum_downloads_nothing(guest: Guest, go_dev: dict[str, str], sha256: str) -> None:
    done = guest.run("base/30-go.sh", {**GO, "GO_SHA256": sha256}, **go_dev)
    assert done.returncode == 1
    assert "needs [runtime.go] sha256" in done.stderr
    assert not any(call.startswith("curl") for call in guest.called())


def test_tarball_of_another_version_is_refused(guest: Guest, go_dev: dict[str, str]) -> None:
    sha256 = hashlib.sha256((guest.folder / "served.tar.gz").read_bytes()).hexdigest()
    done = guest.run("base/30-go.sh", {**GO, "GO_VERSION": "1.24.0", "GO_SHA256": sha256}, **go_dev)
    assert "Go 1.23.0 was installed, the recipe declares 1.24.0" in done.stderr


@pytest.mark.parametrize(("family", "tool"), [("debian-12", "apt-get"), ("amazon-linux-2023", "dnf")])
def test_other_go_version_of_the_distribution_is_refused(
    guest: Guest, go_dev: dict[str, str], family: str, tool: str
) -> None:
    guest.fake("apt-cache", '[[ $2 == golang-go ]] && echo "  Candidate: 2:1.19~1"; true')
    guest.fake("apt-get")
    guest.fake("dnf", "[[ $* == *repoquery* ]] && echo 1.19.8; true")
    done = guest.run("base/30-go.sh", {"GO_VERSION": "1.23", "FAMILY": family}, **go_dev)
    assert done.returncode == 1
    assert f"{family} offers Go 1.19" in done.stderr
    assert "the recipe declares 1.23" in done.stderr
    assert not any("install" in call for call in guest.called())


def test_additional_series_of_the_distribution_is_installed(guest: Guest, go_dev: dict[str, str]) -> None:
    guest.fake(
        "apt-cache",
        'case $2 in golang-go) echo "  Candidate: 2:1.22~2";; golang-1.23-go) echo "  Candidate: 1.23.1-1";; esac',
    )
    guest.fake(
        "apt-get",
        f"cat >{guest.bin}/go <<<$'#!/bin/sh\\necho \"go version go1.23.1 linux/amd64\"'; chmod 755 {guest.bin}/go",
    )
    done = guest.run("base/30-go.sh", {"GO_VERSION": "1.23", "FAMILY": "ubuntu-24.04"}, **go_dev)
    assert done.returncode == 0, done.stderr
    assert (guest.folder / "local/bin/go").readlink() == Path("/usr/lib/go-1.23/bin/go")


def test_amazon_linux_postgresql(guest: Guest) -> None:
    guest.fake("dnf", "[[ $* == *repoquery* ]] && echo 16.8; true")
    guest.fake("systemctl")
    guest.fake("postgresql-setup", f"env | grep PGSETUP >>{guest.calls}")
    guest.fake("runuser", "[[ $(cat) != *server_version_num* ]] || echo 160008")
    done = guest.run("base/40-postgresql.sh", {"FAMILY": "amazon-linux-2023", "POSTGRESQL_VERSION": "16"})
    assert done.returncode == 0, done.stderr
    calls = guest.called()
    assert "dnf -y install postgresql16 postgresql16-server" in calls
    assert "postgresql-setup --initdb" in calls
    # The distribution's default, ident, does not accept passwords.
    assert any("--auth-host=scram-sha-256" in call for call in calls)
    assert "systemctl enable postgresql.service" in calls
    assert "systemctl start postgresql.service" in calls


@pytest.mark.parametrize("family", ["debian-12", "ubuntu-24.04", "amazon-linux-2023"])
def test_unavailable_version_is_refused(guest: Guest, family: str) -> None:
    for tool in ("dnf", "apt-get", "apt-cache"):
        guest.fake(tool)
    done = guest.run("base/40-postgresql.sh", {"FAMILY": family, "POSTGRESQL_VERSION": "9"})
    assert done.returncode == 1
    assert f"{family} offers no PostgreSQL 9" in done.stderr
    assert not any("install" in call for call in guest.called())


def test_amazon_linux_is_upgraded_to_the_latest_release(guest: Guest) -> None:
    guest.fake("dnf")
    assert guest.run("base/20-update.sh", {"FAMILY": "amazon-linux-2023"}).returncode == 0
    assert "dnf -y --releasever=latest upgrade" in guest.called()


@pytest.mark.parametrize(
    ("code", "output", "pending"),
    [
        (0, "", ""),
        (
            100,
            "\\nkernel.x86_64   6.1.9-1   amazonlinux\\ncurl-minimal.x86_64 8.5 amazonlinux\\n",
            "kernel.x86_64\ncurl-minimal.x86_64\n",
        ),
    ],
)
def test_pending_updates_of_dnf(guest: Guest, code: int, output: str, pending: str) -> None:
    guest.fake("dnf", f"printf '{output}'; exit {code}")
    assert guest.run("packages_pending; true", {"FAMILY": "amazon-linux-2023"}).stdout == pending


def test_failing_dnf_is_not_reported_as_no_updates(guest: Guest) -> None:
    guest.fake("dnf", "exit 1")
    assert guest.run("packages_pending; true", {"FAMILY": "amazon-linux-2023"}).returncode == 1


def test_pending_updates_of_apt(guest: Guest) -> None:
    guest.fake("apt-get", 'echo "Inst curl [7.88.1-1] (7.88.1-2 Debian:12 [amd64])"; echo "Conf curl (7.88.1-2)"')
    assert guest.run("packages_pending; true").stdout == "curl\n"


@pytest.mark.parametrize(
    ("declared", "actual", "fits"),
    [
        ("1.19", "1.19.8", True),
        ("1.19", "1.19", True),
        ("1.19.8", "1.19.8", True),
        ("1.1", "1.19", False),
        ("1.19.8", "1.19", False),
    ],
)
def test_versions(guest: Guest, declared: str, actual: str, fits: bool) -> None:
    assert (guest.run(f"version_matches {declared} {actual} || exit 9").returncode == 0) is fits


def test_all_checks_run_before_the_script_fails(guest: Guest) -> None:
    done = guest.run('mkdir "$GOLDEN/report"; check one false; check two echo "a \\"b\\""; checks_done')
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["CHECK one FAIL no detail", 'CHECK two ok a "b"']
    assert (guest.golden / "report/checks.jsonl").read_text().splitlines() == [
        '{"check":"one","ok":false,"detail":"no detail","gate":"image"}',
        '{"check":"two","ok":true,"detail":"a \\"b\\"","gate":"image"}',
    ]
