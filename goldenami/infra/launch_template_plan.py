"""Data of launch template versions: of the first one, and what changes with a new image."""

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
    """Return what a version for this image sets over its source version: AMI id, instance type, IMDSv2 and tags.

    It does not depend on the run, so that an existing version is recognized by its data.
    """
    name, version = recipe.image.name, image.version(recipe.image.name)
    tags = {
        **recipe.tags,
        "Name": f"{name}-{version}" if version else name,
        "Version": image.tags.get("Version", ""),
        "Environment": recipe.image.environment,
        FLEET_TAG: name,
        AMI: image.id,
    }
    tag_list = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
    return {
        "ImageId": image.id,
        "InstanceType": recipe.instance.type,
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tag_list} for kind in ("instance", "volume")],
    }


def first_version(recipe: Recipe, image: Image, security_groups: Sequence[str], profile: str) -> dict[str, Any]:
    """Return the data of a template's first version."""
    data: dict[str, Any] = {
        **version_overrides(recipe, image),
        "IamInstanceProfile": {"Name": profile},
        "SecurityGroupIds": list(security_groups),
    }
    if recipe.fleet.key_name:
        data["KeyName"] = recipe.fleet.key_name
    return data


def client_token(template: str, source: int | None, data: Mapping[str, Any], latest: int) -> str:
    """Return the client token of a new version: the same for the same request on the same template."""
    request = json.dumps([template, source, latest, data], sort_keys=True, default=str)
    return hashlib.sha256(request.encode()).hexdigest()[:40]
