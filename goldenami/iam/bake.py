"""The least that a bake, the monthly rebuild and its notices need, as statements of IAM policies.

Sources: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html and
https://developer.hashicorp.com/packer/integrations/hashicorp/amazon (what Packer's builder calls).
"""

from __future__ import annotations

from goldenami.iam.statements import USES_KEY, PolicyScope, Statement, allow, key_arn
from goldenami.model import image
from goldenami.model.names import ResourceNames


def describe_build_inputs(_scope: PolicyScope) -> list[Statement]:
    """Look at what a bake starts from and what earlier ones left."""
    things = ("Images", "ImageAttribute", "InstanceStatus", "InstanceTypeOfferings", "KeyPairs", "Regions")
    more = ("Instances", "SecurityGroups", "Snapshots", "Subnets", "Tags", "Volumes", "Vpcs")
    return [allow("Survey", [f"ec2:Describe{thing}" for thing in (*things, *more)])]


def build(scope: PolicyScope) -> list[Statement]:
    """Launch builders, make images of them, and remove what was made on the way.

    Machines can be ended only where they carry the image's tag, which both Packer and the second gate launch them with.
    """
    parts = ("instance", "volume", "network-interface", "security-group", "subnet", "key-pair", "vpc")
    here = [scope.arn("ec2", f"{part}/*") for part in parts]
    # Images and snapshots have ARNs without an account.
    made = [f"arn:aws:ec2:{scope.region}::{kind}/*" for kind in ("image", "snapshot")]
    ours = {"StringEquals": {f"aws:ResourceTag/{image.IMAGE}": scope.recipe.image.name}}
    verbs = (
        *("RunInstances", "CreateImage", "ModifyImageAttribute", "ModifySnapshotAttribute", "DeregisterImage"),
        *(
            "DeleteSnapshot",
            "DeleteVolume",
            "CreateTags",
            "DeleteTags",
            "ImportKeyPair",
            "CreateKeyPair",
            "DeleteKeyPair",
        ),
        *("CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "DeleteSecurityGroup", "ModifyInstanceAttribute"),
    )
    machines = scope.arn("ec2", "instance/*")
    profile = f"{scope.recipe.image.name}-bake"
    role = [scope.arn("iam", f"{kind}/{profile}", region=False) for kind in ("role", "instance-profile")]
    iam = ("AddRoleToInstanceProfile", "CreateInstanceProfile", "CreateRole", "GetInstanceProfile", "PutRolePolicy")
    return [
        allow("Build", [f"ec2:{verb}" for verb in verbs], [*here, *made]),
        allow("EndBuilders", ["ec2:StopInstances", "ec2:TerminateInstances"], machines, **ours),
        allow("BuilderConsole", ["ec2:GetConsoleOutput"], machines),
        allow("BuilderRole", [f"iam:{verb}" for verb in iam], role),
        allow("PassBuilderRole", ["iam:PassRole"], role[0], StringEquals={"iam:PassedToService": "ec2.amazonaws.com"}),
        *use_kms_keys(scope),
    ]


def read_and_publish_parameters(scope: PolicyScope) -> list[Statement]:
    """Reserve versions, publish the candidate, make the application's parameters, find the vendor's AMI."""
    name = scope.recipe.image.name
    own = [
        scope.arn("ssm", f"parameter/goldenami/{name}/{rest}") for rest in ("candidate", "versions/*", "inventory/*")
    ]
    theirs = [scope.arn("ssm", f"parameter{parameter.name}") for parameter in scope.recipe.parameters]
    read = [scope.arn("ssm", f"parameter/goldenami/{name}/*"), f"arn:aws:ssm:{scope.region}::parameter/aws/service/*"]
    return [
        allow("ReadNumbers", ["ssm:GetParameter", "ssm:GetParametersByPath"], [*read, *theirs]),
        allow("PublishCandidate", ["ssm:PutParameter"], [*own, *theirs]),
    ]


def write_rebuild_record(scope: PolicyScope) -> list[Statement]:
    """Write down how far a rebuild is, and claim it."""
    names = ResourceNames(scope.recipe.image.name)
    there = [
        f"parameter{names.rebuild_record}",
        f"parameter{names.rebuild_lock}",
        f"parameter{names.rebuild_lock}-after-*",
    ]
    where = [scope.arn("ssm", what) for what in there]
    return [allow("Record", ["ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"], where)]


def notify(scope: PolicyScope) -> list[Statement]:
    """Tell the places that the recipe names."""
    wanted = scope.recipe.notify
    topic = [allow("Tell", ["sns:Publish"], wanted.sns_topic_arn)] if wanted.sns_topic_arn else []
    name = wanted.webhook_parameter
    webhook = [allow("Webhook", ["ssm:GetParameter"], scope.arn("ssm", f"parameter{name}"))] if name else []
    return [*topic, *webhook]


def read_price_list(_scope: PolicyScope) -> list[Statement]:
    """Ask the AWS Price List, which knows no resources."""
    return [allow("Prices", ["pricing:GetProducts"])]


def manage_schedule(scope: PolicyScope) -> list[Statement]:
    """Make, correct and remove the rebuild's schedule on AWS."""
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
    """Let EBS use the recipe's keys; it uses the account's default key without further ado."""
    used = {scope.recipe.target(name).kms_key_id for name in ("local", "aws")} - {""}
    arns = sorted({key_arn(scope.region, scope.account, key) for key in used})
    if not arns:
        return []
    through = {"StringEquals": {"kms:ViaService": f"ec2.{scope.region}.amazonaws.com"}}
    return [allow("Encrypt", USES_KEY, arns, **through)]
