"""Ensure the fleet's IAM role and the parameters that the application reads."""

from __future__ import annotations

import secrets

from goldenami.aws import iam_roles, parameters, session
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.iam import instance_role
from goldenami.recipe.recipe import bucket_name


def ensure_parameters(shop: Context) -> None:
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


def ensure_role(shop: Context) -> None:
    """The instances' role and profile, with the least that they need."""
    account, _ = session.caller(shop.aws)
    names = [p.name for p in shop.recipe.parameters]
    # Without Run Command nobody could ask an instance for a backup.
    run_command = shop.recipe.fleet.run_command
    bucket = bucket_name(shop.recipe, account, shop.aws.region) if run_command else ""
    volume = shop.recipe.database.on_volume
    wanted = instance_role.fleet_policy(
        shop.aws.region,
        account,
        shop.name,
        names,
        run_command=run_command,
        bucket=bucket,
        volume=volume,
        key=shop.target.kms_key_id if volume else "",
    )
    iam_roles.ensure(shop.aws, shop.names.web, wanted, "goldenami: instances that serve read their parameters")
