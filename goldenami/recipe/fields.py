"""The types of the recipe's keys (names, paths, ids), each with its validation rule."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Lists of the recipe are stored as tuples; strict mode alone would refuse TOML's lists for them.
Frozen = Field(strict=False)


class Section(BaseModel):
    """Base of all sections: frozen, without unknown keys, without implicit conversion (`"8080"` is not a number)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)


def field(
    default: object = ..., *, description: str, example: object, expected: str | None = None, **constraints: Any
) -> Any:
    """Declare a key of the recipe, with the texts of its reference and its error messages.

    `expected` follows the word "expected"; `constraints` are arguments of pydantic's Field (`ge`, `alias`, …).
    """
    return Field(
        cast(Any, default),
        description=description,
        examples=[example],
        json_schema_extra={"expected": expected} if expected else None,
        **constraints,
    )


def number(default: int, low: int, high: int, description: str, *, unit: str = "") -> Any:
    """Declare a key whose value is a number from `low` to `high`."""
    expected = f"a number{f' of {unit}' if unit else ''} from {low} to {high}"
    return field(default, description=description, expected=expected, example=default, ge=low, le=high)


def flag(default: bool, description: str) -> Any:
    """Declare a key whose value is true or false."""
    return field(default, description=description, expected="true or false", example=True)


def matches(pattern: str, *, refuse: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """Return a validator: the whole text matches the pattern, and none of the patterns in `refuse` (with their messages)."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError
        for refused, message in (refuse or {}).items():
            if re.fullmatch(refused, value):
                raise ValueError(message)
        return value

    return check


def _plain(value: str) -> str:
    # systemd and EC2 refuse control characters; a NUL cannot even be in an environment. Tab and newline are text.
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value):
        raise ValueError("text without control characters")
    return value


def _line(value: str) -> str:
    if "\n" in value or "\t" in value:
        raise ValueError("text on one line")
    return _plain(value)


def _directory(value: str) -> str:
    path = PurePosixPath(value)
    if not re.fullmatch(r"(/[A-Za-z0-9._@+-]+)+", value) or ".." in path.parts or "." in value.split("/"):
        raise ValueError
    system = {"/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/dev", "/proc", "/sys", "/run", "/tmp"}  # noqa: S108
    shared = {"/opt", "/srv", "/var", "/home", "/root", "/mnt", "/media", "/var/lib", "/var/tmp", "/usr/local"}  # noqa: S108
    top = "/" + path.parts[1]
    if value in shared or (top in system and not value.startswith("/usr/local/")) or value.startswith("/var/tmp/"):  # noqa: S108
        raise ValueError("a directory of the application's own, such as /opt/NAME (this one belongs to the system)")
    return value


def _inner_path(value: str) -> str:
    path = PurePosixPath(value)
    if value and (path.is_absolute() or ".." in path.parts or not re.fullmatch(r"[A-Za-z0-9._@+/-]+", value)):
        raise ValueError
    return value


def _size(value: int | str) -> int | str:
    if (isinstance(value, int) and value < 1) or (
        isinstance(value, str) and not re.fullmatch(r"[1-9]\d* (MiB|GiB)", value)
    ):
        raise ValueError
    return value


def _parameter(value: str) -> str:
    # https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", value):
        raise ValueError
    levels = value.strip("/").split("/")
    if len(levels) > 15 or len(value) > 900:
        raise ValueError("a parameter name of at most 15 levels and 900 characters")
    if re.match(r"(?i)aws|ssm", levels[0]):
        raise ValueError("a parameter name whose first level does not begin with aws or ssm (reserved by AWS)")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)  # strict: refuses host bits, as in 10.0.0.1/8
    except ValueError:
        raise ValueError("a network such as 203.0.113.7/32, whose bits after the prefix are zero") from None
    return value


def _url(value: str) -> str:
    if value:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", value):
            raise ValueError
        if parts.username or parts.password:
            raise ValueError("a URL without a user name or password in it")
    return value


def _https(value: str) -> str:
    if value and urlsplit(value).scheme != "https":
        raise ValueError
    return _url(value)


def _or_empty(check: Callable[[str], str]) -> Callable[[str], str]:
    return lambda value: check(value) if value else value


ImageName = Annotated[str, AfterValidator(matches(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?"))]
Environment = Annotated[str, AfterValidator(matches(r"[A-Za-z][A-Za-z0-9-]{0,31}"))]
AmiId = Annotated[str, AfterValidator(matches(r"|ami-(?:[0-9a-f]{8}|[0-9a-f]{17})"))]
AccountId = Annotated[str, AfterValidator(matches(r"\d{12}"))]
SubnetId = Annotated[str, AfterValidator(matches(r"|subnet-(?:[0-9a-f]{8}|[0-9a-f]{17})"))]
SecurityGroupId = Annotated[str, AfterValidator(matches(r"sg-(?:[0-9a-f]{8}|[0-9a-f]{17})"))]
Region = Annotated[str, AfterValidator(matches(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}"))]
DatabaseClass = Annotated[str, AfterValidator(matches(r"db\.[a-z0-9-]+\.[a-z0-9]+"))]
InstanceType = Annotated[str, AfterValidator(matches(r"[a-z][a-z0-9-]*\.[a-z0-9-]+"))]
InstanceTypeOrNone = Annotated[str, AfterValidator(matches(r"|[a-z][a-z0-9-]*\.[a-z0-9-]+"))]
KmsKey = Annotated[
    str,
    AfterValidator(
        matches(
            r"|(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:)?(?:key/)?(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
            r"|(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:)?alias/[A-Za-z0-9/_-]+"
        )
    ),
]
GoVersion = Annotated[str, AfterValidator(matches(r"1\.\d{1,3}(?:\.\d{1,3})?"))]
Sha256 = Annotated[str, AfterValidator(matches(r"|[0-9a-f]{64}"))]
PackageName = Annotated[str, AfterValidator(matches(r"[A-Za-z0-9][A-Za-z0-9.+_~-]*"))]
UserName = Annotated[
    str, AfterValidator(matches(r"[a-z_][a-z0-9_-]{0,30}", refuse={"root": "a user of its own, not root"}))
]
DatabaseName = Annotated[
    str,
    AfterValidator(
        matches(
            r"[a-z_][a-z0-9_]{0,62}", refuse={"postgres|template[01]": "a name that PostgreSQL does not use itself"}
        )
    ),
]
# Unquoted names, with or without the schema that they are in.
TableName = Annotated[str, AfterValidator(matches(r"(?:[a-z_][a-z0-9_]{0,62}\.)?[a-z_][a-z0-9_]{0,62}"))]
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BucketName = Annotated[
    str,
    AfterValidator(
        _or_empty(matches(r"(?!xn--|sthree-)(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"))
    ),
]
ParameterName = Annotated[str, AfterValidator(_parameter)]
ParameterNameOrNone = Annotated[str, AfterValidator(_or_empty(_parameter))]
Directory = Annotated[str, AfterValidator(_directory)]
InnerPath = Annotated[str, AfterValidator(_inner_path)]
Size = Annotated[int | str, AfterValidator(_size)]
Command = Annotated[str, AfterValidator(matches(r"/[^\s]*[^\s/](?:[ ][^\n]*)?(?<!\\)")), AfterValidator(_line)]
HealthPath = Annotated[str, AfterValidator(matches(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*"))]
Network = Annotated[str, AfterValidator(_network)]
Url = Annotated[str, AfterValidator(_url)]
HttpsUrl = Annotated[str, AfterValidator(_https)]
Profile = Annotated[str, AfterValidator(matches(r"[A-Za-z0-9_.@+=/-]*"))]
InstanceProfile = Annotated[str, AfterValidator(matches(r"[A-Za-z0-9+=,.@_-]{0,128}"))]
Zone = Annotated[str, AfterValidator(matches(r"[a-z]"))]
KeyName = Annotated[str, AfterValidator(matches(r"|[\x20-\x7e]{1,255}"))]
AlarmName = Annotated[str, AfterValidator(matches(r"[\x20-\x7e]{1,255}"))]
Weight = Annotated[int, Field(ge=1, le=100)]
Arn = Annotated[str, AfterValidator(matches(r"|arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:\d{12}:[\x21-\x7e]+"))]
VariableName = Annotated[str, AfterValidator(matches(r"[A-Za-z_][A-Za-z0-9_]*"))]
Text = Annotated[str, AfterValidator(_plain)]
Ref = Annotated[str, AfterValidator(_or_empty(matches(r"(?!-)(?!.*\.\.)[A-Za-z0-9._/+-]+(?<!/)(?<!\.lock)")))]


def words(items: Sequence[object]) -> str:
    """Join values in words: `15, 16 or 17`."""
    texts = [str(item) for item in items]
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " or " + texts[-1]
