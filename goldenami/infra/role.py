"""Ensure the fleet's IAM role and the parameters that the application reads."""

from __future__ import annotations

import secrets

from goldenami.aws import iam_roles, parameters, session
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.iam import instance_role
from goldenami.recipe.recipe import bucket_name


def ensure_parameters(ctx: Context) -> None:
    """Make the parameters that the recipe says how to make; the application cannot start without them.

    Raises:
        AwsError: A parameter is missing that the recipe does not say how to make.
    """
    missing = []
    for wanted in ctx.recipe.parameters:
        if parameters.get(ctx.aws, wanted.name):
            continue
        if wanted.generate:
            parameters.create(ctx.aws, wanted.name, secrets.token_urlsafe(32), "SecureString")
            ctx.progress.info(f"made {wanted.name} in Parameter Store (SecureString, random)")
        elif wanted.value is not None:
            parameters.create(ctx.aws, wanted.name, wanted.value, wanted.type)
            ctx.progress.info(f"made {wanted.name} in Parameter Store")
        else:
            missing.append(wanted)
    if missing:
        raise AwsError(
            f"the application reads {', '.join(p.name for p in missing)}, which Parameter Store does not have",
            state="Nothing was launched.",
            next=f"aws ssm put-parameter --type {missing[0].type} --name {missing[0].name} --value …",
        )


def ensure_role(ctx: Context) -> None:
    """The instances' role and profile, with the least that they need."""
    account, _ = session.caller_identity(ctx.aws)
    names = [p.name for p in ctx.recipe.parameters]
    # Without Run Command nobody could ask an instance for a backup.
    run_command = ctx.recipe.fleet.run_command
    bucket = bucket_name(ctx.recipe, account, ctx.aws.region) if run_command else ""
    volume = ctx.recipe.database.on_volume
    wanted = instance_role.fleet_policy(
        ctx.aws.region,
        account,
        ctx.name,
        names,
        run_command=run_command,
        bucket=bucket,
        volume=volume,
        key=ctx.target.kms_key_id if volume else "",
    )
    iam_roles.ensure_instance_profile(
        ctx.aws, ctx.names.web, wanted, "goldenami: instances that serve read their parameters"
    )
