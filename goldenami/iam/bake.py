"""IAM policy statements of a bake, the monthly rebuild and its notifications.

Sources: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html and
https://developer.hashicorp.com/packer/integrations/hashicorp/amazon (what Packer's builder calls).
"""

from __future__ import annotations

from goldenami.iam.statements import USES_KEY, PolicyScope, Statement, allow, key_arn
from goldenami.model.names import ResourceNames


def describe_build_inputs(_scope: PolicyScope) -> list[Statement]:
    """Read the inputs of a bake and the resources of earlier ones."""
    resources = ("Images", "ImageAttribute", "InstanceStatus", "InstanceTypeOfferings", "KeyPairs", "Regions")
    more = ("Instances", "SecurityGroups", "Snapshots", "Subnets", "Tags", "Volumes", "Vpcs")
    return [allow("BuildInputs", [f"ec2:Describe{resource}" for resource in (*resources, *more)])]


def build(scope: PolicyScope) -> list[Statement]:
    """Launch builders, create images of them, and delete temporary resources.

    Only instances with the image's tag can be terminated; Packer and the second gate launch them with it.
    """
    parts = ("instance", "volume", "network-interface", "security-group", "subnet", "key-pair", "vpc")
    resources = [scope.arn("ec2", f"{part}/*") for part in parts]
    # The ARNs of images and snapshots have no account.
    images = [f"arn:aws:ec2:{scope.region}::{kind}/*" for kind in ("image", "snapshot")]
    verbs = (
        *("RunInstances", "CreateImage", "ModifyImageAttribute", "ModifySnapshotAttribute", "DeregisterImage"),
        *("DeleteSnapshot", "DeleteVolume", "CreateTags", "DeleteTags"),
        *("ImportKeyPair", "CreateKeyPair", "DeleteKeyPair"),
        *("CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "DeleteSecurityGroup", "ModifyInstanceAttribute"),
    )
    profile = f"{scope.recipe.image.name}-bake"
    role = [scope.arn("iam", f"{kind}/{profile}", region=False) for kind in ("role", "instance-profile")]
    iam = ("AddRoleToInstanceProfile", "CreateInstanceProfile", "CreateRole", "GetInstanceProfile", "PutRolePolicy")
    return [
        allow("Build", [f"ec2:{verb}" for verb in verbs], [*resources, *images]),
        allow(
            "EndBuilders", ["ec2:StopInstances", "ec2:TerminateInstances"], scope.instances_arn, **scope.tagged("image")
        ),
        allow("Console", ["ec2:GetConsoleOutput"], scope.instances_arn),
        allow("BuilderRole", [f"iam:{verb}" for verb in iam], role),
        allow("PassBuilderRole", ["iam:PassRole"], role[0], StringEquals={"iam:PassedToService": "ec2.amazonaws.com"}),
        *use_kms_keys(scope),
    ]


def read_and_publish_parameters(scope: PolicyScope) -> list[Statement]:
    """Reserve versions, publish the candidate, create the application's parameters, find the vendor's AMI."""
    name = scope.recipe.image.name
    own = [
        scope.arn("ssm", f"parameter/goldenami/{name}/{rest}") for rest in ("candidate", "versions/*", "inventory/*")
    ]
    application = [scope.arn("ssm", f"parameter{parameter.name}") for parameter in scope.recipe.parameters]
    read = [scope.arn("ssm", f"parameter/goldenami/{name}/*"), f"arn:aws:ssm:{scope.region}::parameter/aws/service/*"]
    return [
        allow("ReadParameters", ["ssm:GetParameter", "ssm:GetParametersByPath"], [*read, *application]),
        allow("PublishCandidate", ["ssm:PutParameter"], [*own, *application]),
    ]


def write_rebuild_record(scope: PolicyScope) -> list[Statement]:
    """Write the record of a rebuild, and acquire its lock."""
    names = ResourceNames(scope.recipe.image.name)
    there = (names.rebuild_record, names.rebuild_lock, f"{names.rebuild_lock}-after-*")
    where = [scope.arn("ssm", f"parameter{what}") for what in there]
    return [allow("Record", ["ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"], where)]


def notify(scope: PolicyScope) -> list[Statement]:
    """Send the notifications of the recipe."""
    settings = scope.recipe.notify
    topic = [allow("Notify", ["sns:Publish"], settings.sns_topic_arn)] if settings.sns_topic_arn else []
    name = settings.webhook_parameter
    webhook = [allow("Webhook", ["ssm:GetParameter"], scope.arn("ssm", f"parameter{name}"))] if name else []
    return [*topic, *webhook]


def read_price_list(_scope: PolicyScope) -> list[Statement]:
    """Read the AWS Price List, which has no resources."""
    return [allow("Prices", ["pricing:GetProducts"])]


def manage_schedule(scope: PolicyScope) -> list[Statement]:
    """Create, update and delete the rebuild's schedule on AWS."""
    name = f"{scope.recipe.image.name}-rebuild"
    roles = [scope.arn("iam", f"role/{name}-{what}", region=False) for what in ("build", "schedule")]
    iam = (
        *("CreateRole", "DeleteRole", "DeleteRolePolicy", "GetRole", "GetRolePolicy", "PutRolePolicy"),
        "UpdateAssumeRolePolicy",
    )
    project = [f"codebuild:{verb}" for verb in ("BatchGetProjects", "CreateProject", "DeleteProject", "UpdateProject")]
    schedule = [f"scheduler:{verb}Schedule" for verb in ("Create", "Delete", "Get", "Update")]
    services = ["codebuild.amazonaws.com", "scheduler.amazonaws.com"]
    return [
        allow("ScheduleRoles", [f"iam:{verb}" for verb in iam], roles),
        allow("PassScheduleRoles", ["iam:PassRole"], roles, StringEquals={"iam:PassedToService": services}),
        allow("Project", project, scope.arn("codebuild", f"project/{name}")),
        allow("Schedule", schedule, scope.arn("scheduler", f"schedule/default/{name}")),
    ]


def use_kms_keys(scope: PolicyScope) -> list[Statement]:
    """Let EBS use the recipe's KMS keys; the account's default key needs no permission."""
    used = {scope.recipe.target(name).kms_key_id for name in ("local", "aws")} - {""}
    arns = sorted({key_arn(scope.region, scope.account, key) for key in used})
    if not arns:
        return []
    through = {"StringEquals": {"kms:ViaService": f"ec2.{scope.region}.amazonaws.com"}}
    return [allow("Encrypt", USES_KEY, arns, **through)]
