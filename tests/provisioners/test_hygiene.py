"""Tests of the cleanup and its checks in a mount namespace with empty folders: each leftover is detected and removed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

import pytest

from tests.provisioners.guest import PROVISIONERS, Guest

SECRET = "s3cret-'value\" with 비밀"

# The scripts use real paths: in the mount namespace each of these folders is empty, and the rest of the system is read-only.
FOLDERS = ("/etc/ssh", "/etc/ssl/private", "/root", "/home", "/opt", "/srv", "/usr/local", "/run", "/var")
PREPARE = "\n".join(
    [
        "set -euo pipefail",
        'mkdir -p "$SCRATCH/tmp"; : >"$SCRATCH/machine-id"; mount --bind "$SCRATCH" "$SCRATCH"; mount -o remount,bind,ro /',
        *(f"[[ ! -d {folder} ]] || mount -t tmpfs none {folder}" for folder in FOLDERS),
        "mkdir -p /var/tmp /var/log/journal /var/lib/systemd /var/lib/apt/lists /var/cache/apt /home/me /root/.ssh",
        'mount --bind "$SCRATCH/machine-id" /etc/machine-id',
        # The scripts' folder is below /tmp and must stay visible when /tmp is replaced.
        'mkdir -p /var/golden; cp -a "$GOLDEN"/. /var/golden; cp -a "$BIN" /var/bin',
        "export GOLDEN=/var/golden PATH=/var/bin:$PATH",
        'sed -i "s|export PATH=\\"|export PATH=\\"/var/bin:|" /var/golden/files/lib.sh; cp "$SCRIPTS"/*.sh /var/bin',
        'mount --bind "$SCRATCH/tmp" /tmp',
        "mkdir -p /usr/local/lib/goldenami; cp /var/bin/ssm-parameter /usr/local/lib/goldenami/; rm /var/bin/ssm-parameter",
    ]
)

LEFTOVERS = {
    "authorized-keys": "mkdir -p /root/.ssh; echo ssh-ed25519 >/root/.ssh/authorized_keys",
    "credentials": "mkdir -p /root/.aws; echo x >/root/.aws/credentials",
    "histories": "echo psql >/root/.psql_history",
    "host-keys": "echo x >/etc/ssh/ssh_host_ed25519_key",
    "machine-id": "echo 0123 >/etc/machine-id",
    "random-seed": "echo x >/var/lib/systemd/random-seed",
    "leases": "mkdir -p /var/lib/dhcp; echo x >/var/lib/dhcp/dhclient.leases",
    "package-caches": "echo x >/var/lib/apt/lists/deb.debian.org_Packages",
    "logs": "echo x >/var/log/auth.log",
    "temporary-files": "echo x >/var/tmp/left",
}


def _can_mount() -> bool:
    return (
        os.geteuid() == 0
        and shutil.which("unshare") is not None
        and subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0
    )


pytestmark = pytest.mark.skipif(not _can_mount(), reason="needs root and mount namespaces")


def run(guest: Guest, script: str, layer: str = "base") -> subprocess.CompletedProcess[str]:
    guest.run("true ", {"LAYER": layer, "PARAMETERS": ["/plain", "/secret"] if layer == "app" else []})
    for name in ("systemctl", "fstrim", "apt-get", "cloud-init"):
        guest.fake(name)
    # Never the home folders of the user who runs the tests.
    guest.fake("getent", "echo root:x:0:0:root:/root:/bin/bash; echo me:x:1000:1000::/home/me:/bin/bash")
    kinds = "if [[ $1 == --type ]]; then [[ $2 == /plain ]] && printf String || printf SecureString; else "
    guest.fake("ssm-parameter", kinds + f"printf %s {shlex.quote(SECRET)}; fi")
    scratch = guest.folder / "scratch"
    scratch.mkdir()
    # A checkout in one of the emptied folders, such as /root, would not be visible.
    scripts = shutil.copytree(PROVISIONERS / "common", guest.folder / "scripts")
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", f"{PREPARE}\n{script}"],
        env={
            "PATH": os.environ["PATH"],
            "SCRATCH": str(scratch),
            "GOLDEN": str(guest.golden),
            "BIN": str(guest.bin),
            "SCRIPTS": str(scripts),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )


ASSERT = "bash /var/bin/95-assert-clean.sh"
CLEAN = "bash /var/bin/90-cleanup.sh"


def test_clean_system_passes(guest: Guest) -> None:
    done = run(guest, f"{ASSERT}; [[ ! -e /var/golden ]]")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout


@pytest.mark.parametrize("name", LEFTOVERS)
def test_each_leftover_is_detected(guest: Guest, name: str) -> None:
    done = run(guest, f"{LEFTOVERS[name]}\n{ASSERT}")
    assert done.returncode == 1, done.stdout + done.stderr
    failed = [line.split()[1] for line in done.stdout.splitlines() if " FAIL " in line]
    assert failed == [f"hygiene-{name}"]


def test_cleanup_removes_all_leftovers(guest: Guest) -> None:
    done = run(guest, "\n".join([*LEFTOVERS.values(), CLEAN, ASSERT]))
    assert done.returncode == 0, done.stdout + done.stderr
    # The second run has nothing to do and succeeds.
    assert "FAIL" not in done.stdout


def test_cleanup_is_idempotent(guest: Guest) -> None:
    done = run(guest, f"{CLEAN}\n{CLEAN}\n{ASSERT}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "plant",
    [
        'printf %s "$SECRET" >/opt/app.conf',
        'printf %s "password=$SECRET;" >/var/lib/state',
        'printf %s "$SECRET" | base64 -w 0 >/root/notes',
    ],
)
def test_secret_is_detected(guest: Guest, plant: str) -> None:
    done = run(guest, f"SECRET={shlex.quote(SECRET)}\n{plant}\n{ASSERT}", layer="app")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "CHECK hygiene-secrets FAIL the value of /secret is in: /" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_no_secret_passes(guest: Guest) -> None:
    done = run(guest, ASSERT, layer="app")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CHECK hygiene-secrets ok 1 secret value(s) searched for, none found" in done.stdout


def test_unreadable_parameter_fails(guest: Guest) -> None:
    done = run(guest, f"echo 'exit 1' >/usr/local/lib/goldenami/ssm-parameter\n{ASSERT}", layer="app")
    assert "CHECK hygiene-secrets FAIL" in done.stdout
