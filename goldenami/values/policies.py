"""The least privilege of each task, as an IAM policy for the operator or the machine that runs it.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from goldenami.values import images as tags
from goldenami.values.errors import UsageError
from goldenami.values.recipe import Recipe
from goldenami.values.scene import Names


@dataclass(frozen=True)
class Place:
    """Where the policy is for: region, account, and the recipe's parts by name."""

    region: str
    account: str
    recipe: Recipe

    @property
    def names(self) -> Names:
        """What the parts are called."""
        return Names(self.recipe.image.name)

    def arn(self, service: str, what: str, *, region: bool = True) -> str:
        """The ARN of something in this account."""
        return f"arn:aws:{service}:{self.region if region else ''}:{self.account}:{what}"


Statement = dict[str, Any]


def policy(task: str, place: Place) -> dict[str, Any]:
    """The policy that a task needs, and nothing else.

    Raises:
        UsageError: There is no policy for this task.
    """
    if task not in _TASKS:
        raise UsageError(f"there is no policy for '{task}'; expected one of {', '.join(sorted(_TASKS))}")
    statements = [statement for part in _TASKS[task] for statement in part(place)]
    unique = [s for number, s in enumerate(statements) if s not in statements[:number]]
    return {"Version": "2012-10-17", "Statement": unique}


def tasks() -> Sequence[str]:
    """The tasks that there is a policy for."""
    return sorted(_TASKS)


def _allow(sid: str, actions: Sequence[str], resources: str | Sequence[str] = "*", **condition: Any) -> Statement:
    told: Statement = {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}
    return told | ({"Condition": condition} if condition else {})


def _who(_place: Place) -> list[Statement]:
    return [_allow("Who", ["sts:GetCallerIdentity"])]


def _look(place: Place) -> list[Statement]:
    # Describe calls of EC2, Auto Scaling and Elastic Load Balancing know no resources.
    fleet = [
        *("ec2:DescribeImages", "ec2:DescribeInstances", "ec2:DescribeLaunchTemplates"),
        *("ec2:DescribeLaunchTemplateVersions", "autoscaling:DescribeAutoScalingGroups"),
        *("autoscaling:DescribeInstanceRefreshes", "autoscaling:DescribeScalingActivities"),
        *("elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeTargetGroups"),
        "elasticloadbalancing:DescribeTargetHealth",
    ]
    read = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParameterHistory", "ssm:GetParametersByPath"]
    return [_allow("Look", fleet), _allow("ReadPointers", read, _pointers(place))]


def _pointers(place: Place) -> list[str]:
    return [place.arn("ssm", f"parameter/goldenami/{place.recipe.image.name}{rest}") for rest in ("", "/*")]


def _claim(place: Place) -> list[Statement]:
    return [
        _allow(
            "Claim",
            ["ssm:PutParameter", "ssm:DeleteParameter"],
            [
                place.arn("ssm", f"parameter{place.names.claim}"),
                place.arn("ssm", f"parameter{place.names.claim}-after-*"),
            ],
        )
    ]


def _commit(place: Place) -> list[Statement]:
    ours = {"StringEquals": {f"aws:ResourceTag/{tags.IMAGE}": place.recipe.image.name}}
    return [
        _allow(
            "Publish",
            ["ssm:PutParameter", "ssm:LabelParameterVersion"],
            place.arn("ssm", f"parameter{place.names.production}"),
        ),
        _allow("TagImages", ["ec2:CreateTags"], f"arn:aws:ec2:{place.region}::image/*", **ours),
        _allow(
            "TemplateVersions",
            ["ec2:CreateLaunchTemplateVersion", "ec2:ModifyLaunchTemplate"],
            place.arn("ec2", "launch-template/*"),
            StringEquals={"aws:ResourceTag/goldenami:fleet": place.recipe.image.name},
        ),
    ]


def _roll(place: Place) -> list[Statement]:
    group = place.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{place.names.group}")
    refresh = [f"autoscaling:{verb}InstanceRefresh" for verb in ("Start", "Cancel", "Rollback")]
    return [
        _allow("Roll", refresh, group),
        *_launch(place),
        _allow("Console", ["ec2:GetConsoleOutput"], _machines(place)),
    ]


def _machines(place: Place) -> str:
    return place.arn("ec2", "instance/*")


def _launch(place: Place) -> list[Statement]:
    # Auto Scaling checks, when a template version is given to it, that the caller may launch from it.
    web = place.arn("iam", f"role/{place.names.web}", region=False)
    ours = {"StringEquals": {"aws:RequestTag/goldenami:fleet": place.recipe.image.name}}
    parts = ("instance", "volume")
    others = ("launch-template", "network-interface", "security-group", "subnet", "key-pair")
    return [
        _allow("Launch", ["ec2:RunInstances"], [place.arn("ec2", f"{part}/*") for part in parts], **ours),
        _allow(
            "LaunchWith",
            ["ec2:RunInstances"],
            [*(place.arn("ec2", f"{part}/*") for part in others), f"arn:aws:ec2:{place.region}::image/*"],
        ),
        _allow(
            "TagLaunched",
            ["ec2:CreateTags"],
            [place.arn("ec2", f"{part}/*") for part in parts],
            StringEquals={"ec2:CreateAction": "RunInstances"},
        ),
        _allow("PassRole", ["iam:PassRole"], web, StringEquals={"iam:PassedToService": "ec2.amazonaws.com"}),
    ]


def _command(place: Place) -> list[Statement]:
    ours = {"StringEquals": {"aws:ResourceTag/goldenami:fleet": place.recipe.image.name}}
    return [
        _allow("RunScript", ["ssm:SendCommand"], f"arn:aws:ssm:{place.region}::document/AWS-RunShellScript"),
        _allow("RunOn", ["ssm:SendCommand"], _machines(place), **ours),
        _allow("RunResult", ["ssm:GetCommandInvocation"]),
    ]


def _terminate(place: Place) -> list[Statement]:
    ours = {"StringEquals": {"aws:ResourceTag/goldenami:fleet": place.recipe.image.name}}
    group = place.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{place.names.group}")
    return [
        _allow("Terminate", ["ec2:TerminateInstances"], _machines(place), **ours),
        _allow("TerminateMember", ["autoscaling:TerminateInstanceInAutoScalingGroup"], group),
    ]


def _mark(place: Place) -> list[Statement]:
    ours = {"StringEquals": {"aws:ResourceTag/goldenami:fleet": place.recipe.image.name}}
    return [_allow("MarkDrift", ["ec2:CreateTags", "ec2:DeleteTags"], _machines(place), **ours)]


def _register(place: Place) -> list[Statement]:
    target = place.arn("elasticloadbalancing", f"targetgroup/{place.names.target_group}/*")
    verbs = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
    return [_allow("Targets", verbs, target)]


def _own(place: Place) -> list[Statement]:
    """What makes and takes down the fleet's parts."""
    names = place.names
    group = place.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{names.group}")
    web = [place.arn("iam", f"{kind}/{names.web}", region=False) for kind in ("role", "instance-profile")]
    balancer = [
        place.arn("elasticloadbalancing", what)
        for what in (
            f"loadbalancer/app/{names.balancer}/*",
            f"targetgroup/{names.target_group}/*",
            f"listener/app/{names.balancer}/*",
        )
    ]
    elb = (
        *("AddTags", "CreateListener", "CreateLoadBalancer", "CreateTargetGroup", "DeleteLoadBalancer"),
        *("DeleteTargetGroup", "ModifyListener", "ModifyTargetGroup", "ModifyTargetGroupAttributes"),
    )
    iam = (
        *("AddRoleToInstanceProfile", "CreateInstanceProfile", "CreateRole", "DeleteInstanceProfile", "DeleteRole"),
        *("DeleteRolePolicy", "GetInstanceProfile", "PutRolePolicy", "RemoveRoleFromInstanceProfile"),
    )
    security = (
        *("AuthorizeSecurityGroupIngress", "CreateSecurityGroup", "DeleteSecurityGroup"),
        *("RevokeSecurityGroupIngress", "CreateLaunchTemplate", "DeleteLaunchTemplate", "CreateTags"),
    )
    parameters = [place.arn("ssm", f"parameter{parameter.name}") for parameter in place.recipe.parameters]
    asg = ("CreateAutoScalingGroup", "UpdateAutoScalingGroup", "DeleteAutoScalingGroup", "CreateOrUpdateTags")
    made = [
        _allow(
            "LookAround",
            [
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
                "elasticloadbalancing:DescribeListeners",
            ],
        ),
        _allow("Group", [f"autoscaling:{verb}" for verb in asg], group),
        _allow("Balancer", [f"elasticloadbalancing:{verb}" for verb in elb], balancer),
        _allow("Role", [f"iam:{verb}" for verb in iam], web),
        _allow(
            "Ground",
            [f"ec2:{verb}" for verb in security],
            [place.arn("ec2", f"{kind}/*") for kind in ("security-group", "launch-template", "vpc")],
        ),
        _allow(
            "ServiceRoles",
            ["iam:CreateServiceLinkedRole"],
            "*",
            StringLike={
                "iam:AWSServiceName": ["autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com"],
            },
        ),
    ]
    return [
        *made,
        *([_allow("AppParameters", ["ssm:GetParameter", "ssm:PutParameter"], parameters)] if parameters else []),
    ]


def _console(place: Place) -> list[Statement]:
    return [_allow("Console", ["ec2:GetConsoleOutput"], _machines(place))]


def _ground(_place: Place) -> list[Statement]:
    return [_allow("LookAround", ["ec2:DescribeSecurityGroups", "ec2:DescribeVpcs", "iam:GetInstanceProfile"])]


_CHANGES = (_who, _look, _claim)
_PROMOTE = (*_CHANGES, _commit, _roll, _command)
_TASKS: dict[str, tuple[Callable[[Place], list[Statement]], ...]] = {
    "status": (_who, _look),
    "instances": (_look,),
    "console": (_look, _console),
    "logs": (_look, _command),
    "terminate": (*_CHANGES, _terminate),
    "promote": _PROMOTE,
    "rollback": _PROMOTE,
    "deploy": (*_CHANGES, _commit, _launch, _register, _terminate, _own),
    "update": (*_CHANGES, _command, _mark),
    "fleet.show": (_look, _ground),
    "fleet.create": (*_CHANGES, _commit, _launch, _own),
    "fleet.destroy": (*_CHANGES, _roll, _own, _terminate),
}
