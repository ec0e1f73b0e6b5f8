"""Parameter Store: parameters, their histories, and published AMI ids that AWS validates.

Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from goldenami.aws.errors import suppress
from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError
from goldenami.model.fleet import ReleasePointer
from goldenami.model.references import ParameterHistory, ParameterVersion, resource_ids
from goldenami.tools.clock import Clock, wait_until

if TYPE_CHECKING:
    from mypy_boto3_ssm.type_defs import GetParameterHistoryResultTypeDef

Kind = Literal["String", "StringList", "SecureString"]


@dataclass(frozen=True)
class Parameter:
    """Current version of a parameter; `value` is empty for a SecureString."""

    name: str
    value: str
    version: int


def get(aws: AwsSession, name: str) -> Parameter | None:
    """Return a parameter without decrypting it, or None if it does not exist."""
    with suppress("ParameterNotFound"):
        parameter = aws.client("ssm").get_parameter(Name=name)["Parameter"]
        value = "" if parameter["Type"] == "SecureString" else parameter["Value"]
        return Parameter(name, value, parameter["Version"])
    return None


def get_secret(aws: AwsSession, name: str) -> str:
    """Return the decrypted value of a parameter. It must not be printed, logged or stored.

    Raises:
        AwsError: The parameter does not exist.
    """
    with suppress("ParameterNotFound"):
        return aws.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    raise AwsError(f"the parameter {name} does not exist", next=f"aws ssm put-parameter --name {name} …")


def list_children(aws: AwsSession, path: str) -> list[Parameter]:
    """Return every parameter directly under a path."""
    pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=False)
    return [Parameter(p["Name"], p["Value"], p["Version"]) for page in pages for p in page["Parameters"]]


def create(aws: AwsSession, name: str, value: str, kind: Kind = "String") -> bool:
    """Create a parameter; return False, and change nothing, if it exists.

    Of two concurrent calls exactly one succeeds, so a parameter can serve as a lock or a reservation.
    """
    with suppress("ParameterAlreadyExists"):
        aws.client("ssm").put_parameter(Name=name, Value=value, Type=kind, Overwrite=False)
        return True
    return False


def overwrite(aws: AwsSession, name: str, value: str) -> int:
    """Write a parameter's value; return the new version."""
    return aws.client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)["Version"]


def delete(aws: AwsSession, name: str) -> bool:
    """Delete a parameter; return False if it does not exist."""
    with suppress("ParameterNotFound"):
        aws.client("ssm").delete_parameter(Name=name)
        return True
    return False


def get_history(aws: AwsSession, name: str) -> list[ReleasePointer]:
    """Return the versions of a parameter that Parameter Store keeps (the last 100), oldest first."""
    pages: list[GetParameterHistoryResultTypeDef] = []
    with suppress("ParameterNotFound"):
        pages = list(aws.client("ssm").get_paginator("get_parameter_history").paginate(Name=name))
    pointers = [
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
    return sorted(pointers, key=lambda pointer: pointer.version)


def list_image_parameters(
    aws: AwsSession, always_read: frozenset[str], previous: Mapping[str, ParameterHistory], skip_path: str
) -> dict[str, ParameterHistory]:
    """Return which AMIs and snapshots each parameter of the account references, in every version that is kept.

    A SecureString is not read: EC2 does not accept an AMI id from one. A parameter of the same version and date as in
    `previous`, the result of an earlier call, is not read again unless it is in `always_read`. Parameters below `skip_path`,
    the inventories of images, are listed but not read.
    """
    ssm = aws.client("ssm")
    histories: dict[str, ParameterHistory] = {}
    single_version = []
    for page in ssm.get_paginator("describe_parameters").paginate(PaginationConfig={"PageSize": 50}):
        for listed in page["Parameters"]:
            if listed["Type"] == "SecureString":
                continue
            name = listed["Name"]
            current = ParameterHistory(listed.get("Version", 1), str(listed.get("LastModifiedDate", "")))
            known = previous.get(name)
            unchanged = known and (known.version, known.modified) == (current.version, current.modified)
            if known and unchanged and name not in always_read:
                histories[name] = known
            elif name.startswith(f"{skip_path}/"):
                histories[name] = current
            elif current.version == 1 and name not in always_read:
                single_version.append(name)
                histories[name] = current
            else:
                histories[name] = _read_history(aws, name, current)
    for name, value in _values(aws, single_version):
        histories[name] = ParameterHistory(1, histories[name].modified, _version(1, value))
    return histories


def _read_history(aws: AwsSession, name: str, listed: ParameterHistory) -> ParameterHistory:
    """Return a parameter with all its versions; as it was listed if it has been deleted since."""
    versions: list[ParameterVersion] = []
    newest = listed.version
    with suppress("ParameterNotFound"):
        pages = aws.client("ssm").get_paginator("get_parameter_history").paginate(Name=name)
        for version in (version for page in pages for version in page["Parameters"]):
            versions += _version(version["Version"], version.get("Value", ""), tuple(version.get("Labels", [])))
            newest = max(newest, version["Version"])
    return ParameterHistory(newest, listed.modified, tuple(sorted(versions, key=lambda version: version.version)))


def _values(aws: AwsSession, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for start in range(0, len(names), 10):  # the limit of a call
        response = aws.client("ssm").get_parameters(Names=names[start : start + 10])
        yield from ((parameter["Name"], parameter["Value"]) for parameter in response["Parameters"])


def _version(version: int, value: str, labels: tuple[str, ...] = ()) -> tuple[ParameterVersion, ...]:
    references = resource_ids(value)
    return (ParameterVersion(version, references, labels),) if references else ()


def put_parts(aws: AwsSession, path: str, parts: Sequence[str]) -> None:
    """Store the parts of a long text in parameters under a path, named `1-of-3`, `2-of-3`, …"""
    for number, part in enumerate(parts, 1):
        overwrite(aws, f"{path}/{number}-of-{len(parts)}", part)


def get_parts(aws: AwsSession, path: str) -> list[str]:
    """Return the parts of a text under a path, in order; none if one is missing."""
    parts = {p.name.rpartition("/")[2]: p.value for p in list_children(aws, path)}
    names = [f"{number}-of-{len(parts)}" for number in range(1, len(parts) + 1)]
    return [parts[name] for name in names] if set(names) == set(parts) else []


def delete_all(aws: AwsSession, names: Sequence[str]) -> None:
    """Delete parameters; no error if one does not exist."""
    for start in range(0, len(names), 10):  # the limit of a call
        aws.client("ssm").delete_parameters(Names=names[start : start + 10])


def label(aws: AwsSession, name: str, version: int, label: str) -> None:
    """Label a version of a parameter; the label moves from another version that has it."""
    aws.client("ssm").label_parameter_version(Name=name, ParameterVersion=version, Labels=[label])


def publish_ami(aws: AwsSession, clock: Clock, name: str, ami: str, note: str = "") -> int:
    """Write an AMI id to a parameter, verify that AWS accepted it, and return the version; `note` is cut at 1024 characters.

    PutParameter returns before AWS has validated a value of data type `aws:ec2:image`; if that fails, the new version
    never appears. So the version is read back.
    Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html

    Raises:
        AwsError: AWS did not accept the value.
    """
    ssm = aws.client("ssm")
    current = get(aws, name)
    if current and current.value == ami:
        return current.version
    description: Any = {"Description": note[:1024]} if note else {}
    version = ssm.put_parameter(
        Name=name, Value=ami, Type="String", DataType="aws:ec2:image", Overwrite=True, **description
    )["Version"]

    def read_back() -> str:
        with suppress("ParameterVersionNotFound", "ParameterNotFound"):
            return ssm.get_parameter(Name=f"{name}:{version}")["Parameter"]["Value"]
        return ""

    unchanged = f"its value is {current.value}" if current else "it does not exist"
    wait_until(
        clock,
        read_back,
        lambda value: value == ami,
        timeout=60,
        every=2,
        on_timeout=lambda _: AwsError(
            f"Parameter Store did not accept {ami} for {name}",
            state=f"The AMI exists; the parameter was not changed: {unchanged}.",
            next=f"aws ssm get-parameter-history --name {name}",
        ),
    )
    return version
