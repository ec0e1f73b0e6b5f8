"""The data volume: steps that attach it from any state, blockers, requests and policies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from goldenami.aws import ebs
from goldenami.database.guard_plan import InstanceData, data_blockers as guarded
from goldenami.database.switchover_model import StorageChange
from goldenami.database.volume_plan import attach_steps, expired_snapshots, volume_blockers
from goldenami.iam.instance_role import fleet_policy
from goldenami.iam.statements import PolicyScope
from goldenami.iam.task_policies import policy
from goldenami.model.fleet import AutoScalingGroup, FleetState, LaunchTemplate, LaunchTemplateVersion
from goldenami.model.image import FAMILY, VERIFIED, Image, Platform
from goldenami.model.resources import DataVolumeState, Snapshot
from goldenami.promote.plan import plan_promotion
from goldenami.rollout.request_model import RolloutRequest
from tests.support.aws_stubs import scripted
from tests.support.clock import ScriptedClock
from tests.support.recipes import VOLUME, recipe

IMAGE = Image(
    *("ami-1", "guestbook-golden-v2.0", "available", "x86_64", "2026"),
    tags={"PostgreSQL": "15", FAMILY: "debian-12", VERIFIED: "now"},
)
THERE = DataVolumeState("vol-1", "ap-northeast-2a", 8, "available")
RUNNING = ("pending", "running", "stopping")
ENDED = ("", "shutting-down", "terminated")


@dataclass
class World:
    """EC2 with one volume; a running instance may write to it while it is mounted."""

    volume: DataVolumeState
    holder: str
    mounted: bool
    snapshots: int = 0

    def do(self, step: str, wanted: str) -> None:
        """Apply a step as EC2 does."""
        if step == "unmount":
            assert self.holder in RUNNING
            self.mounted = False
        elif step == "snapshot":
            assert not self.mounted, "a snapshot during writes"
            self.snapshots += 1
        elif step == "detach":
            assert not self.mounted, "detached while mounted"
            self.volume = replace(self.volume, attachment="detaching")
        elif step == "wait":
            assert not (self.mounted and self.holder in RUNNING), "it would never become available"
            assert self.volume.attachment in ("", "detaching", "busy") or self.holder in ENDED
            self.volume, self.holder = replace(self.volume, instance="", attachment="", state="available"), ""
        else:
            assert not self.volume.instance
            self.volume = replace(self.volume, instance=wanted, attachment="attached", state="in-use")
            self.holder = "running"


@st.composite
def worlds(draw: st.DrawFn) -> World:
    instance = draw(st.sampled_from(["", "i-old", "i-new", "i-other"]))
    if not instance:
        return World(THERE, "", mounted=False)
    attachment = draw(st.sampled_from(["attaching", "attached", "detaching", "busy"]))
    holder = draw(st.sampled_from([*RUNNING, "stopped", *ENDED]))
    mounted = holder in RUNNING and (attachment == "busy" or draw(st.booleans()))
    return World(replace(THERE, instance=instance, attachment=attachment, state="in-use"), holder, mounted)


@given(worlds(), st.booleans(), st.lists(st.integers(0, 6), max_size=4))
def test_attach_steps_attach_from_any_state_and_after_any_crash(world: World, keep: bool, kills: list[int]) -> None:
    had = world.volume.instance == "i-new" and world.volume.attachment in ("attached", "attaching")
    for number in [*kills, 99]:
        for step in attach_steps(world.volume, "i-new", world.holder, snapshot=keep)[:number]:
            world.do(step, "i-new")
    assert world.volume.instance == "i-new"
    assert world.volume.attachment in ("attached", "attaching")
    assert had or world.volume.attachment == "attached"
    assert attach_steps(world.volume, "i-new", world.holder, snapshot=keep) == ()


def test_attach_steps_snapshot_after_unmount_and_before_detach() -> None:
    held = replace(THERE, instance="i-old", attachment="attached", state="in-use")
    assert attach_steps(held, "i-new", "running", snapshot=True) == ("unmount", "snapshot", "detach", "wait", "attach")
    assert attach_steps(held, "i-new", "stopped", snapshot=True) == ("snapshot", "detach", "wait", "attach")
    assert attach_steps(held, "i-new", "terminated", snapshot=True) == ("wait", "attach")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([THERE, replace(THERE, id="vol-2")], "2 volumes have the tag goldenami:data = guestbook"),
        ([replace(THERE, zone="ap-northeast-2c")], "put ap-northeast-2c first in zones"),
        ([replace(THERE, size=9)], "cannot shrink to 8: set size_gib = 9"),
        ([replace(THERE, state="error")], "vol-1 has failed"),
        ([replace(THERE, encrypted=False)], "vol-1 is not encrypted"),
    ],
)
def test_unfit_volume_is_refused_with_a_fix(found: list[DataVolumeState], told: str) -> None:
    (reason,) = volume_blockers(recipe(VOLUME), found, "ap-northeast-2a")
    assert told in reason


def test_fitting_volume_or_none_has_no_blockers() -> None:
    for found in ([], [THERE], [replace(THERE, size=7)]):
        assert list(volume_blockers(recipe(VOLUME), found, "ap-northeast-2a")) == []


NOW = datetime(2026, 11, 24, tzinfo=UTC)


@given(st.lists(st.integers(0, 100), max_size=8), st.integers(1, 50))
def test_newest_snapshot_never_expires(ages: list[int], keep_days: int) -> None:
    found = [Snapshot(f"snap-{number}", NOW - timedelta(days=age)) for number, age in enumerate(ages)]
    gone = expired_snapshots(found, NOW, keep_days)
    assert len(gone) == len(set(gone))
    left = [one for one in found if one.id not in gone]
    assert len(left) >= min(1, len(found))
    assert all(NOW - one.started > timedelta(days=keep_days) for one in found if one.id in gone)
    assert sum(NOW - one.started > timedelta(days=keep_days) for one in left) <= 1


ON_VOLUME = InstanceData("i-1", server_running=True, rows=9, databases=1, major=15, volume="vol-1")


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (replace(ON_VOLUME, major=16), "is from PostgreSQL 16 and the image has 15"),
        (replace(ON_VOLUME, major=14, server_running=False, rows=0), "is from PostgreSQL 14 and the image has 15"),
        (replace(ON_VOLUME, volume=""), "./invoke db.migrate --to volume"),
        (InstanceData("i-1", reachable=False, reason="no agent"), "cannot inspect the data of i-1: no agent"),
    ],
)
def test_replacement_without_the_data_is_refused(kept: InstanceData, told: str) -> None:
    (reason,) = guarded(recipe(VOLUME), [kept], IMAGE)
    assert told in reason


def test_compatible_volume_is_accepted_without_a_running_server() -> None:
    for kept in (ON_VOLUME, replace(ON_VOLUME, server_running=False, rows=0), InstanceData("i-1")):
        assert list(guarded(recipe(VOLUME), [kept], IMAGE)) == []


@pytest.mark.parametrize(
    ("family", "architecture", "refused"),
    [
        ("debian-12", "x86_64", False),
        ("", "", False),
        ("", "x86_64", False),
        ("ubuntu-24.04", "x86_64", True),
        ("debian-12", "arm64", True),
        ("", "arm64", True),
    ],
)
def test_data_of_another_platform_is_refused(family: str, architecture: str, refused: bool) -> None:
    kept = replace(ON_VOLUME, family=family, architecture=architecture)
    reasons = list(guarded(recipe(VOLUME), [kept], IMAGE))
    assert bool(reasons) == refused
    assert all("cannot use: bake an image for" in reason for reason in reasons)
    assert list(guarded(recipe(VOLUME), [kept])) == [], "nothing replaces it"
    unknown = replace(IMAGE, tags={"PostgreSQL": "15"})
    assert bool(list(guarded(recipe(VOLUME), [kept], unknown))) == (architecture == "arm64"), "an old image has no tag"
    assert list(guarded(recipe(), [replace(kept, volume="")], IMAGE)) == [], "the data is transferred by backup"

    versions = {1: LaunchTemplateVersion(1, {"ImageId": "ami-0"})}
    fleet_state = FleetState(LaunchTemplate("lt-1", "t", 1, 1, versions), AutoScalingGroup("g", "lt-1", "1", 1, 1, 1))
    request_for = RolloutRequest(
        "ami-1",
        IMAGE,
        {"ImageId": "ami-1"},
        storage_mode="volume",
        transfers_data=True,
        current_platform=Platform(family, architecture),
    )
    assert any("was written by" in reason for reason in plan_promotion(request_for, fleet_state).blockers) == refused
    moving = replace(request_for, storage_change=StorageChange("volume", "instance"))
    for other in (moving, replace(request_for, storage_mode="instance"), replace(request_for, current_platform=None)):
        assert not any("was written by" in reason for reason in plan_promotion(other, fleet_state).blockers)


def test_ebs_requests() -> None:
    ours = {"Filters": [{"Name": "tag:goldenami:data", "Values": ["book"]}]}
    told = {"VolumeId": "vol-1", "AvailabilityZone": "ap-northeast-2a", "Size": 8, "State": "in-use", "Encrypted": True}
    at = {"InstanceId": "i-1", "State": "attached", "Device": "/dev/sdf"}
    with scripted() as wire:
        gone = {**told, "VolumeId": "vol-0", "State": "deleting"}
        wire.answer("ec2", "describe_volumes", ours, {"Volumes": [{**told, "Attachments": [at]}, gone]})
        (found,) = ebs.list_volumes(wire.aws, "book")
        assert found == DataVolumeState("vol-1", "ap-northeast-2a", 8, "in-use", "i-1", "attached")
        request = {
            "AvailabilityZone": "ap-northeast-2a",
            "Size": 8,
            "VolumeType": "gp3",
            "Encrypted": True,
            "KmsKeyId": "alias/golden",
            "TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "goldenami:data", "Value": "book"}]}],
            "ClientToken": "run-data",
        }
        wire.answer("ec2", "create_volume", request, {"VolumeId": "vol-1"})
        tags = {"goldenami:data": "book"}
        made = ebs.create(wire.aws, "ap-northeast-2a", 8, "gp3", "alias/golden", tags, "run-data")
        assert made == "vol-1"
        # The reply to the first request was lost: it is attached where it should be.
        wanted = {"VolumeId": "vol-1", "InstanceId": "i-1", "Device": "/dev/sdf"}
        wire.refuse("ec2", "attach_volume", wanted, "VolumeInUse")
        for state in ("attaching", "attaching", "attached"):
            answer = {"Volumes": [{**told, "Attachments": [{**at, "State": state}]}]}
            wire.answer("ec2", "describe_volumes", {"VolumeIds": ["vol-1"]}, answer)
        ebs.attach(wire.aws, ScriptedClock(), "vol-1", "i-1")
        wire.refuse("ec2", "detach_volume", {"VolumeId": "vol-1", "InstanceId": "i-1"}, "IncorrectState")
        ebs.detach(wire.aws, "vol-1", "i-1")


def test_policies_never_delete_the_volume_and_attach_only_its_own() -> None:
    place = PolicyScope(
        "ap-northeast-2", "123456789012", recipe({**VOLUME, "targets.local.kms_key_id": "alias/golden"})
    )
    for task in ("promote", "fleet.create", "fleet.destroy", "deploy", "terminate"):
        found = policy(task, place)["Statement"]
        assert "ec2:DeleteVolume" not in {action for s in found for action in s["Action"]}
        assert len({s["Sid"] for s in found}) == len(found)
    for task in ("terminate", "db.restore"):
        assert "SelfHealing" in {s["Sid"] for s in policy(task, place)["Statement"]}
    assert {"CreateVolume", "MoveVolume", "Encrypt"} <= {s["Sid"] for s in policy("promote", place)["Statement"]}
    role = fleet_policy(
        "ap-northeast-2", "123456789012", "guestbook", [], run_command=True, volume=True, key="alias/golden"
    )
    attach = [s for s in role["Statement"] if "ec2:AttachVolume" in s["Action"]]
    assert [s["Condition"]["StringEquals"] for s in attach] == [
        {"aws:ResourceTag/goldenami:data": "guestbook"},
        {"aws:ResourceTag/goldenami:fleet": "guestbook"},
    ]
    assert not any("Detach" in action or "Delete" in action for s in role["Statement"] for action in s["Action"])
