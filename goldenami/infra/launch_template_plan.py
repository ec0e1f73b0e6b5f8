"""What a version of the launch template says: the whole of a first one, and what changes with a new image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from goldenami.model import image as model_image
from goldenami.model.image import Image
from goldenami.recipe.recipe import Recipe

FLEET_TAG = model_image.PREFIX + "fleet"
AMI = model_image.PREFIX + "ami"


def version_overrides(recipe: Recipe, image: Image) -> dict[str, Any]:
    """What a version for this image says over the one before: a literal AMI id, the instance type, IMDSv2, the tags.

    It holds nothing that differs from run to run, so that a version which was made already is recognised by what it says.
    """
    version = image.version(recipe.image.name)
    name = recipe.image.name
    given = {
        **recipe.tags,
        "Name": f"{name}-{version}" if version else name,
        "Version": image.tags.get("Version", ""),
        "Environment": recipe.image.environment,
        FLEET_TAG: name,
        AMI: image.id,
    }
    told = [{"Key": key, "Value": value} for key, value in sorted(given.items())]
    return {
        "ImageId": image.id,
        "InstanceType": recipe.instance.type,
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [{"ResourceType": kind, "Tags": told} for kind in ("instance", "volume")],
    }


def first_version(recipe: Recipe, image: Image, security_groups: Sequence[str], profile: str) -> dict[str, Any]:
    """The whole of a template's first version."""
    data: dict[str, Any] = {
        **version_overrides(recipe, image),
        "IamInstanceProfile": {"Name": profile},
        "SecurityGroupIds": list(security_groups),
    }
    if recipe.fleet.key_name:
        data["KeyName"] = recipe.fleet.key_name
    return data


def client_token(template: str, source: int | None, data: Mapping[str, Any], latest: int) -> str:
    """The client token of a new version: the same for the same wish on the same template, whoever asks, however often."""
    told = json.dumps([template, source, latest, data], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:40]
