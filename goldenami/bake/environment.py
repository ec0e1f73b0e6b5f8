"""What machines that bake and try an image may reach, and who may reach them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from goldenami.aws import iam_roles as roles
from goldenami.aws import parameters
from goldenami.aws import security_groups as networks
from goldenami.context import Shop
from goldenami.errors import AwsError
from goldenami.model import image as tags
from goldenami.recipe.targets import Target
from goldenami.state.runs import Run
from goldenami.tools import http


def allowed_networks(target: Target) -> Sequence[str]:
    """The networks that may reach our machines: the recipe's, else this machine alone."""
    if target.ssh_cidrs:
        return target.ssh_cidrs
    address = http.public_address()
    return [f"{address}/{128 if ':' in address else 32}"]


def ensure_profile(shop: Shop) -> str:
    """The instance profile of our machines: the recipe's, else a narrow one of our own, `NAME-bake`."""
    if shop.target.iam_instance_profile:
        return shop.target.iam_instance_profile
    return roles.ensure_profile(shop.aws, f"{shop.name}-bake", [p.name for p in shop.recipe.parameters])


def ensure_parameters(shop: Shop) -> None:
    """Make the parameters that the recipe says how to make; the application cannot start without them.

    Raises:
        AwsError: A parameter is missing that the recipe does not say how to make.
    """
    missing = []
    for wanted in shop.recipe.parameters:
        if parameters.get(shop.aws, wanted.name):
            continue
        if wanted.generate:
            parameters.create(shop.aws, wanted.name, secrets.token_urlsafe(32), "SecureString")
            shop.progress.say(f"made {wanted.name} in Parameter Store (SecureString, random)")
        elif wanted.value is not None:
            parameters.create(shop.aws, wanted.name, wanted.value, wanted.type)
            shop.progress.say(f"made {wanted.name} in Parameter Store")
        else:
            missing.append(wanted)
    if missing:
        raise AwsError(
            f"the application reads {', '.join(p.name for p in missing)}, which Parameter Store does not have",
            state="Nothing was launched.",
            next=f"aws ssm put-parameter --type {missing[0].type} --name {missing[0].name} --value …",
        )


def ensure_builder_group(shop: Shop, run: Run) -> list[str]:
    """The builder's security groups: the recipe's, else one of the run's own that lets in SSH.

    Packer could make a temporary one, but older versions do not tag it, so that a killed run would leave a group that
    nobody can tell from anybody else's.
    """
    if shop.target.security_group_ids:
        return list(shop.target.security_group_ids)
    group = networks.ensure_security_group(
        shop.aws,
        shop.clock,
        f"goldenami-{run.id}-builder",
        networks.vpc_of(shop.aws, shop.target.subnet_id or None),
        {22: allowed_networks(shop.target)},
        {tags.RUN: run.id, tags.IMAGE: shop.name},
    )
    return [group]


def source_ami(shop: Shop) -> str:
    """The AMI that the base layer starts from: the recipe's, else the newest of the family's vendor.

    The vendor's public parameter is resolved here, once, so that Packer gets a literal id and two readers of one
    timestamp cannot disagree.

    Raises:
        AwsError: The vendor's parameter is not in this region.
    """
    if shop.recipe.image.source_ami:
        return shop.recipe.image.source_ami
    name = shop.family.ami_parameter(shop.recipe.image.architecture)
    found = parameters.get(shop.aws, name)
    if found is None:
        raise AwsError(
            f"{shop.recipe.image.family} on {shop.recipe.image.architecture} is not published in {shop.aws.region}"
            f" (no parameter {name})",
            next="set source_ami or another family under [image] in golden.toml",
        )
    return found.value
