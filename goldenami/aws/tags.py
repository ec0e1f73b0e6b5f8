"""Tags as EC2 wants them, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import TagSpecificationTypeDef, TagTypeDef


def pairs(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """Tags as the list of keys and values that EC2's calls take."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def mapping(tags: Iterable[TagTypeDef]) -> dict[str, str]:
    """EC2's list of keys and values as a mapping."""
    return {tag.get("Key", ""): tag.get("Value", "") for tag in tags}


def tag_specification(kind: str, tags: Mapping[str, str]) -> TagSpecificationTypeDef:
    """Tags to put on a resource in the very call that makes it."""
    return {"ResourceType": kind, "Tags": pairs(tags)}  # type: ignore[typeddict-item]
