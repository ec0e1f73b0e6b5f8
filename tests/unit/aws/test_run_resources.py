"""Leftovers over the wire: everything with a run's tag but what an AMI needs, in an order in which it can go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from goldenami.aws import run_resources
from goldenami.model import resources
from goldenami.model.resources import OrphanedResource
from tests.support.aws_stubs import Wire, scripted
from tests.support.clock import ScriptedClock

OURS = {"Filters": [{"Name": "tag-key", "Values": ["goldenami:run"]}]}


def tagged(run: str = "run1") -> dict[str, Any]:
    return {"Tags": [{"Key": "Name", "Value": "x"}, {"Key": "goldenami:run", "Value": run}]}


def machine(name: str, state: str, run: str = "run1") -> dict[str, Any]:
    return {"InstanceId": name, "State": {"Name": state}, **tagged(run)}


def account(wire: Wire) -> None:
    """An account with one of each, and with what must be left alone."""
    first = [machine("i-2", "running"), machine("i-gone", "terminated"), machine("i-going", "shutting-down")]
    wire.answer("ec2", "describe_instances", OURS, {"Reservations": [{"Instances": first}], "NextToken": "more"})
    more = {"Reservations": [{"Instances": [machine("i-1", "stopped", "run2")]}]}
    wire.answer("ec2", "describe_instances", {**OURS, "NextToken": "more"}, more)
    volume = {"VolumeId": "vol-1", "Size": 8, "State": "available", **tagged()}
    wire.answer("ec2", "describe_volumes", OURS, {"Volumes": [volume]})
    snapshots = [{"SnapshotId": s, "VolumeSize": 8, **tagged()} for s in ("snap-used", "snap-1")]
    wire.answer("ec2", "describe_snapshots", {"OwnerIds": ["self"], **OURS}, {"Snapshots": snapshots})
    # All of our images are looked at, tagged or not: a snapshot behind any of them stays, also one that became an AMI's just now.
    mappings = [{"Ebs": {"SnapshotId": "snap-used"}}, {"VirtualName": "ephemeral0"}, {"Ebs": {"VolumeSize": 1}}]
    images = {"Images": [{"ImageId": "ami-1", "BlockDeviceMappings": mappings}, {"ImageId": "ami-2"}]}
    wire.answer("ec2", "describe_images", {"Owners": ["self"]}, images)
    key = {"KeyPairId": "key-1", "KeyName": "packer", **tagged()}
    wire.answer("ec2", "describe_key_pairs", OURS, {"KeyPairs": [key]})
    group = {"GroupId": "sg-1", "GroupName": "goldenami-run1-builder", **tagged()}
    wire.answer("ec2", "describe_security_groups", OURS, {"SecurityGroups": [group]})


def test_everything_with_a_run_s_tag_is_found_in_the_order_of_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    # A script has an order, so the questions are asked one after the other here.
    monkeypatch.setattr(run_resources, "ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))
    with scripted() as wire:
        account(wire)
        assert run_resources.find(wire.aws) == [
            OrphanedResource("instance", "i-1", "run2", "stopped"),
            OrphanedResource("instance", "i-2", "run1", "running"),
            OrphanedResource("volume", "vol-1", "run1", "8 GiB, available"),
            OrphanedResource("snapshot", "snap-1", "run1", "8 GiB"),
            OrphanedResource("key-pair", "key-1", "run1", "packer"),
            OrphanedResource("security-group", "sg-1", "run1", "goldenami-run1-builder"),
        ]


CALLS: dict[resources.OrphanKind, tuple[str, dict[str, Any], str]] = {
    "instance": ("terminate_instances", {"InstanceIds": ["x-1"]}, "InvalidInstanceID.NotFound"),
    "volume": ("delete_volume", {"VolumeId": "x-1"}, "InvalidVolume.NotFound"),
    "snapshot": ("delete_snapshot", {"SnapshotId": "x-1"}, "InvalidSnapshot.NotFound"),
    "key-pair": ("delete_key_pair", {"KeyPairId": "x-1"}, "InvalidKeyPair.NotFound"),
    "security-group": ("delete_security_group", {"GroupId": "x-1"}, "InvalidGroup.NotFound"),
}


@pytest.mark.parametrize("kind", CALLS)
def test_each_kind_is_removed_by_its_id(kind: resources.OrphanKind) -> None:
    call, expected, _ = CALLS[kind]
    with scripted() as wire:
        wire.answer("ec2", call, expected, {})
        if kind == "instance":  # waited for: it holds its volumes and its group
            wire.answer("ec2", "describe_instances", {"InstanceIds": ["x-1"]}, {"Reservations": []})
        run_resources.remove(wire.aws, ScriptedClock(), OrphanedResource(kind, "x-1", "run1"))


@pytest.mark.parametrize("kind", CALLS)
def test_what_is_gone_already_is_fine_and_what_is_refused_is_told(kind: resources.OrphanKind) -> None:
    call, expected, gone = CALLS[kind]
    with scripted() as wire:
        wire.refuse("ec2", call, expected, gone)
        run_resources.remove(wire.aws, ScriptedClock(), OrphanedResource(kind, "x-1", "run1"))
        wire.refuse("ec2", call, expected, "UnauthorizedOperation")
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            run_resources.remove(wire.aws, ScriptedClock(), OrphanedResource(kind, "x-1", "run1"))
