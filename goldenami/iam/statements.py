"""IAM policy statements that several tasks need.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldenami.model.names import ResourceNames
from goldenami.recipe.recipe import Recipe

Statement = dict[str, Any]


@dataclass(frozen=True)
class PolicyScope:
    """Region, account and recipe that a policy is for."""

    region: str
    account: str
    recipe: Recipe

    @property
    def names(self) -> ResourceNames:
        """Names of the fleet's resources."""
        return ResourceNames(self.recipe.image.name)

    @property
    def group_arn(self) -> str:
        """ARN of the Auto Scaling group."""
        return self.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{self.names.group}")

    @property
    def instances_arn(self) -> str:
        """ARN of all instances."""
        return self.arn("ec2", "instance/*")

    def arn(self, service: str, resource: str, *, region: bool = True) -> str:
        """Return the ARN of a resource in this account."""
        return f"arn:aws:{service}:{self.region if region else ''}:{self.account}:{resource}"

    def tagged(self, tag: str, key: str = "ResourceTag") -> dict[str, Any]:
        """Return the condition that a resource (or request) has the tag `goldenami:TAG` with the image's name."""
        return {"StringEquals": {f"aws:{key}/goldenami:{tag}": self.recipe.image.name}}


def allow(sid: str, actions: Sequence[str], resources: str | Sequence[str] = "*", **condition: Any) -> Statement:
    """Return a statement that allows these actions on these resources."""
    statement: Statement = {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}
    return statement | ({"Condition": condition} if condition else {})


def caller_identity(_scope: PolicyScope) -> list[Statement]:
    """Read the identity of the credentials."""
    return [allow("Identity", ["sts:GetCallerIdentity"])]


def describe_fleet(scope: PolicyScope) -> list[Statement]:
    """Read the state of the fleet."""
    # Describe actions of EC2, Auto Scaling and Elastic Load Balancing cannot be limited to resources.
    fleet = [
        *("ec2:DescribeImages", "ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplates"),
        *("ec2:DescribeLaunchTemplateVersions", "autoscaling:DescribeAutoScalingGroups"),
        *("autoscaling:DescribeInstanceRefreshes", "autoscaling:DescribeScalingActivities"),
        *("autoscaling:DescribeLifecycleHooks", "autoscaling:DescribeScheduledActions"),
        *("elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeTargetGroups"),
        *("elasticloadbalancing:DescribeTargetHealth", "elasticloadbalancing:DescribeListeners"),
    ]
    read = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParameterHistory", "ssm:GetParametersByPath"]
    quota = "servicequotas:GetServiceQuota"
    return [allow("Fleet", [*fleet, quota]), allow("ReadPointers", read, parameter_arns(scope))]


def parameter_arns(scope: PolicyScope) -> list[str]:
    """Return the ARNs of the image's parameters."""
    return [scope.arn("ssm", f"parameter/goldenami/{scope.recipe.image.name}{rest}") for rest in ("", "/*")]


def lock(scope: PolicyScope) -> list[Statement]:
    """Acquire and release the fleet's lock."""
    parameters = [scope.arn("ssm", f"parameter{scope.names.lock}{rest}") for rest in ("", "-after-*")]
    return [allow("Lock", ["ssm:PutParameter", "ssm:DeleteParameter"], parameters)]


def publish(scope: PolicyScope) -> list[Statement]:
    """Publish an image: production parameter, tags, launch template version."""
    production = scope.arn("ssm", f"parameter{scope.names.production}")
    return [
        allow("Publish", ["ssm:PutParameter", "ssm:LabelParameterVersion"], production),
        allow("TagImages", ["ec2:CreateTags"], f"arn:aws:ec2:{scope.region}::image/*", **scope.tagged("image")),
        allow(
            "TemplateVersions",
            ["ec2:CreateLaunchTemplateVersion", "ec2:ModifyLaunchTemplate"],
            scope.arn("ec2", "launch-template/*"),
            **scope.tagged("fleet"),
        ),
    ]


def instance_refresh(scope: PolicyScope) -> list[Statement]:
    """Run an instance refresh."""
    refresh = [f"autoscaling:{verb}InstanceRefresh" for verb in ("Start", "Cancel", "Rollback")]
    return [allow("Refresh", refresh, scope.group_arn), *launch_from_template(scope), *console_output(scope)]


def launch_from_template(scope: PolicyScope) -> list[Statement]:
    """Launch instances from the launch template, which Auto Scaling requires of the caller that sets its version."""
    web = scope.arn("iam", f"role/{scope.names.web}", region=False)
    parts = [scope.arn("ec2", f"{part}/*") for part in ("instance", "volume")]
    others = ("launch-template", "network-interface", "security-group", "subnet", "key-pair")
    return [
        allow("Launch", ["ec2:RunInstances"], parts, **scope.tagged("fleet", "RequestTag")),
        allow(
            "LaunchWith",
            ["ec2:RunInstances"],
            [*(scope.arn("ec2", f"{part}/*") for part in others), f"arn:aws:ec2:{scope.region}::image/*"],
        ),
        allow("TagLaunched", ["ec2:CreateTags"], parts, StringEquals={"ec2:CreateAction": "RunInstances"}),
        allow("PassRole", ["iam:PassRole"], web, StringEquals={"iam:PassedToService": "ec2.amazonaws.com"}),
    ]


def run_command(scope: PolicyScope) -> list[Statement]:
    """Run scripts on the fleet's instances."""
    return [
        allow("RunScript", ["ssm:SendCommand"], f"arn:aws:ssm:{scope.region}::document/AWS-RunShellScript"),
        allow("RunOn", ["ssm:SendCommand"], scope.instances_arn, **scope.tagged("fleet")),
        allow("RunResult", ["ssm:GetCommandInvocation"]),
    ]


def terminate(scope: PolicyScope) -> list[Statement]:
    """Terminate the fleet's instances."""
    return [
        allow("Terminate", ["ec2:TerminateInstances"], scope.instances_arn, **scope.tagged("fleet")),
        allow("TerminateMember", ["autoscaling:TerminateInstanceInAutoScalingGroup"], scope.group_arn),
    ]


def tag_drift(scope: PolicyScope) -> list[Statement]:
    """Tag instances that were changed in place."""
    return [allow("MarkDrift", ["ec2:CreateTags", "ec2:DeleteTags"], scope.instances_arn, **scope.tagged("fleet"))]


def register_targets(scope: PolicyScope) -> list[Statement]:
    """Register and deregister instances with the target group."""
    target = scope.arn("elasticloadbalancing", f"targetgroup/{scope.names.target_group}/*")
    verbs = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
    return [allow("Targets", verbs, target)]


def console_output(scope: PolicyScope) -> list[Statement]:
    """Read the console output of instances."""
    return [allow("Console", ["ec2:GetConsoleOutput"], scope.instances_arn)]


# Actions of EBS with a customer managed key, on behalf of the caller that creates, copies or attaches a volume.
# https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
USES_KEY = [
    *("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"),
    *("kms:ReEncryptFrom", "kms:ReEncryptTo"),
]


def key_arn(region: str, account: str, key: str) -> str:
    """Return the ARN of a KMS key of the recipe.

    A policy cannot name a key by its alias; for an alias, the ARN is that of all keys of the account.
    """
    if key.startswith("arn:") and ":key/" in key:
        return key
    what = "*" if "alias/" in key else key.removeprefix("key/")
    return f"arn:aws:kms:{region}:{account}:key/{what}"
