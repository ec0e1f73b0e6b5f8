"""Lock, source AMI, instance profile, security groups and temporary instances of a bake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from goldenami.aws import iam_roles, instances, parameters, security_groups, vpc
from goldenami.aws.instances import Launch
from goldenami.aws.security_groups import IngressRule
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.iam.instance_role import builder_policy
from goldenami.infra.network import allowed_networks
from goldenami.model.image import IMAGE, RUN, Image
from goldenami.model.resources import Instance
from goldenami.state import runs
from goldenami.state.runs import Run


def bake_lock(ctx: Context) -> AbstractContextManager[int]:
    """Return the lock that one run of this checkout holds while it bakes, verifies or deletes; yields its file descriptor."""
    message = "another bake is running in this checkout (or its Packer is still cleaning up); waiting for it"
    return runs.lock(ctx.build / "bake.lock", message, ctx.progress.info)


def ensure_profile(ctx: Context) -> str:
    """Return the instance profile of builders and temporary instances: the recipe's, else `NAME-bake`, created if missing."""
    if ctx.target.iam_instance_profile:
        return ctx.target.iam_instance_profile
    policy = builder_policy(ctx.aws.region, ctx.aws.account, [p.name for p in ctx.recipe.parameters])
    description = "goldenami: builders read the application's parameters"
    return iam_roles.ensure_instance_profile(ctx.aws, f"{ctx.name}-bake", policy, description)


def ensure_builder_group(ctx: Context, run: Run) -> list[str]:
    """Return the security groups of the builder: the recipe's, else one of this run: old Packers do not tag theirs."""
    return list(ctx.target.security_group_ids) or [_create_security_group(ctx, run, "builder", 22)]


@contextmanager
def temporary_instance(
    ctx: Context, run: Run, image: Image, purpose: str, user_data: str, *, profile: str, port: int | None = None
) -> Iterator[Instance]:
    """Launch an instance, open to the allowed networks on this port; delete it and its security group at the end of the block."""
    group = _create_security_group(ctx, run, purpose, port)
    try:
        instance = instances.launch(
            ctx.aws,
            ctx.clock,
            Launch(
                image=image.id,
                type=ctx.recipe.instance_type(ctx.target),
                user_data=user_data,
                security_groups=[group, *ctx.target.security_group_ids],
                tags={"Name": f"{image.name}-{purpose}", **_tags(ctx, run)},
                token=f"{run.id}-{purpose}-{image.id}"[:64],
                subnet=ctx.target.subnet_id or None,
                profile=profile,
            ),
        )
        try:
            ctx.progress.detail(f"launched {instance.id}")
            yield instance
        finally:
            instances.terminate(ctx.aws, ctx.clock, instance.id)
    finally:
        security_groups.delete(ctx.aws, ctx.clock, group)


def source_ami(ctx: Context) -> str:
    """Return the AMI that the base layer starts from: the recipe's, else the newest of the distribution.

    The distribution's public parameter is resolved here, once: Packer gets an AMI id.

    Raises:
        AwsError: The distribution publishes no AMI in this region.
    """
    if ctx.recipe.image.source_ami:
        return ctx.recipe.image.source_ami
    name = ctx.family.ami_parameter(ctx.recipe.image.architecture)
    parameter = parameters.get(ctx.aws, name)
    if parameter is None:
        raise AwsError(
            f"{ctx.recipe.image.family} on {ctx.recipe.image.architecture} is not published in {ctx.aws.region}"
            f" (no parameter {name})",
            next="set source_ami or another family under [image] in golden.toml",
        )
    return parameter.value


def _create_security_group(ctx: Context, run: Run, purpose: str, port: int | None) -> str:
    return security_groups.ensure(
        ctx.aws,
        ctx.clock,
        f"goldenami-{run.id}-{purpose}",
        vpc.subnet_vpc(ctx.aws, ctx.target.subnet_id or None),
        [] if port is None else [IngressRule(port, network) for network in allowed_networks(ctx.target)],
        _tags(ctx, run),
    )


def _tags(ctx: Context, run: Run) -> dict[str, str]:
    return {RUN: run.id, IMAGE: ctx.name}
