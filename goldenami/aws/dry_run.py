"""Ask AWS whether we may, without doing it: EC2's dry runs.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonParameters.html (`DryRun`)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession


def denied_actions(aws: AwsSession, ami: str, instance_type: str) -> list[str]:
    """The calls of a bake that these credentials may not make.

    A dry run answers `DryRunOperation` where the real call would be allowed and `UnauthorizedOperation` where not; any
    other answer (an id that does not exist, say) comes after the permission check and counts as allowed.
    """
    ec2 = aws.client("ec2")
    machine: dict[str, Any] = {"ImageId": ami, "InstanceType": instance_type, "MinCount": 1, "MaxCount": 1}
    calls: dict[str, Callable[[], Any]] = {
        "ec2:RunInstances": lambda: ec2.run_instances(**machine, DryRun=True),
        "ec2:CreateSecurityGroup": lambda: ec2.create_security_group(
            GroupName="goldenami-dry-run", Description="dry run", DryRun=True
        ),
        "ec2:CreateTags": lambda: ec2.create_tags(Resources=[ami], Tags=[{"Key": "a", "Value": "b"}], DryRun=True),
        "ec2:DescribeImages": lambda: ec2.describe_images(Owners=["self"], DryRun=True),
    }
    return [name for name, call in calls.items() if not _allowed(call)]


def _allowed(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError as error:
        return code(error) not in ("UnauthorizedOperation", "AccessDenied")
    return True
