"""Tests of data-volume on a real loop device: foreign or damaged volumes are not changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.provisioners.guest import PROVISIONERS

KEY, SECRET, SESSION, REGION = "ASIAEXAMPLE", "se/cret+key", 'session"token\\', "ap-northeast-2"
VOLUME = "vol-0123456789abcdef0"
TOOLS = ("losetup", "mkfs.ext4", "unshare", "wipefs", "debugfs")


def unavailable_reason() -> str:
    """Return why this machine cannot mount a disk; empty if it can."""
    if os.geteuid() != 0:
        return "only root can mount"
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        return f"no {missing[0]}"
    namespace = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    loop_device = subprocess.run(["losetup", "--find"], capture_output=True, check=False)
    return "" if namespace.returncode == loop_device.returncode == 0 else "no loop devices or mount namespaces"


pytestmark = pytest.mark.skipif(bool(unavailable_reason()), reason=unavailable_reason() or "-")


class Ec2:
    """Metadata service and EC2 Query API on one address, with verified signatures; one instance, some volumes.

    Attributes:
        volumes: State and attached instance of each volume.
        member: True if the instance is a member of the group.
        busy: Number of requests until the other instance has detached the volume.
    """

    def __init__(self) -> None:
        self.volumes: dict[str, tuple[str, str]] = {VOLUME: ("available", "")}
        self.member, self.user_data, self.busy = True, "", 0
        self.calls: list[str] = []
        self.rejected: list[str] = []

    def __enter__(self) -> Ec2:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self.send(200, "token")

            def do_GET(self) -> None:
                name = self.path.removeprefix("/latest/")
                credentials = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": SESSION}
                responses = {
                    "user-data": fake.user_data,
                    "meta-data/instance-id": "i-1",
                    "meta-data/iam/security-credentials/": "role",
                    "meta-data/iam/security-credentials/role": json.dumps(credentials),
                }
                self.send(200 if responses.get(name) else 404, responses.get(name, ""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if error := signature_error(self, body):
                    fake.rejected.append(error)
                    self.send(403, f"<Response><Message>{error}</Message></Response>")
                    return
                self.send(200, fake.respond({k: v[0] for k, v in parse_qs(body.decode()).items()}))

            def send(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def respond(self, request: dict[str, str]) -> str:
        self.calls.append(request["Action"])
        filters = {v: request[k.replace("Name", "Value.1")] for k, v in request.items() if k.endswith(".Name")}
        if request["Action"] == "DescribeInstances":
            assert filters == {"instance-id": "i-1", "tag:aws:autoscaling:groupName": "guestbook-asg"}
            return "<item><instanceId>i-1</instanceId></item>" if self.member else "<reservationSet/>"
        if request["Action"] == "AttachVolume":
            assert (request["VolumeId"], request["InstanceId"], request["Device"]) == (VOLUME, "i-1", "/dev/sdf")
            self.volumes[VOLUME] = ("attached", "i-1")
            return ""
        assert filters.pop("tag:goldenami:data") == "guestbook"
        if "status" in filters and self.busy and (volume := self.volumes.get(VOLUME)) and volume[1] == "i-0":
            self.busy -= 1
            if not self.busy:
                self.volumes[VOLUME] = ("available", "")
        volume_ids = [
            volume_id
            for volume_id, (state, instance) in self.volumes.items()
            if filters.get("attachment.instance-id", instance) == instance
            and filters.get("attachment.status", state) == state
            and (filters.get("status") != "available" or state == "available")
        ]
        return "".join(f"<item>\n <volumeId>{volume_id}</volumeId>\n</item>" for volume_id in volume_ids)


def signature_error(handler: BaseHTTPRequestHandler, body: bytes) -> str:
    """Sign the same request with botocore and compare; empty if the signature is valid."""
    authorization = handler.headers.get("Authorization", "")
    if "SignedHeaders=" not in authorization:
        return "no signature"
    signed = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
    if "x-amz-security-token" not in signed:
        return f"signed only {signed}"
    headers = {name: handler.headers[name] for name in signed if name != "x-amz-date"}
    request = AWSRequest("POST", f"http://{handler.headers['Host']}{handler.path}", headers=headers, data=body)
    request.context["timestamp"] = request.headers["X-Amz-Date"] = handler.headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials(KEY, SECRET), "ec2", REGION)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return "" if f"Signature={expected}" in authorization else "the signature does not match"


class Machine:
    """An instance with the image's data directory, and a disk that EC2 can attach."""

    def __init__(self, folder: Path, ec2: Ec2) -> None:
        self.folder, self.ec2 = folder, ec2
        self.data = folder / "data"
        self.data.mkdir()
        (self.data / "PG_VERSION").write_text("15\n")
        (self.data / "of the image").touch()
        shutil.chown(self.data, "postgres", "postgres")
        self.disk = (
            Path("/dev/shm") if Path("/dev/shm").is_dir() else folder
        ) / f"goldenami-{folder.name}"  # in memory: no waiting for a disk
        with self.disk.open("wb") as disk:
            disk.truncate(64 << 20)
        self.devices = folder / "devices"
        self.devices.mkdir()

    def run(self, script: str = "mount; ls data-directory", **settings: str) -> subprocess.CompletedProcess[str]:
        """Run shell commands in a mount namespace, in which `mount` and `unmount` run data-volume."""
        helper = PROVISIONERS / "files/data-volume"
        text = f"set -e; mount() {{ {helper} mount; }}; unmount() {{ {helper} unmount; }}; cd {self.folder}\n{script}"
        text = text.replace("data-directory", str(self.data))
        environment = {
            "PATH": os.environ["PATH"],
            "SERVICE": "guestbook",
            "GROUP": "guestbook-asg",
            "AWS_REGION": REGION,
            "FAMILY": "debian-12",
            "ARCHITECTURE": "x86_64",
            "DATA_DIRECTORY": str(self.data),
            "AWS_ENDPOINT_URL": self.ec2.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.ec2.url,
            "GOLDENAMI_RUN": str(self.folder / "run"),
            "GOLDENAMI_ETC": str(self.folder / "etc"),
            "GOLDENAMI_VOLUME": str(self.folder / "volume"),
            "GOLDENAMI_DEVICES": str(self.devices),
            "VOLUME_TIMEOUT": "30",
            **settings,
        }
        return subprocess.run(
            ["unshare", "--mount", "bash", "-c", text],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ok(self, script: str = "mount; ls data-directory", **settings: str) -> str:
        done = self.run(script, **settings)
        assert done.returncode == 0, done.stderr
        assert self.ec2.rejected == []
        return done.stdout

    def error(self, **settings: str) -> str:
        """Return the error of a mount that must fail without changing the disk or the image's data directory."""
        before = self.disk.read_bytes()
        done = self.run('code=0; mount || code=$?; ls data-directory; exit "$code"', **settings)
        assert done.returncode == 1, done.stdout
        assert done.stdout.splitlines()[-2:] == ["PG_VERSION", "of the image"]
        assert self.disk.read_bytes() == before, "the disk was changed"
        return done.stderr.splitlines()[-1]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Ec2() as ec2:
        instance = Machine(tmp_path, ec2)
        loop = subprocess.run(
            ["losetup", "--find", "--show", str(instance.disk)], capture_output=True, text=True, check=True
        ).stdout.strip()
        try:
            (instance.devices / f"nvme-Amazon_Elastic_Block_Store_{VOLUME.replace('-', '')}").symlink_to(loop)
            yield instance
        finally:
            subprocess.run(["losetup", "--detach", loop], check=True)
            instance.disk.unlink()


KEEP = "mount; touch data-directory/row; unmount"


def test_new_volume_starts_with_the_images_data_and_keeps_changes(machine: Machine) -> None:
    assert "Creating the file system" in machine.ok(KEEP)
    assert machine.ec2.calls.count("AttachVolume") == 1
    again = machine.ok("mount; stat --format %U data-directory; ls data-directory; unmount; ls data-directory")
    assert "Creating" not in again
    assert again.splitlines()[-6:] == ["postgres", "PG_VERSION", "of the image", "row", "PG_VERSION", "of the image"]
    assert machine.ec2.calls.count("AttachVolume") == 1, "it is attached already"
    assert (machine.folder / "run").exists()
    assert not (machine.folder / "run/data-volume").exists()


def test_group_member_waits_until_the_volume_is_detached(machine: Machine) -> None:
    machine.ec2.volumes[VOLUME] = ("in-use", "i-0")
    machine.ec2.busy = 2
    output = machine.ok()
    assert f"Waiting until {VOLUME} is detached from another instance" in output
    machine.ec2.volumes[VOLUME], machine.ec2.busy = ("in-use", "i-0"), 0
    assert "was not detached within 1 s" in machine.error(VOLUME_TIMEOUT="1")


def test_only_a_group_member_attaches_the_volume(machine: Machine) -> None:
    machine.ec2.member = False
    assert "using the data directory of its root disk" in machine.ok()
    machine.ec2.member, machine.ec2.user_data = True, "#!/bin/bash\n# goldenami: temporary database\n"
    machine.ec2.calls.clear()
    assert "using the data directory of its root disk" in machine.ok()
    assert machine.ec2.calls == []
    machine.ec2.member, machine.ec2.user_data = False, ""
    machine.ec2.volumes[VOLUME] = ("attached", "i-1")  # by another client
    assert f"Mounted {VOLUME} with the data" in machine.ok()


def test_missing_or_several_volumes_fail(machine: Machine) -> None:
    machine.ec2.volumes["vol-0fedcba9876543210"] = ("available", "")
    assert "several volumes have the tag" in machine.error()
    machine.ec2.volumes.clear()
    assert "./invoke fleet.create creates it" in machine.error()


def test_fenced_instance_does_not_attach_the_volume(machine: Machine) -> None:
    (machine.folder / "etc/goldenami").mkdir(parents=True)
    (machine.folder / "etc/goldenami/fenced").touch()
    assert "writes are stopped on this instance" in machine.error()
    assert machine.ec2.calls == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SERVICE": "other"}, "belongs to guestbook, not to other"),
        (
            {"FAMILY": "ubuntu-24.04"},
            "was written by debian-12 on x86_64, which is not compatible with ubuntu-24.04 on x86_64",
        ),
        (
            {"ARCHITECTURE": "arm64"},
            "was written by debian-12 on x86_64, which is not compatible with debian-12 on arm64",
        ),
        ({}, "is from PostgreSQL 15 and the image has 16"),
    ],
)
def test_incompatible_data_fails_and_is_kept(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str
) -> None:
    machine.ok(KEEP)
    if not changes:
        (machine.data / "PG_VERSION").write_text("16\n")
    if changes.get("SERVICE"):
        respond = machine.ec2.respond
        monkeypatch.setattr(
            machine.ec2,
            "respond",
            lambda request: respond({k: v.replace("other", "guestbook") for k, v in request.items()}),
        )
    done = machine.run("mount", **changes)
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
    machine.data.joinpath("PG_VERSION").write_text("15\n")
    monkeypatch.undo()
    assert "row" in machine.ok().split()


def test_volume_that_is_not_blank_is_never_formatted(machine: Machine) -> None:
    subprocess.run(["mkswap", "-q", machine.disk], check=True)
    assert "has foreign contents (swap)" in machine.error()
    for offset in (0, (64 << 20) - 1):
        machine.disk.write_bytes(bytes(64 << 20))
        with machine.disk.open("r+b") as disk:
            disk.seek(offset)
            disk.write(b"x")
        assert "no known file system" in machine.error()
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "photos", machine.disk], check=True)
    done = machine.run("mount")
    assert done.returncode == 1
    assert "has foreign files" in done.stderr


def test_interrupted_first_boot_is_completed(machine: Machine) -> None:
    machine.ok(KEEP)
    cut = "mount; unmount; /bin/mount devices/* volume; rm -r volume/data/row; mv volume/data volume/data.part"
    machine.ok(f"{cut}; rm volume/data.part/PG_VERSION; umount volume")
    assert machine.ok().split()[-4:] == ["PG_VERSION", "of", "the", "image"]
    machine.ok("/bin/mount devices/* volume; rm -r volume/data volume/goldenami.json; umount volume")
    assert machine.ok().split()[-4:] == ["PG_VERSION", "of", "the", "image"]


def test_journal_is_replayed_and_other_damage_needs_manual_repair(machine: Machine) -> None:
    # Leaving the mount namespace is no crash, so debugfs marks the journal as a crash would.
    machine.ok(KEEP)
    subprocess.run(["debugfs", "-w", "-R", "feature needs_recovery", machine.disk], check=True, capture_output=True)
    assert "row" in machine.ok("mount; ls data-directory; unmount").split()
    subprocess.run(["debugfs", "-w", "-R", "clri <2>", machine.disk], check=True, capture_output=True)
    done = machine.run("mount")  # it is marked clean, so only mount finds the damage
    assert done.returncode == 1
    assert "cannot be mounted and needs manual repair" in done.stderr
    # As the kernel marks a file system after an error.
    subprocess.run(["debugfs", "-w", "-R", "set_super_value state 2", machine.disk], check=True, capture_output=True)
    done = machine.run("mount")
    assert done.returncode == 1
    assert "is damaged and needs manual repair" in done.stderr


def test_postgres_may_have_another_uid_in_another_image(machine: Machine) -> None:
    machine.ok("mount; chown -R 12345:12345 data-directory; unmount")
    assert machine.ok("mount; stat --format %U:%G data-directory/PG_VERSION").splitlines()[-1] == "postgres:postgres"


def test_grown_volume_gets_a_grown_file_system(machine: Machine) -> None:
    machine.ok(KEEP)
    os.truncate(machine.disk, 128 << 20)
    loop = next(machine.devices.iterdir()).readlink()
    subprocess.run(["losetup", "--set-capacity", loop], check=True)
    size = machine.ok("mount; df --block-size=1M --output=size data-directory").split()[-1]
    assert int(size) > 90
