"""The rules between the recipe's [database] keys and its other keys: a recipe that breaks one could lose data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from goldenami.recipe.problems import Problem, format_value

if TYPE_CHECKING:
    from goldenami.recipe.recipe import Recipe


def check_database(recipe: Recipe) -> Iterator[Problem]:
    """Yield the problems of [database]."""
    yield from _check_parameter(recipe, "password_parameter", recipe.database.password_parameter, "SecureString")
    yield from _check_rds(recipe)
    yield from _check_single_instance(recipe)
    yield from _check_volume(recipe)


def _check_parameter(recipe: Recipe, key: str, name: str, expected_type: str) -> Iterator[Problem]:
    """Check that the recipe lists a parameter, with its type."""
    path = ("database", key)
    parameter = next((parameter for parameter in recipe.parameters if parameter.name == name), None)
    if parameter is None:
        yield Problem(path, "the name of one of [[parameters]]", f"{name}, which is none of them")
    elif parameter.type != expected_type:
        yield Problem(path, f'a parameter with type = "{expected_type}"', f"{name}, which is a {parameter.type}")


def _check_rds(recipe: Recipe) -> Iterator[Problem]:
    """Check the keys of an external server: mode `rds` needs a host, the other modes have none of them."""
    database = recipe.database
    if not database.on_instance:
        if database.host_parameter:
            yield from _check_parameter(recipe, "host_parameter", database.host_parameter, "String")
        else:
            expected = 'the parameter that holds the server\'s host name, since mode is "rds"'
            yield Problem(("database", "host_parameter"), expected, "nothing")
        return
    for name in ("host_parameter", "port", "sslmode", "rds"):
        if name in database.model_fields_set:
            got = 'one; remove it, or set mode = "rds"'
            yield Problem(("database", name), f'no {name} with mode = "{database.mode}"', got, is_section=name == "rds")


def _check_single_instance(recipe: Recipe) -> Iterator[Problem]:
    """Check that a database on the instance has one instance: two would have different contents."""
    fleet, database = recipe.fleet, recipe.database
    if not database.on_instance:
        return
    if fleet.max > 1:
        reason = "each instance would have a database of its own"
        if database.on_volume:
            reason = "a volume is attached to one instance at a time"
        got = f'{fleet.max}: {reason}; set max = 1, or mode = "rds" under [database]'
        yield Problem(("fleet", "max"), f'1 with [database] mode = "{database.mode}"', got)
    if recipe.promote.traffic:
        got = f"{format_value(list(recipe.promote.traffic))}: the canary group would have a database of its own"
        yield Problem(("promote", "traffic"), f'none with [database] mode = "{database.mode}"', got)
    if not fleet.run_command:
        got = (
            "false: the database is backed up and transferred through Run Command; set run_command = true, or"
            ' mode = "rds" under [database]'
        )
        yield Problem(("fleet", "run_command"), f'true with [database] mode = "{database.mode}"', got)


def _check_volume(recipe: Recipe) -> Iterator[Problem]:
    database = recipe.database
    if "volume" in database.model_fields_set and not database.on_volume:
        got = 'one; remove it, or set mode = "volume"'
        yield Problem(("database", "volume"), f'no volume with mode = "{database.mode}"', got, is_section=True)
