"""Data on a volume: promotions killed after any call, and instances terminated meanwhile.

Machines are in memory; they do what the data script does.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import re
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from goldenami.aws import ebs, s3 as aws_s3
from goldenami.context import Context
from goldenami.database import agent, backup, freeze, restore as database_restore, transfer
from goldenami.database.switchover_model import StorageChange
from goldenami.errors import GateError
from goldenami.fleet import describe
from goldenami.model.names import prefix
from goldenami.promote import model as promote_model, rollback
from goldenami.recipe.recipe import Recipe
from goldenami.rollout import monitor, plan as rollout_plan
from goldenami.tools import host
from goldenami.tools.clock import SystemClock
from goldenami.tools.progress import Progress
from localcloud.elbv2.target_health import TargetHealthStore
from localcloud.storage import disks
from tests.e2e.cases import few
from tests.integration.promote.test_promote import Killed, Wire, Yard, pytestmark as promotions
from tests.support.cloud_fleet import PORT, FleetCloud
from tests.support.cloud_server import client, eventually
from tests.support.memory_machines import MemoryDriver, MemoryMachine, grow
from tests.support.recipes import VOLUME, recipe

pytestmark = promotions

GROUP = "guestbook-asg"


class Door(socketserver.ThreadingTCPServer):
    """The service of one machine: /health, and /add/N, which keeps a row."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, machine: Machine) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                status = 500 if machine.sick or "sick" in machine.serves else 200
                if self.path.startswith("/add/"):
                    with machine.driver.lock:
                        writable = machine.door is not None and machine.id not in machine.driver.read_only
                        status = 200 if writable else 503  # its writes may stop at this moment
                        if status == 200:
                            machine.rows.append(int(self.path[5:]))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        super().__init__((machine.spec.address, PORT), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


class Machine(MemoryMachine):
    """A machine with a database: what it does at boot, and when it is asked to look after its rows."""

    driver: Driver
    door: Door | None = None
    sick = False
    major = 15
    arrived = ""  # the backup that it has put in the place of its rows

    @property
    def id(self) -> str:
        return self.spec.instance_id

    @property
    def rows(self) -> list[int]:
        return self.driver.kept.setdefault(next(iter(self.mounted), self.id), [])

    @property
    def trusted(self) -> bool:
        """Whether it has the rows that count, rather than an empty database."""
        return bool(self.mounted)

    @property
    def answers(self) -> bool:
        return self.door is not None and not self.sick

    @property
    def answers_read_only(self) -> bool:
        """Whether its service starts on a database that refuses writes."""
        return "writes" not in self.serves

    def start(self) -> None:
        super().start()
        with self.spec.disk.open("rb") as disk:
            self.serves = disk.read(40).split(b"\0")[0].decode().strip()
        if self.serves:
            threading.Thread(target=self.boot, daemon=True).start()

    def boot(self) -> None:
        """As provisioners/files/data-volume does it."""
        if self.id in self.driver.fenced:
            return
        member = bool(self.mine("instance", **{"instance-id": self.id, "tag:aws:autoscaling:groupName": GROUP}))
        while self.on and member and not self.volumes:
            for one in self.mine("volume", **{"tag:goldenami:data": "guestbook", "status": "available"}):
                with contextlib.suppress(Exception):
                    self.driver.ec2().attach_volume(VolumeId=one, InstanceId=self.id, Device="/dev/sdf")
            time.sleep(0.05)
        if self.on:
            self.mounted = set(self.volumes)
            self.open()

    def mine(self, kind: str, **asked: str) -> list[str]:
        filters = [{"Name": name, "Values": [value]} for name, value in asked.items()]
        if kind == "volume":
            return [v["VolumeId"] for v in self.driver.ec2().describe_volumes(Filters=filters)["Volumes"]]
        found = self.driver.ec2().describe_instances(Filters=filters)["Reservations"]
        return [i["InstanceId"] for r in found for i in r["Instances"]]

    def open(self) -> None:
        if self.door is None and "mute" not in self.serves:
            self.door = Door(self)
        if "late" in self.serves and self.trusted:
            threading.Timer(1.5, lambda: setattr(self, "sick", True)).start()

    def close(self) -> None:
        with self.driver.lock:
            door, self.door = self.door, None
        if door:
            door.shutdown()
            door.server_close()

    def stop(self, timeout: float) -> None:
        super().stop(timeout)
        self.close()
        self.mounted = set()

    def kill(self) -> None:
        super().kill()
        self.close()
        self.mounted = set()

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        found = re.search(rb"^action=([\w-]+)$", stdin, re.MULTILINE)
        if not found:
            return 0, b"0\n", b""  # no errors in its journal
        action = found[1].decode()
        self.driver.asked.append(f"{action} {self.id}")
        told: dict[str, object] = {}
        if action == "inspect":
            told = {"server_running": True, "rows": len(self.rows), "bytes": 1, "major": self.major, "databases": 1}
            told |= {"fenced_by": "", "volume": next(iter(self.mounted), ""), "storage_mode": "volume"}
            told |= {"family": "debian-12", "architecture": "x86_64"}
        elif action == "unmount":
            self.driver.fenced.add(self.id)
            self.close()
            self.mounted = set()
        elif action == "mount":
            if not self.volumes:
                return 1, b"", b"ERROR there is no volume here"
            if "refuses" in self.serves:
                return 1, b"", b"ERROR the data on it is PostgreSQL 15's and this image has 16"
            self.mounted = set(self.volumes)
        elif action in ("resume", "open-writes"):
            self.driver.fenced.discard(self.id)
            self.driver.read_only.discard(self.id)
            self.open()
        elif action == "read-only":
            with self.driver.lock:
                self.driver.fenced.add(self.id)
                self.driver.read_only.add(self.id)
            told = {"serving": self.answers, "unavailable": 0.1}
            if not self.answers:
                self.close()
        elif action == "serve-read-only":
            self.driver.fenced.discard(self.id)
            if self.answers_read_only:
                self.driver.read_only.add(self.id)
                self.open()
            told = {"serving": self.answers_read_only}
        elif action in ("stop-writes", "stop-service"):
            self.driver.fenced.add(self.id)
            self.close()
        elif action in ("backup", "restore", "verify-restore", "swap-in"):
            if wrong := self.vault(action, stdin.decode()):
                return 1, b"", f"ERROR {wrong}".encode()
        else:
            return 1, b"", f"ERROR {action} is not for a volume".encode()
        return 0, f"RESULT {json.dumps(told)}\n".encode(), b""

    @staticmethod
    def place(script: str) -> dict[str, str]:
        """Where in the bucket."""
        found = {
            name: re.search(rf"^{name}='?([^'\n]*)", script, re.MULTILINE) for name in ("bucket", "prefix", "result")
        }
        return {name: one[1] for name, one in found.items() if one}

    def vault(self, action: str, script: str) -> str:
        """Rows to the bucket and back, beside those that are there until they are adopted; why not, or empty."""
        bucket, prefix, result = self.place(script).values()
        s3, place = client(self.driver.endpoint, "s3"), next(iter(self.mounted), self.id)

        def put(name: str, body: str) -> str:
            s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body.encode())
            return hashlib.sha256(body.encode()).hexdigest()

        def seen(rows: list[int]) -> dict[str, Any]:
            tables = {"public.entries": [len(rows), hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()]}
            return {"tables": tables, "sequences": {}, "extensions": {}, "roles": [], "large_objects": 0}

        if action == "backup":
            dump = json.dumps(self.rows)
            told = {"service": "guestbook", "database": "guestbook", "owner": "guestbook", "major": self.major}
            told |= {"mode": "volume", "commit": "", "size": len(dump), "writes_stopped": self.door is None}
            told |= {"sha256": {"dump": put("dump", dump), "roles": put("roles.sql", "")}}
            put("metadata.json", json.dumps({**told, "fingerprint": seen(json.loads(dump))}))
        elif action == "restore":
            incoming = json.loads(s3.get_object(Bucket=bucket, Key=f"{prefix}/dump")["Body"].read())
            self.driver.incoming[place] = incoming
            put(result, json.dumps(seen(incoming)))
        elif action == "verify-restore":
            rows = json.loads(s3.get_object(Bucket=bucket, Key=f"{prefix}/dump")["Body"].read())
            put(result, json.dumps(seen(rows[1:] if "forgets" in self.serves else rows)))
        elif place in self.driver.incoming:
            self.driver.kept[place], self.arrived = self.driver.incoming.pop(place), prefix
        elif self.arrived != prefix:
            return "there is no restored database to swap in"
        return ""


class Driver(MemoryDriver):
    """Machines that outlive nothing; the rows on volumes and disks, which do, are kept here."""

    endpoint: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, list[int]] = {}
        self.fenced: set[str] = set()
        self.read_only: set[str] = set()
        self.incoming: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def machine(self, spec: Any) -> Machine:
        self.machines.append(Machine(spec, self))
        return self.machines[-1]  # type: ignore[return-value]

    def ec2(self) -> Any:
        return client(self.endpoint, "ec2")


class Hurried(SystemClock):
    """Looks again sooner."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 8)


class Harbour(FleetCloud):
    driver_type = Driver

    def start(self) -> None:
        super().start()
        Driver.endpoint = self.server.endpoint


class Quay(Yard):
    """A fleet of one whose rows are on a volume."""

    def wanted(self) -> Recipe:
        return recipe(VOLUME)

    def recipe(self, _traffic: tuple[int, ...] = ()) -> Recipe:
        found = self.wanted()
        quick = {"instance_warmup": 1, "health_check_grace_period": 4, "deregistration_delay": 1}
        return found.model_copy(
            update={
                "fleet": found.fleet.model_copy(update=quick),
                "promote": found.promote.model_copy(update={"watch_seconds": 1}),
            }
        )

    def ctx(self, _traffic: tuple[int, ...] = ()) -> Context:
        found, clock = super().ctx(), Hurried()
        return replace(found, clock=clock, progress=Progress(clock, io.StringIO()))

    @property
    def driver(self) -> Driver:
        found: Driver = self.town.driver
        return found

    def machine(self) -> Machine:
        """The one that serves."""
        (member,) = self.fleet_state().group.members
        return self.driver.launched(member.id)[-1]  # type: ignore[return-value]

    def serves(self, ami: str) -> None:
        """One instance of this image serves from the volume; nothing is left of a switchover, nobody else runs."""
        eventually(lambda: [m.serving for m in self.fleet_state().group.members] == [True], 20)
        self.at_rest(ami)
        ctx = self.ctx()
        (found,) = ebs.list_volumes(ctx.aws, "guestbook")
        machine = self.machine()
        assert (found.instance, found.attachment) == (machine.id, "attached")
        assert machine.mounted == {found.id}
        assert transfer.load(ctx) is None
        group = self.fleet_state().group
        assert (group.min, group.max, group.desired, group.suspended) == (1, 1, 1, ())
        assert self.standing() == [machine.id]

    def standing(self) -> list[str]:
        """Every instance of the fleet that has not ended."""
        running = self.town.ec2.describe_instances(
            Filters=[
                {"Name": "tag:goldenami:fleet", "Values": ["guestbook"]},
                {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
            ]
        )
        return [i["InstanceId"] for r in running["Reservations"] for i in r["Instances"]]


class Writer:
    """Rows through the balancer without a pause; at the end each that was acknowledged is on the volume, once."""

    def __init__(self, quay: Quay) -> None:
        self.quay, self.acknowledged = quay, list[int]()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _write(self) -> None:
        number = time.time_ns()
        while not self._ended.wait(0.02):
            number += 1
            connection = http.client.HTTPConnection(self.quay.town.address, 80, timeout=5)
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", f"/add/{number}")
                if connection.getresponse().status == 200:
                    self.acknowledged.append(number)
            connection.close()

    def check(self) -> None:
        (found,) = ebs.list_volumes(self.quay.ctx().aws, "guestbook")
        kept = Counter(self.quay.driver.kept[found.id])
        assert self.acknowledged
        assert [number for number in self.acknowledged if kept[number] != 1] == []


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Everything looks sooner than it would."""
    due = TargetHealthStore.is_due

    def sooner(self: TargetHealthStore, group: Any, target_id: str, now: float) -> bool:
        found, probed = due(self, group, target_id, now), self._probed[(group.arn, target_id)]
        probed.next_at = min(probed.next_at, now + 0.2)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disks, "grow", grow)
        patch.setattr("localcloud.core.periodic.SECONDS", 0.05)
        patch.setattr(TargetHealthStore, "is_due", sooner)
        patch.setattr(monitor, "POLL_INTERVAL", 0.2)
        patch.setattr(monitor, "TICK", 0.1)
        patch.setattr(rollout_plan, "min_healthy_time", lambda wanted: 30.0)
        patch.setattr(host, "is_alive", lambda process: False)  # a killed one is this one
        yield


Fleet = TypeVar("Fleet")


@contextlib.contextmanager
def shared_fleet(
    root: Path, cloud_type: Callable[[Path], Any], fleet_type: Callable[[Any, Path], Fleet]
) -> Iterator[Fleet]:
    """A fleet with a cloud of its own below a folder, for all tests of a module; each leaves it in service and idle."""
    (root / "checkout").mkdir()
    with hurried():
        cloud = cloud_type(root)
        yield fleet_type(cloud, root / "checkout")
        cloud.server.stop()


@pytest.fixture(scope="module")
def quay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quay]:
    with shared_fleet(tmp_path_factory.mktemp("quay"), Harbour, Quay) as fleet:
        yield fleet


class Told(Wire):
    """A wire whose calls say what they are about: which command is sent, which step is written down."""

    def __init__(self, aws: Any) -> None:
        self.about = ""
        super().__init__(aws)
        aws.client("ssm").meta.events.register("provide-client-params.ssm.*", self._ask)

    def _ask(self, params: Any, model: Any, **_: Any) -> None:
        text = json.dumps(params)
        found = re.search(r"\baction=([\w-]+)", text) if model.name == "SendCommand" else None
        step = re.search(r'\\"step\\": \\"(\w+)', text) if "/switchover" in text else None
        self.about = found[1] if found else step[1] if step else "switchover" if "/switchover" in text else ""
        if "/write-freeze" in text:
            self.about = "swapping-in" if '\\"swapping_in\\": true' in text else "write-freeze"

    def _after(self, model: Any, **more: Any) -> None:
        if model.name == "SendCommand":
            about, self.about = self.about, ""
            if about in ("", "inspect"):
                return
            self.note(f"SendCommand {about}")
        elif model.name in ("PutParameter", "DeleteParameter") and self.about:
            self.note(f"{model.name} {self.about}")
        else:
            super()._after(model, **more)

    def note(self, name: str) -> None:
        self.calls.append(name)
        if self._end == (name, self.calls.count(name)):
            self._dead = True
            raise Killed


def killed(quay: Quay, ami: str, name: str) -> None:
    ended(quay, name, lambda ctx: quay.promote(ami, ctx))


def ended(quay: Quay, name: str, what: Callable[[Context], object]) -> None:
    """Something that ends with the reply to the first call of this name."""
    ctx = quay.ctx()
    wire = Told(ctx.aws)
    wire.end_after(name, 1)
    with pytest.raises(Killed):
        what(ctx)
    assert wire.calls[-1] == name


def back(quay: Quay) -> str:
    ctx, options = quay.ctx(), promote_model.RollbackOptions()
    return rollback.rollback(ctx, rollback.preflight(ctx, options), options).image.id


def end(quay: Quay, instance: str) -> None:
    quay.town.ec2.terminate_instances(InstanceIds=[instance])
    eventually(lambda: quay.town.instance(instance)["State"]["Name"] == "terminated")


CALLS = (
    *("PutParameter launching", "RunInstances", "SuspendProcesses", "PutParameter moving", "SendCommand unmount"),
    *(
        "CreateSnapshot",
        "DetachVolume",
        "AttachVolume",
        "SendCommand mount",
        "SendCommand resume",
        "PutParameter opened",
    ),
    *("UpdateAutoScalingGroup", "AttachInstances", "DetachInstances", "ResumeProcesses", "TerminateInstances"),
    *("DeleteParameter switchover", "ModifyLaunchTemplate"),
)


def test_promote_and_rollback_move_the_volume(quay: Quay) -> None:
    before, image, ctx = quay.running(), quay.image("good"), quay.ctx()
    wire = Told(ctx.aws)
    with Writer(quay) as writer:
        quay.promote(image, ctx)
        quay.serves(image)
        assert back(quay) == before
    quay.serves(before)
    writer.check()
    assert [name for name in CALLS if name not in wire.calls] == [], "each call that a test kills after is one"
    assert not any(asked.startswith(("backup", "restore", "swap-in")) for asked in quay.driver.asked)


@pytest.mark.parametrize("name", few(CALLS, "AttachVolume"))
def test_promote_killed_after_any_call_resumes(quay: Quay, name: str) -> None:
    image = quay.image("good")
    with Writer(quay) as writer:
        killed(quay, image, name)
        quay.promote(image)
    quay.serves(image)
    writer.check()


MOVED = CALLS[3:16]


@pytest.mark.parametrize("name", few(MOVED, "DetachVolume"))
def test_promote_killed_after_any_call_rolls_back(quay: Quay, name: str) -> None:
    before, image = quay.running(), quay.image("good")
    with Writer(quay) as writer:
        killed(quay, image, name)
        assert back(quay) == before
    quay.serves(before)
    writer.check()


@pytest.mark.parametrize("name", few(MOVED, "DetachVolume"))
@pytest.mark.parametrize("who", few(["old", "new", "both"], "old"))
def test_instance_terminated_during_the_volume_move_loses_no_row(quay: Quay, name: str, who: str) -> None:
    image, old = quay.image("good"), quay.machine().id
    with Writer(quay) as writer:
        killed(quay, image, name)
        switchover = transfer.load(quay.ctx())
        assert switchover is not None
        for instance in {"old": [old], "new": [switchover.target], "both": [old, switchover.target]}[who]:
            end(quay, instance)
        quay.promote(image)
    quay.serves(image)
    writer.check()


def test_target_terminated_after_the_change_to_volume_is_replaced(quay: Quay) -> None:
    image, ctx = quay.image("good"), quay.ctx()
    with Writer(quay) as writer:
        killed(quay, image, "PutParameter opened")
        switchover = transfer.load(ctx)
        assert switchover is not None
        # As a migration writes it down, whose old instance has no volume to take back.
        transfer.save(ctx, replace(switchover, method="backup", storage_change=StorageChange("volume", "instance")))
        end(quay, switchover.target)
        quay.promote(image)
    quay.serves(image)
    assert quay.machine().id not in (switchover.source, switchover.target)
    writer.check()


@pytest.mark.parametrize("ill", few(["sick", "mute", "late", "refuses"], "late"))
def test_bad_image_loses_no_row(quay: Quay, ill: str) -> None:
    before, bad = quay.running(), quay.image(f"bad {ill}")
    with Writer(quay) as writer, pytest.raises(GateError) as caught:
        quay.promote(bad, watch=4)
    assert "The previous instance is in service with all data" in str(caught.value.state)
    quay.serves(before)
    writer.check()


def test_terminated_instance_is_replaced_by_its_group(quay: Quay) -> None:
    before, old = quay.running(), quay.machine().id
    with Writer(quay) as writer:
        time.sleep(0.3)
        end(quay, old)
        eventually(lambda: [m.id != old and m.serving for m in quay.fleet_state().group.members] == [True], 20)
        after = len(writer.acknowledged)
        eventually(lambda: len(writer.acknowledged) > after)
    quay.serves(before)
    writer.check()


def test_other_major_version_is_refused_before_any_change(quay: Quay) -> None:
    before, image = quay.running(), quay.image("good")
    quay.town.ec2.create_tags(Resources=[image], Tags=[{"Key": "PostgreSQL", "Value": "16"}])
    asked = len(quay.driver.asked)
    with pytest.raises(GateError, match="is from PostgreSQL 15 and the image has 16"):
        quay.promote(image)
    assert {told.split()[0] for told in quay.driver.asked[asked:]} <= {"inspect"}
    quay.serves(before)


def test_image_of_another_distribution_is_refused_before_any_change(quay: Quay) -> None:
    before, image, asked = quay.running(), quay.image("good"), len(quay.driver.asked)
    for ami, family in ((image, "ubuntu-24.04"), (before, "debian-12")):
        quay.town.ec2.create_tags(Resources=[ami], Tags=[{"Key": "goldenami:family", "Value": family}])
    with pytest.raises(GateError, match=r"was written by debian-12 on x86_64, which ubuntu-24\.04 on x86_64"):
        quay.promote(image)
    assert quay.driver.asked[asked:] == []
    # One that was baked before there was such a tag: the volume says what has written to it.
    quay.town.ec2.delete_tags(Resources=[before], Tags=[{"Key": "goldenami:family"}])
    with pytest.raises(GateError, match=r"was written by debian-12 on x86_64, which ubuntu-24\.04 on x86_64"):
        quay.promote(image)
    assert {told.split()[0] for told in quay.driver.asked[asked:]} <= {"inspect"}
    quay.serves(before)


def test_instance_with_data_on_its_root_disk_is_not_replaced(quay: Quay) -> None:
    before, image, machine = quay.running(), quay.image("good"), quay.machine()
    mounted, machine.mounted = machine.mounted, set()
    with pytest.raises(GateError, match="has its database on its root disk"):
        quay.promote(image)
    machine.mounted = mounted
    quay.serves(before)


RESTORED = (
    *(
        "PutParameter write-freeze",
        "SuspendProcesses",
        "SendCommand stop-writes",
        "SendCommand backup",
        "SendCommand restore",
    ),
    *(
        "PutParameter swapping-in",
        "SendCommand swap-in",
        "SendCommand resume",
        "ResumeProcesses",
        "DeleteParameter write-freeze",
    ),
)


def kept(quay: Quay) -> str:
    """A backup of what is there, and some rows since."""
    made = database_restore.back_up(quay.ctx(), "", "", own=False, why="")
    with Writer(quay) as later:
        eventually(lambda: len(later.acknowledged) > 3)
    return made.id


def restore(ctx: Context, identity: str) -> None:
    database_restore.restore(ctx, identity, "", "", replace=True)


def saved(quay: Quay) -> set[int]:
    """Every row of every backup."""
    ctx, s3 = quay.ctx(), client(quay.driver.endpoint, "s3")
    places = [(agent.backup_bucket(ctx), f"{prefix(ctx.name, one.id)}/dump") for one in backup.list_backups(ctx)]
    return {row for b, key in places for row in json.loads(s3.get_object(Bucket=b, Key=key)["Body"].read())}


def test_restore_replaces_the_data_with_a_backup(quay: Quay) -> None:
    identity, ctx, image = kept(quay), quay.ctx(), quay.running()
    wire = Told(ctx.aws)
    restore(ctx, identity)
    assert [name for name in RESTORED if name not in wire.calls] == [], "each call that a test kills after is one"
    quay.serves(image)
    (found,) = ebs.list_volumes(ctx.aws, "guestbook")
    text = aws_s3.get(ctx.aws, agent.backup_bucket(ctx), f"{prefix('guestbook', identity)}/dump")
    assert quay.driver.kept[found.id] == json.loads(text or "")


@pytest.mark.parametrize("name", few(RESTORED, "SendCommand restore"))
def test_killed_restore_is_completed_by_the_same_command(quay: Quay, name: str) -> None:
    identity, image = kept(quay), quay.running()
    with Writer(quay) as writer:
        ended(quay, name, lambda ctx: restore(ctx, identity))
        told = describe.fleet_status(quay.ctx()).assessment.under_way
        assert ("writes are stopped on" in " ".join(told)) == (name != "DeleteParameter write-freeze")
        restore(quay.ctx(), identity)
        after = len(writer.acknowledged)
        eventually(lambda: len(writer.acknowledged) > after)
    quay.serves(image)
    assert freeze.load(quay.ctx()) is None
    ctx = quay.ctx()
    there = set(quay.driver.kept[ebs.list_volumes(ctx.aws, "guestbook")[0].id])
    before = aws_s3.get(ctx.aws, agent.backup_bucket(ctx), f"{prefix('guestbook', identity)}/dump")
    assert set(json.loads(before or "")) <= there
    assert set(writer.acknowledged) <= there | saved(quay), "what it replaces is in a backup"


@pytest.mark.parametrize("name", few(RESTORED[1:-1], "SendCommand swap-in"))
def test_next_operation_after_killed_restore_resumes_writes(quay: Quay, name: str) -> None:
    identity, image = kept(quay), quay.image("good")
    with Writer(quay) as writer:
        ended(quay, name, lambda ctx: restore(ctx, identity))
        before = len(writer.acknowledged)
        quay.promote(image)
        assert len(writer.acknowledged) > before
    quay.serves(image)
    assert freeze.load(quay.ctx()) is None
    there = set(quay.driver.kept[ebs.list_volumes(quay.ctx().aws, "guestbook")[0].id])
    assert set(writer.acknowledged) <= there | saved(quay)


def test_instance_terminated_after_killed_restore_is_replaced_with_the_previous_data(quay: Quay) -> None:
    identity, image, old = kept(quay), quay.running(), quay.machine().id
    rows = len(quay.machine().rows)
    ended(quay, "SendCommand restore", lambda ctx: restore(ctx, identity))
    end(quay, old)
    restore(quay.ctx(), identity)
    quay.serves(image)
    assert len(quay.machine().rows) < rows
