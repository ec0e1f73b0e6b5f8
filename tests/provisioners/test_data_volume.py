"""The helper that mounts the volume with the data, on a real disk: what is not ours, or not whole, is left as it is."""

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
NEEDED = ("losetup", "mkfs.ext4", "unshare", "wipefs", "debugfs")


def obstacle() -> str:
    """Why no disk can be mounted here; empty when one can."""
    if os.geteuid() != 0:
        return "only root mounts"
    if missing := [tool for tool in NEEDED if not shutil.which(tool)]:
        return f"no {missing[0]}"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    free = subprocess.run(["losetup", "--find"], capture_output=True, check=False)
    return "" if tried.returncode == free.returncode == 0 else "no loop devices or mounts here"


pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle() or "-")


class Ec2:
    """A metadata service and EC2's Query API on one address, strict about signatures; one machine, some volumes.

    Attributes:
        volumes: Each volume's state and the instance that has it.
        member: Whether the machine is a member of the group.
        busy: How often the volume is seen at another instance before that one has let go of it.
    """

    def __init__(self) -> None:
        self.volumes: dict[str, tuple[str, str]] = {VOLUME: ("available", "")}
        self.member, self.user_data, self.busy = True, "", 0
        self.calls: list[str] = []
        self.refused: list[str] = []

    def __enter__(self) -> Ec2:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self.say(200, "token")

            def do_GET(self) -> None:
                name = self.path.removeprefix("/latest/")
                credentials = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": SESSION}
                answers = {
                    "user-data": fake.user_data,
                    "meta-data/instance-id": "i-1",
                    "meta-data/iam/security-credentials/": "role",
                    "meta-data/iam/security-credentials/role": json.dumps(credentials),
                }
                self.say(200 if answers.get(name) else 404, answers.get(name, ""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if wrong := unsigned(self, body):
                    fake.refused.append(wrong)
                    self.say(403, f"<Response><Message>{wrong}</Message></Response>")
                    return
                self.say(200, fake.answer({k: v[0] for k, v in parse_qs(body.decode()).items()}))

            def say(self, status: int, text: str) -> None:
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

    def answer(self, asked: dict[str, str]) -> str:
        self.calls.append(asked["Action"])
        filters = {v: asked[k.replace("Name", "Value.1")] for k, v in asked.items() if k.endswith(".Name")}
        if asked["Action"] == "DescribeInstances":
            assert filters == {"instance-id": "i-1", "tag:aws:autoscaling:groupName": "guestbook-asg"}
            return "<item><instanceId>i-1</instanceId></item>" if self.member else "<reservationSet/>"
        if asked["Action"] == "AttachVolume":
            assert (asked["VolumeId"], asked["InstanceId"], asked["Device"]) == (VOLUME, "i-1", "/dev/sdf")
            self.volumes[VOLUME] = ("attached", "i-1")
            return ""
        assert filters.pop("tag:goldenami:data") == "guestbook"
        if "status" in filters and self.busy and (found := self.volumes.get(VOLUME)) and found[1] == "i-0":
            self.busy -= 1
            if not self.busy:
                self.volumes[VOLUME] = ("available", "")
        found_ids = [
            one
            for one, (state, instance) in self.volumes.items()
            if filters.get("attachment.instance-id", instance) == instance
            and filters.get("attachment.status", state) == state
            and (filters.get("status") != "available" or state == "available")
        ]
        return "".join(f"<item>\n <volumeId>{one}</volumeId>\n</item>" for one in found_ids)


def unsigned(handler: BaseHTTPRequestHandler, body: bytes) -> str:
    """Sign the same request with botocore and compare; what is wrong, or nothing."""
    given = handler.headers.get("Authorization", "")
    if "SignedHeaders=" not in given:
        return "no signature"
    signed = given.split("SignedHeaders=")[1].split(",")[0].split(";")
    if "x-amz-security-token" not in signed:
        return f"signed only {signed}"
    headers = {name: handler.headers[name] for name in signed if name != "x-amz-date"}
    request = AWSRequest("POST", f"http://{handler.headers['Host']}{handler.path}", headers=headers, data=body)
    request.context["timestamp"] = request.headers["X-Amz-Date"] = handler.headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials(KEY, SECRET), "ec2", REGION)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return "" if f"Signature={expected}" in given else "the signature does not match"


class Machine:
    """A machine with the data directory of its image, and a disk that EC2 may attach."""

    def __init__(self, folder: Path, ec2: Ec2) -> None:
        self.folder, self.ec2 = folder, ec2
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / "PG_VERSION").write_text("15\n")
        (self.home / "of the image").touch()
        shutil.chown(self.home, "postgres", "postgres")
        self.disk = (
            Path("/dev/shm") if Path("/dev/shm").is_dir() else folder
        ) / f"goldenami-{folder.name}"  # waits for no disk
        with self.disk.open("wb") as disk:
            disk.truncate(64 << 20)
        self.devices = folder / "devices"
        self.devices.mkdir()

    def run(self, script: str = "mount; ls data-directory", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run shell commands in a view of the file system of their own, in which `mount` and `unmount` are the helper's."""
        helper = PROVISIONERS / "files/data-volume"
        text = f"set -e; mount() {{ {helper} mount; }}; unmount() {{ {helper} unmount; }}; cd {self.folder}\n{script}"
        text = text.replace("data-directory", str(self.home))
        given = {
            "PATH": os.environ["PATH"],
            "SERVICE": "guestbook",
            "GROUP": "guestbook-asg",
            "AWS_REGION": REGION,
            "FAMILY": "debian-12",
            "ARCHITECTURE": "x86_64",
            "DATA_DIRECTORY": str(self.home),
            "AWS_ENDPOINT_URL": self.ec2.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.ec2.url,
            "GOLDENAMI_RUN": str(self.folder / "run"),
            "GOLDENAMI_ETC": str(self.folder / "etc"),
            "GOLDENAMI_VOLUME": str(self.folder / "volume"),
            "GOLDENAMI_DEVICES": str(self.devices),
            "VOLUME_PATIENCE": "30",
            **environment,
        }
        return subprocess.run(
            ["unshare", "--mount", "bash", "-c", text],
            env=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ok(self, script: str = "mount; ls data-directory", **environment: str) -> str:
        done = self.run(script, **environment)
        assert done.returncode == 0, done.stderr
        assert self.ec2.refused == []
        return done.stdout

    def red(self, **environment: str) -> str:
        """What the helper says when it refuses; the disk is then as it was, and nothing is mounted over the image's data."""
        before = self.disk.read_bytes()
        done = self.run('code=0; mount || code=$?; ls data-directory; exit "$code"', **environment)
        assert done.returncode == 1, done.stdout
        assert done.stdout.splitlines()[-2:] == ["PG_VERSION", "of the image"]
        assert self.disk.read_bytes() == before, "the disk was changed"
        return done.stderr.splitlines()[-1]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Ec2() as ec2:
        found = Machine(tmp_path, ec2)
        loop = subprocess.run(
            ["losetup", "--find", "--show", str(found.disk)], capture_output=True, text=True, check=True
        ).stdout.strip()
        try:
            (found.devices / f"nvme-Amazon_Elastic_Block_Store_{VOLUME.replace('-', '')}").symlink_to(loop)
            yield found
        finally:
            subprocess.run(["losetup", "--detach", loop], check=True)
            found.disk.unlink()


KEEP = "mount; touch data-directory/row; unmount"


def test_a_new_volume_begins_with_the_images_data_and_keeps_what_is_written(machine: Machine) -> None:
    assert "making its file system" in machine.ok(KEEP)
    assert machine.ec2.calls.count("AttachVolume") == 1
    again = machine.ok("mount; stat --format %U data-directory; ls data-directory; unmount; ls data-directory")
    assert "making" not in again
    assert again.splitlines()[-6:] == ["postgres", "PG_VERSION", "of the image", "row", "PG_VERSION", "of the image"]
    assert machine.ec2.calls.count("AttachVolume") == 1, "it was there already"
    assert (machine.folder / "run").exists()
    assert not (machine.folder / "run/data-volume").exists()


def test_a_member_waits_until_the_one_before_has_let_go(machine: Machine) -> None:
    machine.ec2.volumes[VOLUME] = ("in-use", "i-0")
    machine.ec2.busy = 2
    told = machine.ok()
    assert f"Waiting for {VOLUME}, which another instance still has" in told
    machine.ec2.volumes[VOLUME], machine.ec2.busy = ("in-use", "i-0"), 0
    assert "did not become free within 1 s" in machine.red(VOLUME_PATIENCE="1")


def test_only_a_member_takes_the_volume_and_nobody_else_touches_it(machine: Machine) -> None:
    machine.ec2.member = False
    assert "the data directory of its root disk is used" in machine.ok()
    machine.ec2.member, machine.ec2.user_data = True, "#!/bin/bash\n# goldenami: temporary database\n"
    machine.ec2.calls.clear()
    assert "the data directory of its root disk is used" in machine.ok()
    assert machine.ec2.calls == []
    machine.ec2.member, machine.ec2.user_data = False, ""
    machine.ec2.volumes[VOLUME] = ("attached", "i-1")  # somebody wants it here
    assert f"{VOLUME} holds the data" in machine.ok()


def test_there_must_be_one_volume(machine: Machine) -> None:
    machine.ec2.volumes["vol-0fedcba9876543210"] = ("available", "")
    assert "there are several volumes" in machine.red()
    machine.ec2.volumes.clear()
    assert "./invoke fleet.create makes it" in machine.red()


def test_a_machine_whose_writes_were_stopped_does_not_take_it(machine: Machine) -> None:
    (machine.folder / "etc/goldenami").mkdir(parents=True)
    (machine.folder / "etc/goldenami/fenced").touch()
    assert "the writes of this machine were stopped" in machine.red()
    assert machine.ec2.calls == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"SERVICE": "other"}, "belongs to guestbook, not to other"),
        ({"FAMILY": "ubuntu-24.04"}, "was written by debian-12 on x86_64, which ubuntu-24.04 on x86_64 must not"),
        ({"ARCHITECTURE": "arm64"}, "was written by debian-12 on x86_64, which debian-12 on arm64 must not"),
        ({}, "is PostgreSQL 15's and this image has 16"),
    ],
)
def test_the_data_of_another_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], told: str
) -> None:
    machine.ok(KEEP)
    if not changes:
        (machine.home / "PG_VERSION").write_text("16\n")
    if changes.get("SERVICE"):
        answer = machine.ec2.answer
        monkeypatch.setattr(
            machine.ec2, "answer", lambda asked: answer({k: v.replace("other", "guestbook") for k, v in asked.items()})
        )
    done = machine.run("mount", **changes)
    assert done.returncode == 1
    assert told in done.stderr.splitlines()[-1]
    machine.home.joinpath("PG_VERSION").write_text("15\n")
    monkeypatch.undo()
    assert "row" in machine.ok().split()


def test_what_is_not_blank_is_never_formatted(machine: Machine) -> None:
    subprocess.run(["mkswap", "-q", machine.disk], check=True)
    assert "holds something that is not ours (swap)" in machine.red()
    for place in (0, (64 << 20) - 1):
        machine.disk.write_bytes(bytes(64 << 20))
        with machine.disk.open("r+b") as disk:
            disk.seek(place)
            disk.write(b"x")
        assert "no file system that is known" in machine.red()
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "photos", machine.disk], check=True)
    done = machine.run("mount")
    assert done.returncode == 1
    assert "holds files that are not ours" in done.stderr


def test_a_first_boot_that_was_cut_short_is_made_good(machine: Machine) -> None:
    machine.ok(KEEP)
    cut = "mount; unmount; /bin/mount devices/* volume; rm -r volume/data/row; mv volume/data volume/data.part"
    machine.ok(f"{cut}; rm volume/data.part/PG_VERSION; umount volume")
    assert machine.ok().split()[-4:] == ["PG_VERSION", "of", "the", "image"]
    machine.ok("/bin/mount devices/* volume; rm -r volume/data volume/goldenami.json; umount volume")
    assert machine.ok().split()[-4:] == ["PG_VERSION", "of", "the", "image"]


def test_a_journal_is_replayed_and_real_damage_is_left_to_people(machine: Machine) -> None:
    # The end of the view without an unmount is no crash, but a journal that wants recovery is what one leaves.
    machine.ok(KEEP)
    subprocess.run(["debugfs", "-w", "-R", "feature needs_recovery", machine.disk], check=True, capture_output=True)
    assert "row" in machine.ok("mount; ls data-directory; unmount").split()
    subprocess.run(["debugfs", "-w", "-R", "clri <2>", machine.disk], check=True, capture_output=True)
    done = machine.run("mount")  # it says of itself that it is clean: nobody looks until it is mounted
    assert done.returncode == 1
    assert "cannot be mounted, and is left to people" in done.stderr
    # What the kernel writes down once it has met an error.
    subprocess.run(["debugfs", "-w", "-R", "set_super_value state 2", machine.disk], check=True, capture_output=True)
    done = machine.run("mount")
    assert done.returncode == 1
    assert "is damaged beyond what fsck mends by itself" in done.stderr


def test_users_may_have_other_numbers_in_another_image(machine: Machine) -> None:
    machine.ok("mount; chown -R 12345:12345 data-directory; unmount")
    assert machine.ok("mount; stat --format %U:%G data-directory/PG_VERSION").splitlines()[-1] == "postgres:postgres"


def test_a_volume_that_has_grown_is_used_whole(machine: Machine) -> None:
    machine.ok(KEEP)
    os.truncate(machine.disk, 128 << 20)
    loop = next(machine.devices.iterdir()).readlink()
    subprocess.run(["losetup", "--set-capacity", loop], check=True)
    size = machine.ok("mount; df --block-size=1M --output=size data-directory").split()[-1]
    assert int(size) > 90
