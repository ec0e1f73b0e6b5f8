"""The least that the tasks about images that exist need, as statements of IAM policies.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html (what DescribeImageReferences looks with).
"""

from __future__ import annotations

from goldenami.iam.statements import PolicyScope, Statement, allow
from goldenami.model import image as model_image


def _inventory(scope: PolicyScope) -> str:
    return f"/goldenami/{scope.recipe.image.name}/inventory/*"


def read_inventory(scope: PolicyScope) -> list[Statement]:
    """Read what the bakes wrote down about their images."""
    return [allow("Inventory", ["ssm:GetParametersByPath"], scope.arn("ssm", f"parameter{_inventory(scope)}"))]


def read_references(_scope: PolicyScope) -> list[Statement]:
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


def retire(scope: PolicyScope) -> list[Statement]:
    """Mark images that carry our tag, and publish another candidate."""
    ours = {"StringEquals": {f"aws:ResourceTag/{model_image.IMAGE}": scope.recipe.image.name}}
    candidate = scope.arn("ssm", f"parameter/goldenami/{scope.recipe.image.name}/candidate")
    return [
        allow("MarkImages", ["ec2:CreateTags"], f"arn:aws:ec2:{scope.region}::image/*", **ours),
        allow("PublishCandidate", ["ssm:PutParameter"], candidate),
    ]


def delete_template_versions(scope: PolicyScope) -> list[Statement]:
    """Delete versions of the fleet's launch template."""
    ours = {"StringEquals": {"aws:ResourceTag/goldenami:fleet": scope.recipe.image.name}}
    return [allow("TrimTemplate", ["ec2:DeleteLaunchTemplateVersions"], scope.arn("ec2", "launch-template/*"), **ours)]


def copy(scope: PolicyScope) -> list[Statement]:
    """Copy images to the recipe's other regions, share and publish them there. (Another account needs a policy of its own.)"""
    name, regions = scope.recipe.image.name, [copy.region for copy in scope.recipe.copies] or ["*"]
    things = [
        f"arn:aws:ec2:{region}::{kind}/*" for region in [scope.region, *regions] for kind in ("image", "snapshot")
    ]
    candidates = [f"arn:aws:ssm:{region}:{scope.account}:parameter/goldenami/{name}/candidate" for region in regions]
    verbs = ("CopyImage", "CreateTags", "DeregisterImage", "DeleteSnapshot", "ModifyImageAttribute")
    return [
        allow("LookAtCopies", ["ec2:DescribeImages", "ec2:DescribeImageAttribute"]),
        allow("CopyImages", [f"ec2:{verb}" for verb in (*verbs, "ModifySnapshotAttribute")], things),
        allow("PublishCopies", ["ssm:GetParameter", "ssm:PutParameter"], candidates),
    ]


def prune(scope: PolicyScope) -> list[Statement]:
    """Deprecate and deregister what carries our tag, and delete the snapshots behind it."""
    ours = {"StringEquals": {f"aws:ResourceTag/{model_image.IMAGE}": scope.recipe.image.name}}
    verbs = ("EnableImageDeprecation", "DisableImageDeprecation", "DeregisterImage", "CreateTags", "DeleteTags")
    # Images and snapshots have ARNs without an account.
    image, snapshot = (f"arn:aws:ec2:{scope.region}::{kind}/*" for kind in ("image", "snapshot"))
    return [
        allow("Unused", ["ssm:DeleteParameters"], scope.arn("ssm", f"parameter{_inventory(scope)}")),
        allow("LetImagesGo", [f"ec2:{verb}" for verb in verbs], image, **ours),
        allow("DeleteTheirSnapshots", ["ec2:DeleteSnapshot", "ec2:CreateTags", "ec2:DeleteTags"], snapshot, **ours),
    ]
