"""Permission checks by EC2's dry runs.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonParameters.html (`DryRun`)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession


def denied_actions(aws: AwsSession, ami: str, instance_type: str) -> list[str]:
    """Return the actions of a bake that these credentials may not call.

    A dry run answers `DryRunOperation` if the real call would be allowed and `UnauthorizedOperation` if not; any other
    answer, such as an id that does not exist, comes after the permission check and counts as allowed.
    """
    ec2 = aws.client("ec2")
    instance: dict[str, Any] = {"ImageId": ami, "InstanceType": instance_type, "MinCount": 1, "MaxCount": 1}
    calls: dict[str, Callable[[], Any]] = {
        "ec2:RunInstances": lambda: ec2.run_instances(**instance, DryRun=True),
        "ec2:CreateSecurityGroup": lambda: ec2.create_security_group(
            GroupName="goldenami-dry-run", Description="dry run", DryRun=True
        ),
        "ec2:CreateTags": lambda: ec2.create_tags(Resources=[ami], Tags=[{"Key": "a", "Value": "b"}], DryRun=True),
        "ec2:DescribeImages": lambda: ec2.describe_images(Owners=["self"], DryRun=True),
    }
    return [action for action, call in calls.items() if not _is_allowed(call)]


def _is_allowed(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError as error:
        return code(error) not in ("UnauthorizedOperation", "AccessDenied")
    return True
