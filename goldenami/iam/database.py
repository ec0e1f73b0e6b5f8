"""The least that looking after rows needs, as statements of IAM policies."""

from __future__ import annotations

from goldenami.iam.bake import encrypt
from goldenami.iam.statements import PolicyScope, Statement, allow
from goldenami.model.image import VOLUME_TAG
from goldenami.recipe.recipe import bucket_name

_CREATE_BUCKET = ["CreateVolume", "CreateSnapshot"]


def backup_bucket(place: PolicyScope) -> list[Statement]:
    """Make the bucket of the backups, or set it right, and write and read backups."""
    bucket = f"arn:aws:s3:::{bucket_name(place.recipe, place.account, place.region)}"
    settings = [f"s3:Put{what}" for what in ("BucketPublicAccessBlock", "BucketTagging", "BucketVersioning")]
    settings += ["s3:CreateBucket", "s3:ListBucket", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration"]
    settings += ["s3:ListBucketMultipartUploads"]  # to go on with one that broke off
    return [allow("Vault", settings, bucket), *backups(place, write=True)]


def backups(place: PolicyScope, *, write: bool = False) -> list[Statement]:
    """Read the backups, or write them as well."""
    bucket = f"arn:aws:s3:::{bucket_name(place.recipe, place.account, place.region)}"
    objects = f"{bucket}/{place.recipe.image.name}/backups/*"
    sends = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"]
    verbs = ["s3:GetObject", *(sends if write else [])]
    return [allow("Backups", verbs, objects), *([] if write else [allow("ListBackups", ["s3:ListBucket"], bucket)])]


def reading(place: PolicyScope) -> list[Statement]:
    """Read the backups."""
    return backups(place)


def exchange(place: PolicyScope) -> list[Statement]:
    """Replace the one instance that keeps its rows itself, outside of an instance refresh; in other modes, end a pause."""
    return _exchange(place) if place.recipe.database.on_instance else suspend_processes(place)


def migrate(place: PolicyScope) -> list[Statement]:
    """The same whatever the recipe says by now; and tell the instances where the new home is, and let them read that."""
    web = [place.arn("iam", f"{kind}/{place.names.web}", region=False) for kind in ("role", "instance-profile")]
    verbs = ("AddRoleToInstanceProfile", "CreateInstanceProfile", "CreateRole", "GetInstanceProfile", "PutRolePolicy")
    host = place.recipe.database.host_parameter
    told = ["ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"]
    data = {"StringEquals": {f"aws:ResourceTag/{VOLUME_TAG}": place.recipe.image.name}}
    return [
        *_exchange(place),
        allow("Volumes", ["ec2:DescribeVolumes"]),
        allow("LeaveVolume", ["ec2:DeleteTags"], place.arn("ec2", "volume/*"), **data),
        allow("Role", [f"iam:{verb}" for verb in verbs], web),
        *([allow("Home", told, place.arn("ssm", f"parameter{host}")), *_server(place)] if host else []),
    ]


def _server(place: PolicyScope) -> list[Statement]:
    """Make the server elsewhere (--create); never change or delete it."""
    name, password = place.names.database, place.recipe.database.password_parameter
    made = [place.arn("rds", f"{kind}:{name}") for kind in ("db", "subgrp")]
    security = ("AuthorizeSecurityGroupIngress", "CreateSecurityGroup", "CreateTags", "RevokeSecurityGroupIngress")
    linked = {"StringEquals": {"iam:AWSServiceName": "rds.amazonaws.com"}}
    return [
        allow(
            "Server", [f"rds:{verb}" for verb in ("AddTagsToResource", "CreateDBInstance", "CreateDBSubnetGroup")], made
        ),
        allow("ServerThere", ["rds:DescribeDBInstances"], made[0]),
        allow("ServerAround", ["ec2:DescribeSecurityGroups"]),
        allow(
            "ServerSecurity",
            [f"ec2:{verb}" for verb in security],
            [place.arn("ec2", f"{kind}/*") for kind in ("security-group", "vpc")],
        ),
        allow("ServerPassword", ["ssm:GetParameter"], place.arn("ssm", f"parameter{password}")),
        allow("ServerRole", ["iam:CreateServiceLinkedRole"], "*", **linked),
    ]


def _exchange(place: PolicyScope) -> list[Statement]:
    name = place.recipe.image.name
    group = place.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{place.names.group}")
    verbs = ("AttachInstances", "DetachInstances", "ResumeProcesses", "SuspendProcesses", "UpdateAutoScalingGroup")
    ours = {"StringEquals": {"aws:ResourceTag/goldenami:fleet": name}}
    return [
        allow("Exchange", [f"autoscaling:{verb}" for verb in verbs], group),
        allow(
            "Handover",
            ["ssm:PutParameter", "ssm:DeleteParameter"],
            [place.arn("ssm", f"parameter{record}") for record in (place.names.switchover, place.names.write_freeze)],
        ),
        allow("Subnets", ["ec2:DescribeSubnets", "ec2:DescribeVpcs", "ssm:ListCommandInvocations"]),
        allow("EndReplaced", ["ec2:TerminateInstances"], place.arn("ec2", "instance/*"), **ours),
        *backup_bucket(place),
        *(volume(place) if place.recipe.database.on_volume else []),
    ]


def describe_storage(place: PolicyScope) -> list[Statement]:
    """See what has the data: which instance has the volume, or what the server is; nothing where that is the instance."""
    server = place.arn("rds", f"db:{place.names.database}")
    elsewhere = place.recipe.database.mode == "rds"
    return [*_volumes(place), *([allow("ServerThere", ["rds:DescribeDBInstances"], server)] if elsewhere else [])]


def _volumes(place: PolicyScope) -> list[Statement]:
    return [allow("Volumes", ["ec2:DescribeVolumes"])] if place.recipe.database.on_volume else []


def suspend_processes(place: PolicyScope) -> list[Statement]:
    """Keep the group from mending itself while writes are stopped on purpose; and end a pause that somebody has left."""
    group = place.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{place.names.group}")
    told = place.arn("ssm", f"parameter{place.names.write_freeze}")
    return [
        *_volumes(place),
        allow("Undisturbed", ["autoscaling:ResumeProcesses", "autoscaling:SuspendProcesses"], group),
        allow("Pause", ["ssm:DeleteParameter", "ssm:PutParameter"], told),
        allow("StillRunning", ["ssm:ListCommandInvocations"]),
    ]


def volume(place: PolicyScope) -> list[Statement]:
    """Make the volume with the data, bring it from one instance to another, keep snapshots of it; never delete it."""
    name = place.recipe.image.name
    ours = {"StringEquals": {f"aws:ResourceTag/{VOLUME_TAG}": name}}
    asked = {"StringEquals": {f"aws:RequestTag/{VOLUME_TAG}": name}}
    volumes, snapshots = place.arn("ec2", "volume/*"), f"arn:aws:ec2:{place.region}::snapshot/*"
    instances = place.arn("ec2", "instance/*")
    moves = ["ec2:AttachVolume", "ec2:DetachVolume"]
    return [
        *_volumes(place),
        allow("VolumesAround", ["ec2:DescribeSnapshots", "ec2:DescribeSubnets"]),
        allow("MakeVolume", ["ec2:CreateVolume"], volumes, **asked),
        allow("TagVolume", ["ec2:CreateTags"], [volumes, snapshots], StringEquals={"ec2:CreateAction": _CREATE_BUCKET}),
        allow("MoveVolume", [*moves, "ec2:ModifyVolume", "ec2:CreateSnapshot"], volumes, **ours),
        allow(
            "MoveBetween",
            [*moves, "ec2:StopInstances"],
            instances,
            StringEquals={"aws:ResourceTag/goldenami:fleet": name},
        ),
        allow("KeepVolume", ["ec2:CreateSnapshot"], snapshots, **asked),
        allow("LetSnapshotsGo", ["ec2:DeleteSnapshot"], snapshots, **ours),
        *encrypt(place),
    ]
