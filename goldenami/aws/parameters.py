"""Parameter Store: read, create once, and publish AMI ids that AWS checks.

Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError
from goldenami.model.fleet import ReleasePointer
from goldenami.model.references import ParameterHistory, ParameterVersion, resource_ids
from goldenami.tools.clock import Clock, poll

Kind = Literal["String", "StringList", "SecureString"]


@dataclass(frozen=True)
class Parameter:
    """A parameter as it is now; `value` is not filled in for a SecureString."""

    name: str
    value: str
    version: int


def get(aws: AwsSession, name: str) -> Parameter | None:
    """Read a parameter without decrypting it; None when there is none."""
    try:
        found = aws.client("ssm").get_parameter(Name=name)["Parameter"]
    except ClientError as error:
        if code(error) == "ParameterNotFound":
            return None
        raise
    value = "" if found["Type"] == "SecureString" else found["Value"]
    return Parameter(name, value, found["Version"])


def get_secret(aws: AwsSession, name: str) -> str:
    """The value of a parameter, decrypted. It must not be printed, logged or written anywhere.

    Raises:
        AwsError: There is none.
    """
    try:
        return aws.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    except ClientError as error:
        if code(error) == "ParameterNotFound":
            raise AwsError(f"there is no parameter {name}", next=f"aws ssm put-parameter --name {name} …") from None
        raise


def list_children(aws: AwsSession, path: str) -> list[Parameter]:
    """Every parameter directly under a path."""
    pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=False)
    return [Parameter(p["Name"], p["Value"], p["Version"]) for page in pages for p in page["Parameters"]]


def create(aws: AwsSession, name: str, value: str, kind: Kind = "String") -> bool:
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


def overwrite(aws: AwsSession, name: str, value: str) -> int:
    """Give a parameter another value; returns its version."""
    return aws.client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)["Version"]


def delete(aws: AwsSession, name: str) -> bool:
    """Delete a parameter; False when there is none."""
    try:
        aws.client("ssm").delete_parameter(Name=name)
    except ClientError as error:
        if code(error) == "ParameterNotFound":
            return False
        raise
    return True


def get_history(aws: AwsSession, name: str) -> list[ReleasePointer]:
    """Every version of a parameter that Parameter Store still has (it keeps 100), oldest first."""
    try:
        pages = list(aws.client("ssm").get_paginator("get_parameter_history").paginate(Name=name))
    except ClientError as error:
        if code(error) == "ParameterNotFound":
            return []
        raise
    found = [
        ReleasePointer(
            ami=p["Value"],
            version=p["Version"],
            modified=f"{p['LastModifiedDate']:%Y-%m-%dT%H:%M:%SZ}" if "LastModifiedDate" in p else "",
            modified_by=p.get("LastModifiedUser", ""),
            note=p.get("Description", ""),
            labels=tuple(p.get("Labels", [])),
        )
        for page in pages
        for p in page["Parameters"]
    ]
    return sorted(found, key=lambda pointer: pointer.version)


def list_image_parameters(
    aws: AwsSession, always_read: frozenset[str], previous: Mapping[str, ParameterHistory], skip_path: str
) -> dict[str, ParameterHistory]:
    """What every parameter of the account names of AMIs and snapshots, in each version that Parameter Store still has.

    A SecureString is not read: EC2 takes no AMI from one.

    Args:
        aws: Where.
        always: Parameters that are read even if they look unchanged.
        before: What was read earlier; a parameter of the same version and date is not read again.
        unread: What is under this path is only listed: facts about images, which name none.
    """
    ssm = aws.client("ssm")
    found: dict[str, ParameterHistory] = {}
    single = []
    for page in ssm.get_paginator("describe_parameters").paginate(PaginationConfig={"PageSize": 50}):
        for listed in page["Parameters"]:
            if listed["Type"] == "SecureString":
                continue
            name = listed["Name"]
            now = ParameterHistory(listed.get("Version", 1), str(listed.get("LastModifiedDate", "")))
            known = previous.get(name)
            same = known and (known.version, known.modified) == (now.version, now.modified)
            if known and same and name not in always_read:
                found[name] = known
            elif name.startswith(f"{skip_path}/"):
                found[name] = now
            elif now.version == 1 and name not in always_read:
                single.append(name)
                found[name] = now
            else:
                found[name] = _history(aws, name, now)
    for name, value in _values(aws, single):
        found[name] = ParameterHistory(1, found[name].modified, _version(1, value))
    return found


def _history(aws: AwsSession, name: str, now: ParameterHistory) -> ParameterHistory:
    """A parameter with all its versions; as it is listed when it is deleted in this very moment."""
    said: list[ParameterVersion] = []
    try:
        pages = aws.client("ssm").get_paginator("get_parameter_history").paginate(Name=name)
        for version in (version for page in pages for version in page["Parameters"]):
            said += _version(version["Version"], version.get("Value", ""), tuple(version.get("Labels", [])))
            now = ParameterHistory(max(now.version, version["Version"]), now.modified)
    except ClientError as error:
        if code(error) != "ParameterNotFound":
            raise
    return ParameterHistory(now.version, now.modified, tuple(sorted(said, key=lambda one: one.version)))


def _values(aws: AwsSession, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for start in range(0, len(names), 10):  # GetParameters takes ten
        answer = aws.client("ssm").get_parameters(Names=names[start : start + 10])
        yield from ((found["Name"], found["Value"]) for found in answer["Parameters"])


def _version(version: int, value: str, labels: tuple[str, ...] = ()) -> tuple[ParameterVersion, ...]:
    named = resource_ids(value)
    return (ParameterVersion(version, named, labels),) if named else ()


def put_parts(aws: AwsSession, path: str, parts: Sequence[str]) -> None:
    """Keep a text that is too long for one parameter in several under a path; each says which of how many it is."""
    for number, part in enumerate(parts, 1):
        name = f"{path}/{number}-of-{len(parts)}"
        aws.client("ssm").put_parameter(Name=name, Value=part, Type="String", Overwrite=True)


def get_parts(aws: AwsSession, path: str) -> list[str]:
    """The parts of a text under a path, in order; none where they are not all there."""
    found = {p.name.rpartition("/")[2]: p.value for p in list_children(aws, path)}
    wanted = [f"{number}-of-{len(found)}" for number in range(1, len(found) + 1)]
    return [found[name] for name in wanted] if set(wanted) == set(found) else []


def delete_all(aws: AwsSession, names: Sequence[str]) -> None:
    """Delete parameters; those that are gone already are fine."""
    for start in range(0, len(names), 10):  # DeleteParameters takes ten
        aws.client("ssm").delete_parameters(Names=names[start : start + 10])


def label(aws: AwsSession, name: str, version: int, word: str) -> None:
    """Put a label on a version of a parameter; another version that has it loses it."""
    aws.client("ssm").label_parameter_version(Name=name, ParameterVersion=version, Labels=[word])


def publish_ami(aws: AwsSession, clock: Clock, name: str, ami: str, note: str = "") -> int:
    """Point a parameter at an AMI and make sure that it took.

    PutParameter answers before AWS has checked a value of data type `aws:ec2:image`; when the check fails, the new
    version never appears. So it is read back at its version.
    Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html

    Args:
        aws: Where.
        clock: What to wait with.
        name: The parameter.
        ami: The AMI's id.
        note: Kept with the version, and shown in the parameter's history; at most 1024 characters.

    Returns:
        The parameter's version.

    Raises:
        AwsError: AWS did not take the value.
    """
    ssm = aws.client("ssm")
    current = get(aws, name)
    if current and current.value == ami:
        return current.version
    described: Any = {"Description": note[:1024]} if note else {}
    version = ssm.put_parameter(
        Name=name, Value=ami, Type="String", DataType="aws:ec2:image", Overwrite=True, **described
    )["Version"]
    for _ in poll(clock, timeout=60, every=2):
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
