"""The least that the tasks about images that exist need, as statements of IAM policies.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html (what DescribeImageReferences looks with).
"""

from __future__ import annotations

from goldenami.iam.statements import PolicyScope, Statement, allow
from goldenami.model import image as model_image


def _inventory(place: PolicyScope) -> str:
    return f"/goldenami/{place.recipe.image.name}/inventory/*"


def inventory(place: PolicyScope) -> list[Statement]:
    """Read what the bakes wrote down about their images."""
    return [allow("Inventory", ["ssm:GetParametersByPath"], place.arn("ssm", f"parameter{_inventory(place)}"))]


def references(_place: PolicyScope) -> list[Statement]:
    """Read everything in the account that can name an image. Parameters are read whatever they are called."""
    things = ("Images", "ImageAttribute", "ImageReferences", "Instances", "LaunchTemplates", "LaunchTemplateVersions")
    groups = ("AutoScalingGroups", "InstanceRefreshes", "LaunchConfigurations")
    recipes = ("ListImageRecipes", "ListContainerRecipes", "GetContainerRecipe", "GetImageRecipe")
    return [
        allow("CensusOfEc2", [f"ec2:Describe{thing}" for thing in (*things, "Snapshots")]),
        allow("CensusOfGroups", [f"autoscaling:Describe{thing}" for thing in groups]),
        allow("CensusOfParameters", ["ssm:DescribeParameters", "ssm:GetParameters", "ssm:GetParameterHistory"]),
        allow("CensusOfRecipes", [f"imagebuilder:{verb}" for verb in recipes]),
    ]


def retire(place: PolicyScope) -> list[Statement]:
    """Mark images that carry our tag, and publish another candidate."""
    ours = {"StringEquals": {f"aws:ResourceTag/{model_image.IMAGE}": place.recipe.image.name}}
    candidate = place.arn("ssm", f"parameter/goldenami/{place.recipe.image.name}/candidate")
    return [
        allow("MarkImages", ["ec2:CreateTags"], f"arn:aws:ec2:{place.region}::image/*", **ours),
        allow("PublishCandidate", ["ssm:PutParameter"], candidate),
    ]


def trim(place: PolicyScope) -> list[Statement]:
    """Delete versions of the fleet's launch template."""
    ours = {"StringEquals": {"aws:ResourceTag/goldenami:fleet": place.recipe.image.name}}
    return [allow("TrimTemplate", ["ec2:DeleteLaunchTemplateVersions"], place.arn("ec2", "launch-template/*"), **ours)]


def copy(place: PolicyScope) -> list[Statement]:
    """Copy images to the recipe's other regions, share and publish them there. (Another account needs a policy of its own.)"""
    name, regions = place.recipe.image.name, [copy.region for copy in place.recipe.copies] or ["*"]
    things = [
        f"arn:aws:ec2:{region}::{kind}/*" for region in [place.region, *regions] for kind in ("image", "snapshot")
    ]
    candidates = [f"arn:aws:ssm:{region}:{place.account}:parameter/goldenami/{name}/candidate" for region in regions]
    verbs = ("CopyImage", "CreateTags", "DeregisterImage", "DeleteSnapshot", "ModifyImageAttribute")
    return [
        allow("LookAtCopies", ["ec2:DescribeImages", "ec2:DescribeImageAttribute"]),
        allow("CopyImages", [f"ec2:{verb}" for verb in (*verbs, "ModifySnapshotAttribute")], things),
        allow("PublishCopies", ["ssm:GetParameter", "ssm:PutParameter"], candidates),
    ]


def prune(place: PolicyScope) -> list[Statement]:
    """Deprecate and deregister what carries our tag, and delete the snapshots behind it."""
    ours = {"StringEquals": {f"aws:ResourceTag/{model_image.IMAGE}": place.recipe.image.name}}
    verbs = ("EnableImageDeprecation", "DisableImageDeprecation", "DeregisterImage", "CreateTags", "DeleteTags")
    # Images and snapshots have ARNs without an account.
    image, snapshot = (f"arn:aws:ec2:{place.region}::{kind}/*" for kind in ("image", "snapshot"))
    return [
        allow("Unused", ["ssm:DeleteParameters"], place.arn("ssm", f"parameter{_inventory(place)}")),
        allow("LetImagesGo", [f"ec2:{verb}" for verb in verbs], image, **ours),
        allow("DeleteTheirSnapshots", ["ec2:DeleteSnapshot", "ec2:CreateTags", "ec2:DeleteTags"], snapshot, **ours),
    ]
