"""The least that each step needs, as statements of IAM policies.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldenami.model import image
from goldenami.model.names import ResourceNames
from goldenami.recipe.recipe import Recipe

Statement = dict[str, Any]


@dataclass(frozen=True)
class PolicyScope:
    """Where the policy is for: region, account, and the recipe's parts by name."""

    region: str
    account: str
    recipe: Recipe

    @property
    def names(self) -> ResourceNames:
        """What the parts are called."""
        return ResourceNames(self.recipe.image.name)

    def arn(self, service: str, what: str, *, region: bool = True) -> str:
        """The ARN of something in this account."""
        return f"arn:aws:{service}:{self.region if region else ''}:{self.account}:{what}"


def allow(sid: str, actions: Sequence[str], resources: str | Sequence[str] = "*", **condition: Any) -> Statement:
    """A statement that allows these actions on these resources."""
    told: Statement = {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}
    return told | ({"Condition": condition} if condition else {})


def caller_identity(_scope: PolicyScope) -> list[Statement]:
    """Ask whose credentials these are."""
    return [allow("Who", ["sts:GetCallerIdentity"])]


def describe_fleet(scope: PolicyScope) -> list[Statement]:
    # Describe calls of EC2, Auto Scaling and Elastic Load Balancing know no resources.
    fleet = [
        *("ec2:DescribeImages", "ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplates"),
        *("ec2:DescribeLaunchTemplateVersions", "autoscaling:DescribeAutoScalingGroups"),
        *("autoscaling:DescribeInstanceRefreshes", "autoscaling:DescribeScalingActivities"),
        *("elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeTargetGroups"),
        *("elasticloadbalancing:DescribeTargetHealth", "elasticloadbalancing:DescribeListeners"),
    ]
    read = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParameterHistory", "ssm:GetParametersByPath"]
    quota = "servicequotas:GetServiceQuota"
    return [allow("Look", [*fleet, quota]), allow("ReadPointers", read, parameter_arns(scope))]


def parameter_arns(scope: PolicyScope) -> list[str]:
    return [scope.arn("ssm", f"parameter/goldenami/{scope.recipe.image.name}{rest}") for rest in ("", "/*")]


def lock(scope: PolicyScope) -> list[Statement]:
    return [
        allow(
            "Claim",
            ["ssm:PutParameter", "ssm:DeleteParameter"],
            [
                scope.arn("ssm", f"parameter{scope.names.lock}"),
                scope.arn("ssm", f"parameter{scope.names.lock}-after-*"),
            ],
        )
    ]


def publish(scope: PolicyScope) -> list[Statement]:
    ours = {"StringEquals": {f"aws:ResourceTag/{image.IMAGE}": scope.recipe.image.name}}
    return [
        allow(
            "Publish",
            ["ssm:PutParameter", "ssm:LabelParameterVersion"],
            scope.arn("ssm", f"parameter{scope.names.production}"),
        ),
        allow("TagImages", ["ec2:CreateTags"], f"arn:aws:ec2:{scope.region}::image/*", **ours),
        allow(
            "TemplateVersions",
            ["ec2:CreateLaunchTemplateVersion", "ec2:ModifyLaunchTemplate"],
            scope.arn("ec2", "launch-template/*"),
            StringEquals={"aws:ResourceTag/goldenami:fleet": scope.recipe.image.name},
        ),
    ]


def instance_refresh(scope: PolicyScope) -> list[Statement]:
    group = scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{scope.names.group}")
    refresh = [f"autoscaling:{verb}InstanceRefresh" for verb in ("Start", "Cancel", "Rollback")]
    return [
        allow("Roll", refresh, group),
        *launch_from_template(scope),
        allow("Console", ["ec2:GetConsoleOutput"], instances_arn(scope)),
    ]


def instances_arn(scope: PolicyScope) -> str:
    return scope.arn("ec2", "instance/*")


def launch_from_template(scope: PolicyScope) -> list[Statement]:
    # Auto Scaling checks, when a template version is given to it, that the caller may launch from it.
    web = scope.arn("iam", f"role/{scope.names.web}", region=False)
    ours = {"StringEquals": {"aws:RequestTag/goldenami:fleet": scope.recipe.image.name}}
    parts = ("instance", "volume")
    others = ("launch-template", "network-interface", "security-group", "subnet", "key-pair")
    return [
        allow("Launch", ["ec2:RunInstances"], [scope.arn("ec2", f"{part}/*") for part in parts], **ours),
        allow(
            "LaunchWith",
            ["ec2:RunInstances"],
            [*(scope.arn("ec2", f"{part}/*") for part in others), f"arn:aws:ec2:{scope.region}::image/*"],
        ),
        allow(
            "TagLaunched",
            ["ec2:CreateTags"],
            [scope.arn("ec2", f"{part}/*") for part in parts],
            StringEquals={"ec2:CreateAction": "RunInstances"},
        ),
        allow("PassRole", ["iam:PassRole"], web, StringEquals={"iam:PassedToService": "ec2.amazonaws.com"}),
    ]


def run_command(scope: PolicyScope) -> list[Statement]:
    ours = {"StringEquals": {"aws:ResourceTag/goldenami:fleet": scope.recipe.image.name}}
    return [
        allow("RunScript", ["ssm:SendCommand"], f"arn:aws:ssm:{scope.region}::document/AWS-RunShellScript"),
        allow("RunOn", ["ssm:SendCommand"], instances_arn(scope), **ours),
        allow("RunResult", ["ssm:GetCommandInvocation"]),
    ]


def terminate(scope: PolicyScope) -> list[Statement]:
    ours = {"StringEquals": {"aws:ResourceTag/goldenami:fleet": scope.recipe.image.name}}
    group = scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{scope.names.group}")
    return [
        allow("Terminate", ["ec2:TerminateInstances"], instances_arn(scope), **ours),
        allow("TerminateMember", ["autoscaling:TerminateInstanceInAutoScalingGroup"], group),
    ]


def tag_drift(scope: PolicyScope) -> list[Statement]:
    ours = {"StringEquals": {"aws:ResourceTag/goldenami:fleet": scope.recipe.image.name}}
    return [allow("MarkDrift", ["ec2:CreateTags", "ec2:DeleteTags"], instances_arn(scope), **ours)]


def register_targets(scope: PolicyScope) -> list[Statement]:
    target = scope.arn("elasticloadbalancing", f"targetgroup/{scope.names.target_group}/*")
    verbs = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
    return [allow("Targets", verbs, target)]


def console_output(scope: PolicyScope) -> list[Statement]:
    return [allow("Console", ["ec2:GetConsoleOutput"], instances_arn(scope))]


# What EBS does with a key of one's own in the name of whoever makes, copies or attaches a volume.
# https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
USES_KEY = [
    *("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"),
    *("kms:ReEncryptFrom", "kms:ReEncryptTo"),
]


def key_arn(region: str, account: str, key: str) -> str:
    """A key of the recipe as a policy names it.

    That cannot be by its alias; where the recipe does so, any key of the account is meant, through EC2 alone.
    """
    if key.startswith("arn:") and ":key/" in key:
        return key
    what = "*" if "alias/" in key else key.removeprefix("key/")
    return f"arn:aws:kms:{region}:{account}:key/{what}"
