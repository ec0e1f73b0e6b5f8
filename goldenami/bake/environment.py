"""What machines that bake and try an image may reach, and who may reach them."""

from __future__ import annotations

from goldenami.aws import iam_roles, parameters, security_groups, session, vpc
from goldenami.aws.security_groups import IngressRule
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.iam.instance_role import builder_policy
from goldenami.infra.network import allowed_networks
from goldenami.model import image
from goldenami.state.runs import Run


def ensure_profile(ctx: Context) -> str:
    """The instance profile of our machines: the recipe's, else a narrow one of our own, `NAME-bake`."""
    if ctx.target.iam_instance_profile:
        return ctx.target.iam_instance_profile
    policy = builder_policy(ctx.aws.region, session.account_id(ctx.aws), [p.name for p in ctx.recipe.parameters])
    return iam_roles.ensure_instance_profile(
        ctx.aws, f"{ctx.name}-bake", policy, "goldenami: builders read the application's parameters"
    )


def ensure_builder_group(ctx: Context, run: Run) -> list[str]:
    """The builder's security groups: the recipe's, else one of the run's own that lets in SSH.

    Packer could make a temporary one, but older versions do not tag it, so that a killed run would leave a group that
    nobody can tell from anybody else's.
    """
    if ctx.target.security_group_ids:
        return list(ctx.target.security_group_ids)
    group = security_groups.ensure(
        ctx.aws,
        ctx.clock,
        f"goldenami-{run.id}-builder",
        vpc.subnet_vpc(ctx.aws, ctx.target.subnet_id or None),
        [IngressRule(22, network) for network in allowed_networks(ctx.target)],
        {image.RUN: run.id, image.IMAGE: ctx.name},
    )
    return [group]


def source_ami(ctx: Context) -> str:
    """The AMI that the base layer starts from: the recipe's, else the newest of the family's vendor.

    The vendor's public parameter is resolved here, once, so that Packer gets a literal id and two readers of one
    timestamp cannot disagree.

    Raises:
        AwsError: The vendor's parameter is not in this region.
    """
    if ctx.recipe.image.source_ami:
        return ctx.recipe.image.source_ami
    name = ctx.family.ami_parameter(ctx.recipe.image.architecture)
    found = parameters.get(ctx.aws, name)
    if found is None:
        raise AwsError(
            f"{ctx.recipe.image.family} on {ctx.recipe.image.architecture} is not published in {ctx.aws.region}"
            f" (no parameter {name})",
            next="set source_ami or another family under [image] in golden.toml",
        )
    return found.value
