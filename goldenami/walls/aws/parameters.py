"""Parameter Store: read, create once, and publish AMI ids that AWS checks.

Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from botocore.exceptions import ClientError

from goldenami.values.errors import AwsError
from goldenami.walls.aws.connection import Connection
from goldenami.walls.aws.errors import code
from goldenami.walls.clock import Clock, attempts

Kind = Literal["String", "StringList", "SecureString"]


@dataclass(frozen=True)
class Parameter:
    """A parameter as it is now; `value` is not filled in for a SecureString."""

    name: str
    value: str
    version: int


def get(aws: Connection, name: str) -> Parameter | None:
    """Read a parameter without decrypting it; None when there is none."""
    try:
        found = aws.client("ssm").get_parameter(Name=name)["Parameter"]
    except ClientError as error:
        if code(error) == "ParameterNotFound":
            return None
        raise
    value = "" if found["Type"] == "SecureString" else found["Value"]
    return Parameter(name, value, found["Version"])


def children(aws: Connection, path: str) -> list[Parameter]:
    """Every parameter directly under a path."""
    pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=False)
    return [Parameter(p["Name"], p["Value"], p["Version"]) for page in pages for p in page["Parameters"]]


def create(aws: Connection, name: str, value: str, kind: Kind = "String") -> bool:
    """Create a parameter; False when somebody else has done so already, in which case nothing is changed.

    Parameter Store decides between two who try at once, which makes a name a claim.
    """
    try:
        aws.client("ssm").put_parameter(Name=name, Value=value, Type=kind, Overwrite=False)
    except ClientError as error:
        if code(error) == "ParameterAlreadyExists":
            return False
        raise
    return True


def publish_ami(aws: Connection, clock: Clock, name: str, ami: str) -> int:
    """Point a parameter at an AMI and make sure that it took.

    PutParameter answers before AWS has checked a value of data type `aws:ec2:image`; when the check fails, the new
    version never appears. So it is read back at its version.
    Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html

    Args:
        aws: Where.
        clock: What to wait with.
        name: The parameter.
        ami: The AMI's id.

    Returns:
        The parameter's version.

    Raises:
        AwsError: AWS did not take the value.
    """
    ssm = aws.client("ssm")
    current = get(aws, name)
    if current and current.value == ami:
        return current.version
    version = ssm.put_parameter(Name=name, Value=ami, Type="String", DataType="aws:ec2:image", Overwrite=True)[
        "Version"
    ]
    for _ in attempts(clock, timeout=60, every=2):
        try:
            found = ssm.get_parameter(Name=f"{name}:{version}")["Parameter"]
        except ClientError as error:
            if code(error) not in ("ParameterVersionNotFound", "ParameterNotFound"):
                raise
            continue
        if found["Value"] == ami:
            return version
    was = f"it still says {current.value}" if current else "it does not exist"
    raise AwsError(
        f"Parameter Store did not accept {ami} for {name}",
        state=f"The AMI is there; the parameter was not changed: {was}.",
        next=f"aws ssm get-parameter-history --name {name}",
    )
