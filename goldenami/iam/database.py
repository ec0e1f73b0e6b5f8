"""IAM policy statements of backups, volumes and database migrations."""

from __future__ import annotations

from goldenami.iam.bake import use_kms_keys
from goldenami.iam.statements import PolicyScope, Statement, allow, register_targets
from goldenami.recipe.recipe import bucket_name

_CREATES_TAGGED = ["CreateVolume", "CreateSnapshot"]


def backup_bucket(scope: PolicyScope) -> list[Statement]:
    """Create or update the backup bucket, and write and read backups."""
    bucket = f"arn:aws:s3:::{bucket_name(scope.recipe, scope.account, scope.region)}"
    settings = [f"s3:Put{what}" for what in ("BucketPublicAccessBlock", "BucketTagging", "BucketVersioning")]
    settings += ["s3:CreateBucket", "s3:ListBucket", "s3:PutEncryptionConfiguration"]
    settings += ["s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"]
    settings += ["s3:ListBucketMultipartUploads"]  # to abort an incomplete one
    return [allow("Bucket", settings, bucket), *backups(scope, write=True)]


def backups(scope: PolicyScope, *, write: bool = False) -> list[Statement]:
    """Read backups, and write them if asked to."""
    bucket = f"arn:aws:s3:::{bucket_name(scope.recipe, scope.account, scope.region)}"
    objects = f"{bucket}/{scope.recipe.image.name}/backups/*"
    writes = ["s3:AbortMultipartUpload", "s3:PutObject"]
    verbs = ["s3:GetObject", *(writes if write else [])]
    return [allow("Backups", verbs, objects), *([] if write else [allow("ListBackups", ["s3:ListBucket"], bucket)])]


def read_backups(scope: PolicyScope) -> list[Statement]:
    """Read backups."""
    return backups(scope)


def verify_newest_backup(scope: PolicyScope) -> list[Statement]:
    """Read backups, where replacing an instance does not include that."""
    return [] if scope.recipe.database.on_instance else read_backups(scope)


def replace_instance(scope: PolicyScope) -> list[Statement]:
    """Replace the one instance that keeps its data itself; in other storage modes, only end a stale write freeze."""
    if scope.recipe.database.on_instance:
        return _replace_instance(scope)
    return [*suspend_processes(scope), *(_run_release(scope) if scope.recipe.release.is_configured else [])]


def _run_release(scope: PolicyScope) -> list[Statement]:
    """Back up the database for the rehearsal of the release step, and terminate the instance that runs it."""
    return [
        allow("Subnets", ["ec2:DescribeSubnets", "ec2:DescribeVpcs"]),
        allow("EndRelease", ["ec2:TerminateInstances"], scope.instances_arn, **scope.tagged("fleet")),
        *backup_bucket(scope),
    ]


def migrate(scope: PolicyScope) -> list[Statement]:
    """Migrate the database from any storage mode to another, and publish its new address to the instances."""
    web = [scope.arn("iam", f"{kind}/{scope.names.web}", region=False) for kind in ("role", "instance-profile")]
    verbs = ("AddRoleToInstanceProfile", "CreateInstanceProfile", "CreateRole", "GetInstanceProfile", "PutRolePolicy")
    host = scope.recipe.database.host_parameter
    verbs_of_host = ["ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"]
    return [
        *_replace_instance(scope),
        allow("Volumes", ["ec2:DescribeVolumes"]),
        allow("UntagVolume", ["ec2:DeleteTags"], scope.arn("ec2", "volume/*"), **scope.tagged("data")),
        allow("Role", [f"iam:{verb}" for verb in verbs], web),
        *(
            [allow("DatabaseHost", verbs_of_host, scope.arn("ssm", f"parameter{host}")), *_create_db_instance(scope)]
            if host
            else []
        ),
    ]


def _create_db_instance(scope: PolicyScope) -> list[Statement]:
    """Create the DB instance (--create); never change or delete it."""
    name, password = scope.names.database, scope.recipe.database.password_parameter
    resources = [scope.arn("rds", f"{kind}:{name}") for kind in ("db", "subgrp")]
    security = ("AuthorizeSecurityGroupIngress", "CreateSecurityGroup", "CreateTags", "RevokeSecurityGroupIngress")
    linked = {"StringEquals": {"iam:AWSServiceName": "rds.amazonaws.com"}}
    return [
        allow(
            "CreateDatabase",
            [f"rds:{verb}" for verb in ("AddTagsToResource", "CreateDBInstance", "CreateDBSubnetGroup")],
            resources,
        ),
        allow("DescribeDatabase", ["rds:DescribeDBInstances"], resources[0]),
        allow("DatabaseNetwork", ["ec2:DescribeSecurityGroups"]),
        allow(
            "DatabaseSecurityGroup",
            [f"ec2:{verb}" for verb in security],
            [scope.arn("ec2", f"{kind}/*") for kind in ("security-group", "vpc")],
        ),
        allow("DatabasePassword", ["ssm:GetParameter"], scope.arn("ssm", f"parameter{password}")),
        allow("DatabaseServiceRole", ["iam:CreateServiceLinkedRole"], "*", **linked),
    ]


def _replace_instance(scope: PolicyScope) -> list[Statement]:
    verbs = (
        *("AttachInstances", "DetachInstances", "ResumeProcesses", "SetInstanceProtection", "SuspendProcesses"),
        "UpdateAutoScalingGroup",
    )
    (targets,) = register_targets(scope)
    return [
        # One statement, because the rebuild's policy is near the size limit.
        allow(
            "Replace",
            [*(f"autoscaling:{verb}" for verb in verbs), *targets["Action"]],
            [scope.group_arn, str(targets["Resource"])],
        ),
        allow(
            "Switchover",
            ["ssm:PutParameter", "ssm:DeleteParameter"],
            [scope.arn("ssm", f"parameter{record}") for record in (scope.names.switchover, scope.names.write_freeze)],
        ),
        allow("Subnets", ["ec2:DescribeSubnets", "ec2:DescribeVpcs", "ssm:ListCommandInvocations"]),
        allow("EndReplaced", ["ec2:TerminateInstances"], scope.instances_arn, **scope.tagged("fleet")),
        *backup_bucket(scope),
        *(manage_volume(scope) if scope.recipe.database.on_volume else []),
    ]


def describe_storage(scope: PolicyScope) -> list[Statement]:
    """Read where the data is: the volume's attachment, or the DB instance."""
    server = scope.arn("rds", f"db:{scope.names.database}")
    on_rds = scope.recipe.database.mode == "rds"
    return [
        *_describe_volumes(scope),
        *([allow("DescribeDatabase", ["rds:DescribeDBInstances"], server)] if on_rds else []),
    ]


def _describe_volumes(scope: PolicyScope) -> list[Statement]:
    return [allow("Volumes", ["ec2:DescribeVolumes"])] if scope.recipe.database.on_volume else []


def suspend_processes(scope: PolicyScope) -> list[Statement]:
    """Suspend the group's self-healing during a write freeze, and end a stale one."""
    freeze = scope.arn("ssm", f"parameter{scope.names.write_freeze}")
    return [
        *_describe_volumes(scope),
        allow("SelfHealing", ["autoscaling:ResumeProcesses", "autoscaling:SuspendProcesses"], scope.group_arn),
        allow("WriteFreeze", ["ssm:DeleteParameter", "ssm:PutParameter"], freeze),
        allow("Commands", ["ssm:ListCommandInvocations"]),
    ]


def manage_volume(scope: PolicyScope) -> list[Statement]:
    """Create the data volume, move it between instances, and create snapshots of it; never delete it."""
    data, new_data = scope.tagged("data"), scope.tagged("data", "RequestTag")
    volumes, snapshots = scope.arn("ec2", "volume/*"), f"arn:aws:ec2:{scope.region}::snapshot/*"
    moves = ["ec2:AttachVolume", "ec2:DetachVolume"]
    return [
        *_describe_volumes(scope),
        allow("DescribeSnapshots", ["ec2:DescribeSnapshots", "ec2:DescribeSubnets"]),
        allow("CreateVolume", ["ec2:CreateVolume"], volumes, **new_data),
        allow(
            "TagVolume", ["ec2:CreateTags"], [volumes, snapshots], StringEquals={"ec2:CreateAction": _CREATES_TAGGED}
        ),
        allow("MoveVolume", [*moves, "ec2:ModifyVolume", "ec2:CreateSnapshot"], volumes, **data),
        allow("MoveBetween", [*moves, "ec2:StopInstances"], scope.instances_arn, **scope.tagged("fleet")),
        allow("SnapshotVolume", ["ec2:CreateSnapshot"], snapshots, **new_data),
        allow("VolumeSnapshots", ["ec2:DeleteSnapshot"], snapshots, **data),
        *use_kms_keys(scope),
    ]
