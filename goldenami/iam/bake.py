"""The least that a bake, the monthly rebuild and its notices need, as statements of IAM policies.

Sources: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html and
https://developer.hashicorp.com/packer/integrations/hashicorp/amazon (what Packer's builder calls).
"""

from __future__ import annotations

from goldenami.iam.statements import USES_KEY, PolicyScope, Statement, allow, key_arn
from goldenami.model import image
from goldenami.model.names import ResourceNames


def survey(_place: PolicyScope) -> list[Statement]:
    """Look at what a bake starts from and what earlier ones left."""
    things = ("Images", "ImageAttribute", "InstanceStatus", "InstanceTypeOfferings", "KeyPairs", "Regions")
    more = ("Instances", "SecurityGroups", "Snapshots", "Subnets", "Tags", "Volumes", "Vpcs")
    return [allow("Survey", [f"ec2:Describe{thing}" for thing in (*things, *more)])]


def build(place: PolicyScope) -> list[Statement]:
    """Launch builders, make images of them, and remove what was made on the way.

    Machines can be ended only where they carry the image's tag, which both Packer and the second gate launch them with.
    """
    parts = ("instance", "volume", "network-interface", "security-group", "subnet", "key-pair", "vpc")
    here = [place.arn("ec2", f"{part}/*") for part in parts]
    # Images and snapshots have ARNs without an account.
    made = [f"arn:aws:ec2:{place.region}::{kind}/*" for kind in ("image", "snapshot")]
    ours = {"StringEquals": {f"aws:ResourceTag/{image.IMAGE}": place.recipe.image.name}}
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
    machines = place.arn("ec2", "instance/*")
    profile = f"{place.recipe.image.name}-bake"
    role = [place.arn("iam", f"{kind}/{profile}", region=False) for kind in ("role", "instance-profile")]
    iam = ("AddRoleToInstanceProfile", "CreateInstanceProfile", "CreateRole", "GetInstanceProfile", "PutRolePolicy")
    return [
        allow("Build", [f"ec2:{verb}" for verb in verbs], [*here, *made]),
        allow("EndBuilders", ["ec2:StopInstances", "ec2:TerminateInstances"], machines, **ours),
        allow("BuilderConsole", ["ec2:GetConsoleOutput"], machines),
        allow("BuilderRole", [f"iam:{verb}" for verb in iam], role),
        allow("PassBuilderRole", ["iam:PassRole"], role[0], StringEquals={"iam:PassedToService": "ec2.amazonaws.com"}),
        *encrypt(place),
    ]


def numbers(place: PolicyScope) -> list[Statement]:
    """Reserve versions, publish the candidate, make the application's parameters, find the vendor's AMI."""
    name = place.recipe.image.name
    own = [
        place.arn("ssm", f"parameter/goldenami/{name}/{rest}") for rest in ("candidate", "versions/*", "inventory/*")
    ]
    theirs = [place.arn("ssm", f"parameter{parameter.name}") for parameter in place.recipe.parameters]
    read = [place.arn("ssm", f"parameter/goldenami/{name}/*"), f"arn:aws:ssm:{place.region}::parameter/aws/service/*"]
    return [
        allow("ReadNumbers", ["ssm:GetParameter", "ssm:GetParametersByPath"], [*read, *theirs]),
        allow("PublishCandidate", ["ssm:PutParameter"], [*own, *theirs]),
    ]


def rebuild_record(place: PolicyScope) -> list[Statement]:
    """Write down how far a rebuild is, and claim it."""
    names = ResourceNames(place.recipe.image.name)
    there = [
        f"parameter{names.rebuild_record}",
        f"parameter{names.rebuild_lock}",
        f"parameter{names.rebuild_lock}-after-*",
    ]
    where = [place.arn("ssm", what) for what in there]
    return [allow("Record", ["ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"], where)]


def notify(place: PolicyScope) -> list[Statement]:
    """Tell the places that the recipe names."""
    wanted = place.recipe.notify
    topic = [allow("Tell", ["sns:Publish"], wanted.sns_topic_arn)] if wanted.sns_topic_arn else []
    name = wanted.webhook_parameter
    webhook = [allow("Webhook", ["ssm:GetParameter"], place.arn("ssm", f"parameter{name}"))] if name else []
    return [*topic, *webhook]


def pricelist(_place: PolicyScope) -> list[Statement]:
    """Ask the AWS Price List, which knows no resources."""
    return [allow("Prices", ["pricing:GetProducts"])]


def schedule(place: PolicyScope) -> list[Statement]:
    """Make, correct and remove the rebuild's schedule on AWS."""
    name = f"{place.recipe.image.name}-rebuild"
    roles = [place.arn("iam", f"role/{name}-{what}", region=False) for what in ("build", "schedule")]
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
        allow("Project", project, place.arn("codebuild", f"project/{name}")),
        allow("Schedule", schedule, place.arn("scheduler", f"schedule/default/{name}")),
    ]


def encrypt(place: PolicyScope) -> list[Statement]:
    """Let EBS use the recipe's keys; it uses the account's default key without further ado."""
    used = {place.recipe.target(name).kms_key_id for name in ("local", "aws")} - {""}
    arns = sorted({key_arn(place.region, place.account, key) for key in used})
    if not arns:
        return []
    through = {"StringEquals": {"kms:ViaService": f"ec2.{place.region}.amazonaws.com"}}
    return [allow("Encrypt", USES_KEY, arns, **through)]
