"""The fleet's IAM role, and the parameters that the application reads."""

from __future__ import annotations

import secrets

from goldenami.aws import iam_roles, parameters
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.iam import instance_role
from goldenami.recipe.recipe import bucket_name


def ensure_parameters(ctx: Context) -> None:
    """Create missing parameters of the application; raise AwsError if one has no value (or `generate`) in the recipe."""
    missing = []
    for parameter in ctx.recipe.parameters:
        if parameters.get(ctx.aws, parameter.name):
            continue
        if parameter.generate:
            parameters.create(ctx.aws, parameter.name, secrets.token_urlsafe(32), "SecureString")
            ctx.progress.info(f"created the parameter {parameter.name} (SecureString, random)")
        elif parameter.value is not None:
            parameters.create(ctx.aws, parameter.name, parameter.value, parameter.type)
            ctx.progress.info(f"created the parameter {parameter.name}")
        else:
            missing.append(parameter)
    if missing:
        raise AwsError(
            f"the application reads parameters that do not exist: {', '.join(p.name for p in missing)}",
            state="Nothing was launched.",
            next=f"aws ssm put-parameter --type {missing[0].type} --name {missing[0].name} --value …",
        )


def ensure_role(ctx: Context) -> None:
    """Create or update the instances' role and instance profile, with least privilege."""
    # Backups are taken through Run Command.
    run_command = ctx.recipe.fleet.run_command
    bucket = bucket_name(ctx.recipe, ctx.aws.account, ctx.aws.region) if run_command else ""
    volume = ctx.recipe.database.on_volume
    policy = instance_role.fleet_policy(
        ctx.aws.region,
        ctx.aws.account,
        ctx.name,
        [parameter.name for parameter in ctx.recipe.parameters],
        run_command=run_command,
        bucket=bucket,
        volume=volume,
        key=ctx.target.kms_key_id if volume else "",
    )
    description = "goldenami: instances that serve read their parameters"
    iam_roles.ensure_instance_profile(ctx.aws, ctx.names.web, policy, description)
