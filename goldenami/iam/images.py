"""IAM policy statements of the tasks on existing images.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html (permissions of DescribeImageReferences).
"""

from __future__ import annotations

from goldenami.iam.statements import PolicyScope, Statement, allow


def _inventories(scope: PolicyScope) -> str:
    return scope.arn("ssm", f"parameter/goldenami/{scope.recipe.image.name}/inventory/*")


def read_inventory(scope: PolicyScope) -> list[Statement]:
    """Read the inventories of images."""
    return [allow("ReadInventories", ["ssm:GetParametersByPath"], _inventories(scope))]


def read_references(_scope: PolicyScope) -> list[Statement]:
    """Read everything in the account that can reference an image, including all parameters."""
    images = ("Images", "ImageAttribute", "ImageReferences", "Snapshots")
    launches = ("Instances", "LaunchTemplates", "LaunchTemplateVersions")
    groups = ("AutoScalingGroups", "InstanceRefreshes", "LaunchConfigurations")
    recipes = ("ListImageRecipes", "ListContainerRecipes", "GetContainerRecipe", "GetImageRecipe")
    return [
        allow("ScanEc2", [f"ec2:Describe{resource}" for resource in (*images, *launches)]),
        allow("ScanGroups", [f"autoscaling:Describe{group}" for group in groups]),
        allow("ScanParameters", ["ssm:DescribeParameters", "ssm:GetParameters", "ssm:GetParameterHistory"]),
        allow("ScanRecipes", [f"imagebuilder:{verb}" for verb in recipes]),
    ]


def retire(scope: PolicyScope) -> list[Statement]:
    """Tag managed images, and publish another candidate."""
    candidate = scope.arn("ssm", f"parameter/goldenami/{scope.recipe.image.name}/candidate")
    return [
        allow("MarkImages", ["ec2:CreateTags"], f"arn:aws:ec2:{scope.region}::image/*", **scope.tagged("image")),
        allow("PublishCandidate", ["ssm:PutParameter"], candidate),
    ]


def delete_template_versions(scope: PolicyScope) -> list[Statement]:
    """Delete versions of the fleet's launch template."""
    templates = scope.arn("ec2", "launch-template/*")
    return [allow("TrimTemplate", ["ec2:DeleteLaunchTemplateVersions"], templates, **scope.tagged("fleet"))]


def copy(scope: PolicyScope) -> list[Statement]:
    """Copy images to the recipe's other regions, and share and publish them there. Another account needs its own policy."""
    name, regions = scope.recipe.image.name, [copy.region for copy in scope.recipe.copies] or ["*"]
    resources = [
        f"arn:aws:ec2:{region}::{kind}/*" for region in [scope.region, *regions] for kind in ("image", "snapshot")
    ]
    candidates = [f"arn:aws:ssm:{region}:{scope.account}:parameter/goldenami/{name}/candidate" for region in regions]
    verbs = ("CopyImage", "CreateTags", "DeregisterImage", "DeleteSnapshot", "ModifyImageAttribute")
    return [
        allow("DescribeCopies", ["ec2:DescribeImages", "ec2:DescribeImageAttribute"]),
        allow("CopyImages", [f"ec2:{verb}" for verb in (*verbs, "ModifySnapshotAttribute")], resources),
        allow("PublishCopies", ["ssm:GetParameter", "ssm:PutParameter"], candidates),
    ]


def prune(scope: PolicyScope) -> list[Statement]:
    """Deprecate and deregister managed images, and delete their snapshots."""
    verbs = ("EnableImageDeprecation", "DisableImageDeprecation", "DeregisterImage", "CreateTags", "DeleteTags")
    deletes = ["ec2:DeleteSnapshot", "ec2:CreateTags", "ec2:DeleteTags"]
    # The ARNs of images and snapshots have no account.
    image, snapshot = (f"arn:aws:ec2:{scope.region}::{kind}/*" for kind in ("image", "snapshot"))
    return [
        allow("Inventories", ["ssm:DeleteParameters"], _inventories(scope)),
        allow("RetireImages", [f"ec2:{verb}" for verb in verbs], image, **scope.tagged("image")),
        allow("ImageSnapshots", deletes, snapshot, **scope.tagged("image")),
    ]
