"""The least that looking after rows needs, as statements of IAM policies."""

from __future__ import annotations

from goldenami.iam.bake import use_kms_keys
from goldenami.iam.statements import PolicyScope, Statement, allow
from goldenami.model.image import VOLUME_TAG
from goldenami.recipe.recipe import bucket_name

_CREATES_TAGGED = ["CreateVolume", "CreateSnapshot"]


def backup_bucket(scope: PolicyScope) -> list[Statement]:
    """Make the bucket of the backups, or set it right, and write and read backups."""
    bucket = f"arn:aws:s3:::{bucket_name(scope.recipe, scope.account, scope.region)}"
    settings = [f"s3:Put{what}" for what in ("BucketPublicAccessBlock", "BucketTagging", "BucketVersioning")]
    settings += ["s3:CreateBucket", "s3:ListBucket", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration"]
    settings += ["s3:ListBucketMultipartUploads"]  # to abort an incomplete one
    return [allow("Vault", settings, bucket), *backups(scope, write=True)]


def backups(scope: PolicyScope, *, write: bool = False) -> list[Statement]:
    """Read the backups, or write them as well."""
    bucket = f"arn:aws:s3:::{bucket_name(scope.recipe, scope.account, scope.region)}"
    objects = f"{bucket}/{scope.recipe.image.name}/backups/*"
    sends = ["s3:AbortMultipartUpload", "s3:PutObject"]
    verbs = ["s3:GetObject", *(sends if write else [])]
    return [allow("Backups", verbs, objects), *([] if write else [allow("ListBackups", ["s3:ListBucket"], bucket)])]


def read_backups(scope: PolicyScope) -> list[Statement]:
    """Read the backups."""
    return backups(scope)


def replace_instance(scope: PolicyScope) -> list[Statement]:
    """Replace the one instance that keeps its rows itself, outside of an instance refresh; in other modes, end a pause."""
    return _replace_instance(scope) if scope.recipe.database.on_instance else suspend_processes(scope)


def migrate(scope: PolicyScope) -> list[Statement]:
    """The same whatever the recipe says by now; and tell the instances where the new home is, and let them read that."""
    web = [scope.arn("iam", f"{kind}/{scope.names.web}", region=False) for kind in ("role", "instance-profile")]
    verbs = ("AddRoleToInstanceProfile", "CreateInstanceProfile", "CreateRole", "GetInstanceProfile", "PutRolePolicy")
    host = scope.recipe.database.host_parameter
    told = ["ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"]
    data = {"StringEquals": {f"aws:ResourceTag/{VOLUME_TAG}": scope.recipe.image.name}}
    return [
        *_replace_instance(scope),
        allow("Volumes", ["ec2:DescribeVolumes"]),
        allow("LeaveVolume", ["ec2:DeleteTags"], scope.arn("ec2", "volume/*"), **data),
        allow("Role", [f"iam:{verb}" for verb in verbs], web),
        *([allow("Home", told, scope.arn("ssm", f"parameter{host}")), *_create_db_instance(scope)] if host else []),
    ]


def _create_db_instance(scope: PolicyScope) -> list[Statement]:
    """Make the server elsewhere (--create); never change or delete it."""
    name, password = scope.names.database, scope.recipe.database.password_parameter
    made = [scope.arn("rds", f"{kind}:{name}") for kind in ("db", "subgrp")]
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
            [scope.arn("ec2", f"{kind}/*") for kind in ("security-group", "vpc")],
        ),
        allow("ServerPassword", ["ssm:GetParameter"], scope.arn("ssm", f"parameter{password}")),
        allow("ServerRole", ["iam:CreateServiceLinkedRole"], "*", **linked),
    ]


def _replace_instance(scope: PolicyScope) -> list[Statement]:
    name = scope.recipe.image.name
    group = scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{scope.names.group}")
    verbs = ("AttachInstances", "DetachInstances", "ResumeProcesses", "SuspendProcesses", "UpdateAutoScalingGroup")
    ours = {"StringEquals": {"aws:ResourceTag/goldenami:fleet": name}}
    return [
        allow("Exchange", [f"autoscaling:{verb}" for verb in verbs], group),
        allow(
            "Handover",
            ["ssm:PutParameter", "ssm:DeleteParameter"],
            [scope.arn("ssm", f"parameter{record}") for record in (scope.names.switchover, scope.names.write_freeze)],
        ),
        allow("Subnets", ["ec2:DescribeSubnets", "ec2:DescribeVpcs", "ssm:ListCommandInvocations"]),
        allow("EndReplaced", ["ec2:TerminateInstances"], scope.arn("ec2", "instance/*"), **ours),
        *backup_bucket(scope),
        *(manage_volume(scope) if scope.recipe.database.on_volume else []),
    ]


def describe_storage(scope: PolicyScope) -> list[Statement]:
    """See what has the data: which instance has the volume, or what the server is; nothing where that is the instance."""
    server = scope.arn("rds", f"db:{scope.names.database}")
    elsewhere = scope.recipe.database.mode == "rds"
    return [
        *_describe_volumes(scope),
        *([allow("ServerThere", ["rds:DescribeDBInstances"], server)] if elsewhere else []),
    ]


def _describe_volumes(scope: PolicyScope) -> list[Statement]:
    return [allow("Volumes", ["ec2:DescribeVolumes"])] if scope.recipe.database.on_volume else []


def suspend_processes(scope: PolicyScope) -> list[Statement]:
    """Keep the group from mending itself while writes are stopped on purpose; and end a pause that somebody has left."""
    group = scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{scope.names.group}")
    told = scope.arn("ssm", f"parameter{scope.names.write_freeze}")
    return [
        *_describe_volumes(scope),
        allow("Undisturbed", ["autoscaling:ResumeProcesses", "autoscaling:SuspendProcesses"], group),
        allow("Pause", ["ssm:DeleteParameter", "ssm:PutParameter"], told),
        allow("StillRunning", ["ssm:ListCommandInvocations"]),
    ]


def manage_volume(scope: PolicyScope) -> list[Statement]:
    """Make the volume with the data, bring it from one instance to another, keep snapshots of it; never delete it."""
    name = scope.recipe.image.name
    ours = {"StringEquals": {f"aws:ResourceTag/{VOLUME_TAG}": name}}
    asked = {"StringEquals": {f"aws:RequestTag/{VOLUME_TAG}": name}}
    volumes, snapshots = scope.arn("ec2", "volume/*"), f"arn:aws:ec2:{scope.region}::snapshot/*"
    instances = scope.arn("ec2", "instance/*")
    moves = ["ec2:AttachVolume", "ec2:DetachVolume"]
    return [
        *_describe_volumes(scope),
        allow("VolumesAround", ["ec2:DescribeSnapshots", "ec2:DescribeSubnets"]),
        allow("MakeVolume", ["ec2:CreateVolume"], volumes, **asked),
        allow(
            "TagVolume", ["ec2:CreateTags"], [volumes, snapshots], StringEquals={"ec2:CreateAction": _CREATES_TAGGED}
        ),
        allow("MoveVolume", [*moves, "ec2:ModifyVolume", "ec2:CreateSnapshot"], volumes, **ours),
        allow(
            "MoveBetween",
            [*moves, "ec2:StopInstances"],
            instances,
            StringEquals={"aws:ResourceTag/goldenami:fleet": name},
        ),
        allow("KeepVolume", ["ec2:CreateSnapshot"], snapshots, **asked),
        allow("LetSnapshotsGo", ["ec2:DeleteSnapshot"], snapshots, **ours),
        *use_kms_keys(scope),
    ]
