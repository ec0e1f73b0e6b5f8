"""Tags in EC2's form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import TagSpecificationTypeDef, TagTypeDef


def pairs(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """Convert a mapping to EC2's list of keys and values."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def mapping(tags: Iterable[TagTypeDef]) -> dict[str, str]:
    """Convert EC2's list of keys and values to a mapping."""
    return {tag.get("Key", ""): tag.get("Value", "") for tag in tags}


def tag_specification(kind: str, tags: Mapping[str, str]) -> TagSpecificationTypeDef:
    """Return the tags of a new resource, for the call that creates it."""
    return {"ResourceType": kind, "Tags": pairs(tags)}  # type: ignore[typeddict-item]
