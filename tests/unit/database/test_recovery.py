"""The backup bucket and its backups; recovery from interrupted switchovers; changes of the storage mode."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from moto.ec2.models import ec2_backends
from moto.ec2.utils import filter_dict_attribute_mapping

from goldenami.aws import auto_scaling as aws_auto_scaling, parameters, s3 as aws_s3
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.database import agent, backup, relocate, switchover_end, transfer, volume
from goldenami.database.backup_model import MANIFEST, Manifest, dump_manifest
from goldenami.database.switchover_model import StorageChange, Switchover
from goldenami.errors import GateError, UsageError
from goldenami.infra import auto_scaling as infra_auto_scaling
from goldenami.infra.network import Network
from goldenami.model.fleet import SUSPENDED_WHILE_REPLACING
from goldenami.model.names import prefix
from goldenami.tools.progress import Progress
from tests.support.clock import ScriptedClock
from tests.support.recipes import RDS, recipe
from tests.unit.database import test_backup

BUCKET = "goldenami-guestbook-123456789012-ap-northeast-2"
DUMP, ROLES = b"PGDMP and so on", b"CREATE ROLE guestbook;"


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    with mock_aws():
        clock = ScriptedClock()
        aws = AwsSession("ap-northeast-2", keys=("test", "test"))
        # moto runs no command: each succeeds, as the data script would.
        aws.client("ssm").meta.events.register("after-call.ssm.GetCommandInvocation", succeed)
        yield Context(tmp_path, recipe(), recipe().target("local"), aws, clock, Progress(clock))


def succeed(parsed: dict[str, object], **_: object) -> None:
    parsed |= {"StandardOutputContent": 'RESULT {"server_running": true}\n', "ResponseCode": 0}


def keep(ctx: Context, identity: str = "20251002-030405-0abcde", **changes: str) -> Manifest:
    """Write a backup to the bucket, as `take_backup` does."""
    agent.ensure_backup_bucket(ctx)
    digests = {"dump": hashlib.sha256(DUMP).hexdigest(), "roles": hashlib.sha256(ROLES).hexdigest()}
    manifest = replace(test_backup.MANIFEST, id=identity, sha256=digests, size=len(DUMP), **changes)  # type: ignore[arg-type]
    for name, body in (
        ("dump", DUMP),
        ("roles.sql", ROLES),
        ("metadata.json", b"{}"),
        (MANIFEST, dump_manifest(manifest).encode()),
    ):
        ctx.aws.client("s3").put_object(Bucket=BUCKET, Key=f"{prefix('guestbook', identity)}/{name}", Body=body)
    return manifest


def test_backup_bucket_is_private_encrypted_versioned_and_expires_backups(ctx: Context) -> None:
    assert agent.ensure_backup_bucket(ctx) == BUCKET
    assert agent.ensure_backup_bucket(ctx) == BUCKET, "idempotent"
    s3 = ctx.aws.client("s3")
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (life,) = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert life["Expiration"]["Days"] == life["NoncurrentVersionExpiration"]["NoncurrentDays"] == 35
    assert life["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 1
    assert life["Filter"] == {"Prefix": "guestbook/backups/"}
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == "ap-northeast-2"


def test_bucket_that_exists_keeps_its_settings_and_its_own_rules(ctx: Context) -> None:
    s3 = ctx.aws.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"})
    logs: Any = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 400}}
    earlier = {**logs, "ID": "goldenami-backups", "Filter": {"Prefix": ""}}  # expired what others keep in the bucket
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [logs, earlier]})
    kms: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=kms)
    agent.ensure_backup_bucket(ctx)
    kept, own = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert (kept["ID"], kept["Expiration"]["Days"]) == ("logs", 400)
    assert own["Filter"] == {"Prefix": "guestbook/backups/"}
    (rule,) = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)


def test_every_s3_call_names_the_account(ctx: Context) -> None:
    named: list[tuple[str, str]] = []
    s3 = ctx.aws.client("s3")
    s3.meta.events.register("before-call.s3", lambda model, params, **_: named.append((model.name, owner(params))))
    manifest = keep(ctx)
    backup.verify_backup(ctx, manifest)
    backup.list_backups(ctx)
    aws_s3.abort_unfinished(ctx.aws, BUCKET, "key")
    assert {name for name, account in named if account != "123456789012"} == {"CreateBucket"}


def owner(params: dict[str, Any]) -> str:
    return str(params["headers"].get("x-amz-expected-bucket-owner", ""))


def test_backup_without_manifest_is_not_listed(ctx: Context) -> None:
    assert backup.list_backups(ctx) == []
    with pytest.raises(UsageError, match="there is no backup in"):
        backup.get_backup(ctx, "")
    first, second = keep(ctx), keep(ctx, "20251003-030405-0abcde")
    aws_s3.put(ctx.aws, BUCKET, f"{prefix('guestbook', '20251004-030405-0abcde')}/dump", "half of it")
    assert backup.list_backups(ctx) == [first, second]
    assert backup.get_backup(ctx, "") == second
    assert backup.get_backup(ctx, first.id) == first
    for identity in ("20251004-030405-0abcde", "../other", "nothing"):
        with pytest.raises(UsageError, match="there is no backup"):
            backup.get_backup(ctx, identity)


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("dump", DUMP[:-3], "dump has 12 bytes of 15"),
        ("dump", DUMP[:-1] + b"x", "the checksum of dump differs"),
        ("roles.sql", b"CREATE ROLE other;", "the checksum of roles.sql differs"),
        ("dump", None, "dump is missing"),
    ],
)
def test_verify_refuses_a_damaged_backup(ctx: Context, name: str, body: bytes | None, told: str) -> None:
    manifest = keep(ctx)
    backup.verify_backup(ctx, manifest)
    key = f"{prefix('guestbook', manifest.id)}/{name}"
    if body is None:
        ctx.aws.client("s3").delete_object(Bucket=BUCKET, Key=key)
    else:
        ctx.aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)
    with pytest.raises(GateError, match=told):
        backup.verify_backup(ctx, manifest)


def test_archive_round_trips_through_a_folder(ctx: Context, tmp_path: Path) -> None:
    manifest, folder = keep(ctx), tmp_path / "kept"
    backup.download_archive(ctx, manifest, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["dump", "manifest.json", "metadata.json", "roles.sql"]
    s3 = ctx.aws.client("s3")
    for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=found["Key"])
    assert backup.list_backups(ctx) == []
    assert backup.upload_archive(ctx, folder) == manifest
    assert backup.list_backups(ctx) == [manifest]


def test_download_archive_resumes_and_detects_damage(ctx: Context, tmp_path: Path) -> None:
    manifest, folder = keep(ctx), tmp_path / "kept"
    backup.download_archive(ctx, manifest, folder)
    (folder / MANIFEST).unlink()
    (folder / "roles.sql").write_bytes(ROLES[:4])
    key = f"{prefix('guestbook', manifest.id)}/dump"
    ctx.aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"damaged")
    backup.download_archive(ctx, manifest, folder)
    assert (folder / "roles.sql").read_bytes() == ROLES
    assert (folder / "dump").read_bytes() == DUMP, "downloaded before, so not again"
    (folder / MANIFEST).unlink()
    (folder / "dump").write_bytes(DUMP[:4])
    with pytest.raises(GateError, match="the checksum of dump differs"):
        backup.download_archive(ctx, manifest, folder)
    assert not (folder / MANIFEST).exists()


def test_upload_archive_refuses_other_folders(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no manifest\.json"):
        backup.upload_archive(ctx, tmp_path)
    foreign = tmp_path / "foreign"
    backup.download_archive(ctx, keep(ctx, service="other"), foreign)
    with pytest.raises(GateError, match="has a backup of other"):
        backup.upload_archive(ctx, foreign)
    torn = tmp_path / "torn"
    backup.download_archive(ctx, keep(ctx, "20251005-030405-0abcde"), torn)
    (torn / "dump").write_bytes(DUMP[:4])
    aws_s3.put(ctx.aws, BUCKET, "untouched", "x")
    with pytest.raises(GateError, match="is damaged"):
        backup.upload_archive(ctx, torn)


def fleet(ctx: Context) -> tuple[str, str]:
    """Create a group of one instance with a template of two versions, and an instance of the second version."""
    ec2, name = ctx.aws.client("ec2"), ctx.names.group
    image = ec2.describe_images()["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.micro"}
    template = ec2.create_launch_template(LaunchTemplateName=ctx.names.launch_template, LaunchTemplateData=data)  # type: ignore[arg-type]
    identity = template["LaunchTemplate"]["LaunchTemplateId"]
    ec2.create_launch_template_version(LaunchTemplateId=identity, LaunchTemplateData=data)  # type: ignore[arg-type]
    aws_auto_scaling.create(
        ctx.aws,
        {
            "AutoScalingGroupName": name,
            "MinSize": 1,
            "MaxSize": 1,
            "DesiredCapacity": 1,
            "AvailabilityZones": ["ap-northeast-2a"],
            "LaunchTemplate": {"LaunchTemplateId": identity, "Version": "1"},
        },
    )
    there = aws_auto_scaling.get(ctx.aws, name)
    assert there is not None
    new = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, ClientToken="run-switchover")["Instances"][0]
    return there.members[0].id, new["InstanceId"]


def state(ctx: Context, instance: str) -> str:
    found = ctx.aws.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return str(found["State"]["Name"])


def test_complete_after_the_transfer_is_idempotent(ctx: Context) -> None:
    old, new = fleet(ctx)
    switchover = Switchover("run", old, new, "opened", version=2, max_size=1, suspended=("AZRebalance",))
    transfer.save(ctx, switchover)
    for _ in range(2):  # killed at its very end, it is done once more
        switchover_end.complete(ctx, switchover)
        there = aws_auto_scaling.get(ctx.aws, ctx.names.group)
        assert there is not None
        assert [m.id for m in there.members] == [new]
        assert (there.min, there.desired, there.max, there.number) == (1, 1, 1, 2)
        assert (state(ctx, old), state(ctx, new)) == ("terminated", "running")
        assert transfer.load(ctx) is None


@pytest.mark.parametrize(("suspended", "move"), [((), None), (("ReplaceUnhealthy",), StorageChange("rds", "instance"))])
def test_recover_before_the_transfer_rolls_back(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, suspended: tuple[str, ...], move: StorageChange | None
) -> None:
    old, new = fleet(ctx)
    # moto lacks EC2's filter by client token, and does not keep the token.
    monkeypatch.setitem(filter_dict_attribute_mapping, "client-token", "client_token")
    for one in (i for r in ec2_backends["123456789012"]["ap-northeast-2"].all_reservations() for i in r.instances):
        one.client_token = "run-switchover" if one.id == new else None
    aws_auto_scaling.suspend(ctx.aws, ctx.names.group, ["ReplaceUnhealthy"])
    switchover = Switchover(
        "run", old, new, "launching", version=2, max_size=1, suspended=suspended, storage_change=move
    )
    transfer.save(ctx, switchover)
    switchover_end.roll_back(ctx, switchover)
    there = aws_auto_scaling.get(ctx.aws, ctx.names.group)
    assert there is not None
    assert [m.id for m in there.members] == [old]
    assert (there.desired, there.max, there.number, there.suspended) == (1, 1, 1, suspended)
    assert (state(ctx, old), state(ctx, new)) == ("running", "terminated")
    assert transfer.load(ctx) is None


def test_smaller_max_size_is_refused_while_instances_have_data(ctx: Context) -> None:
    fleet(ctx)
    aws_auto_scaling.update(ctx.aws, {"AutoScalingGroupName": ctx.names.group, "MaxSize": 3, "DesiredCapacity": 3})
    with pytest.raises(GateError, match="would terminate some of them with their data"):
        infra_auto_scaling.ensure_group(ctx, Network("vpc-1", ("subnet-1",)), "", ())
    there = aws_auto_scaling.get(ctx.aws, ctx.names.group)
    assert there is not None
    assert (there.desired, there.max) == (3, 3)


@pytest.mark.parametrize("former", ["", "old.example"])
def test_undo_restores_the_host_parameter(ctx: Context, former: str) -> None:
    wanted = recipe(RDS)
    ctx = replace(ctx, recipe=wanted)
    host = wanted.database.host_parameter
    if former:
        parameters.create(ctx.aws, host, former)
    switchover = Switchover(
        "run", "i-old", storage_change=StorageChange("rds", "instance", host, "new.example", former)
    )
    transfer.save(ctx, switchover)
    relocate.prepare(ctx, switchover)
    found = parameters.get(ctx.aws, host)
    assert found is not None
    assert found.value == "new.example"
    policy = ctx.aws.client("iam").get_role_policy(RoleName=ctx.names.web, PolicyName="goldenami")["PolicyDocument"]
    assert host in str(policy), "the new instance may read it"
    for _ in range(2):
        relocate.undo(ctx, switchover, [])
        found = parameters.get(ctx.aws, host)
        assert (found.value if found else "") == former
    parameters.overwrite(ctx.aws, host, "foreign.example")
    relocate.undo(ctx, switchover, [])
    found = parameters.get(ctx.aws, host)
    assert found is not None
    assert found.value == "foreign.example", "a value that it did not set is kept"


def test_group_replaces_instances_after_the_data_left_them(ctx: Context) -> None:
    old, new = fleet(ctx)
    ctx = replace(ctx, recipe=recipe(RDS))
    move = StorageChange("rds", "instance", "", "", "")
    switchover = Switchover(
        "run", old, new, "opened", version=2, max_size=1, suspended=SUSPENDED_WHILE_REPLACING, storage_change=move
    )
    aws_auto_scaling.suspend(ctx.aws, ctx.names.group, SUSPENDED_WHILE_REPLACING)
    switchover_end.complete(ctx, switchover)
    there = aws_auto_scaling.get(ctx.aws, ctx.names.group)
    assert there is not None
    assert ([m.id for m in there.members], there.suspended, there.max) == ([new], (), 1)


def test_group_keeps_its_instance_after_the_data_moved_to_it(ctx: Context) -> None:
    old, new = fleet(ctx)
    aws_auto_scaling.update(ctx.aws, {"AutoScalingGroupName": ctx.names.group, "MaxSize": 3})
    switchover = Switchover(
        "run", old, new, "opened", version=2, max_size=3, storage_change=StorageChange("instance", "rds")
    )
    switchover_end.complete(ctx, switchover)
    there = aws_auto_scaling.get(ctx.aws, ctx.names.group)
    assert there is not None
    assert ([m.id for m in there.members], set(there.suspended), there.max) == (
        [new],
        set(SUSPENDED_WHILE_REPLACING),
        1,
    )


def test_release_source_untags_the_previous_volume(ctx: Context) -> None:
    ec2 = ctx.aws.client("ec2")
    made = ec2.create_volume(AvailabilityZone="ap-northeast-2a", Size=1)
    ec2.create_tags(Resources=[made["VolumeId"]], Tags=[{"Key": "goldenami:data", "Value": "guestbook"}])
    relocate.release_source(
        ctx, Switchover("run", "i-old", "i-new", "opened", storage_change=StorageChange("rds", "instance"))
    )
    assert volume.find_volume(ctx) is not None, "it was on none"
    for _ in range(2):
        relocate.release_source(
            ctx, Switchover("run", "i-old", "i-new", "opened", storage_change=StorageChange("rds", "volume"))
        )
        assert volume.find_volume(ctx) is None
    assert ec2.describe_volumes(VolumeIds=[made["VolumeId"]])["Volumes"]


def test_terminated_target_is_relaunched_if_the_data_survived(ctx: Context) -> None:
    old, new = fleet(ctx)
    group = aws_auto_scaling.get(ctx.aws, ctx.names.group)
    assert group is not None
    switchover = Switchover(
        "run", old, new, "opened", version=2, max_size=1, storage_change=StorageChange("rds", "instance")
    )
    assert relocate.relaunch_target(ctx, switchover) == switchover, "it runs"
    ctx.aws.client("ec2").terminate_instances(InstanceIds=[new])
    there = relocate.relaunch_target(ctx, switchover)
    assert there.target != new
    assert state(ctx, there.target) == "running"
    assert transfer.load(ctx) == there
    home = replace(switchover, storage_change=StorageChange("instance", "rds"))
    assert relocate.relaunch_target(ctx, home) == home, "its data was lost with it"
