"""IAM policy statements of the fleet's resources."""

from __future__ import annotations

from goldenami.iam.statements import PolicyScope, Statement, allow


def manage_resources(scope: PolicyScope) -> list[Statement]:
    """Create, update and delete the fleet's resources."""
    names = scope.names
    group = [
        scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")
        for name in (names.group, names.canary_group)
    ]
    web = [scope.arn("iam", f"{kind}/{names.web}", region=False) for kind in ("role", "instance-profile")]
    load_balancer = [
        scope.arn("elasticloadbalancing", what)
        for what in (
            f"loadbalancer/app/{names.load_balancer}/*",
            f"targetgroup/{names.target_group}/*",
            f"targetgroup/{names.canary_target_group}/*",
            f"listener/app/{names.load_balancer}/*",
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
    parameters = [scope.arn("ssm", f"parameter{parameter.name}") for parameter in scope.recipe.parameters]
    asg = ("CreateAutoScalingGroup", "UpdateAutoScalingGroup", "DeleteAutoScalingGroup", "CreateOrUpdateTags")
    statements = [
        allow("DescribeNetwork", ["ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"]),
        allow("Group", [f"autoscaling:{verb}" for verb in asg], group),
        allow("LoadBalancer", [f"elasticloadbalancing:{verb}" for verb in elb], load_balancer),
        allow("Role", [f"iam:{verb}" for verb in iam], web),
        allow(
            "Network",
            [f"ec2:{verb}" for verb in security],
            [scope.arn("ec2", f"{kind}/*") for kind in ("security-group", "launch-template", "vpc")],
        ),
        allow(
            "ServiceRoles",
            ["iam:CreateServiceLinkedRole"],
            "*",
            StringLike={"iam:AWSServiceName": ["autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com"]},
        ),
    ]
    return [
        *statements,
        *([allow("AppParameters", ["ssm:GetParameter", "ssm:PutParameter"], parameters)] if parameters else []),
    ]


def traffic_shift(scope: PolicyScope) -> list[Statement]:
    """Run a canary group, if the recipe shifts traffic by weight."""
    names = scope.names
    if not scope.recipe.promote.traffic:
        return []
    canary = scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{names.canary_group}")
    groups = ("CreateAutoScalingGroup", "UpdateAutoScalingGroup", "DeleteAutoScalingGroup", "CreateOrUpdateTags")
    targets = scope.arn("elasticloadbalancing", f"targetgroup/{names.canary_target_group}/*")
    verbs = ("AddTags", "CreateTargetGroup", "ModifyTargetGroup", "ModifyTargetGroupAttributes")
    listener = scope.arn("elasticloadbalancing", f"listener/app/{names.load_balancer}/*")
    around = ("ec2:DescribeSubnets", "ec2:DescribeVpcs")
    return [
        allow("CanaryGroup", [f"autoscaling:{verb}" for verb in groups], canary),
        allow("CanaryTargets", [f"elasticloadbalancing:{verb}" for verb in verbs], targets),
        allow("Weights", ["elasticloadbalancing:ModifyListener"], listener),
        allow("DescribeNetwork", around),
        *([allow("Alarms", ["cloudwatch:DescribeAlarms"])] if scope.recipe.promote.alarms else []),
    ]


def restart_instances(scope: PolicyScope) -> list[Statement]:
    """Start and stop the fleet's instances."""
    verbs = ["ec2:StartInstances", "ec2:StopInstances"]
    return [allow("Restart", verbs, scope.instances_arn, **scope.tagged("fleet"))]


def associate_address(scope: PolicyScope) -> list[Statement]:
    """Associate the fleet's Elastic IP address with another of its instances."""
    addresses = scope.arn("ec2", "elastic-ip/*")
    return [
        allow("DescribeAddresses", ["ec2:DescribeAddresses"]),
        allow("Address", ["ec2:AssociateAddress"], [addresses, scope.instances_arn], **scope.tagged("fleet")),
    ]


def describe_network(_scope: PolicyScope) -> list[Statement]:
    """Read security groups, VPCs and instance profiles."""
    return [allow("DescribeNetwork", ["ec2:DescribeSecurityGroups", "ec2:DescribeVpcs", "iam:GetInstanceProfile"])]
