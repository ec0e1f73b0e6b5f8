"""What must hold between where data lives and everything else of the recipe: no rule here may be bent, or rows are lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from goldenami.recipe.problems import Place, Problem, shown

if TYPE_CHECKING:
    from goldenami.recipe.recipe import Recipe


_MODE: Place = ("database", "mode")


def check_database(recipe: Recipe) -> Iterator[Problem]:
    """Every problem of the database with other keys."""
    yield from _password(recipe)
    yield from _server(recipe)
    yield from _one_instance(recipe)
    yield from _volume(recipe)


def _password(recipe: Recipe) -> Iterator[Problem]:
    wanted = recipe.database.password_parameter
    at: Place = ("database", "password_parameter")
    found = next((parameter for parameter in recipe.parameters if parameter.name == wanted), None)
    if found is None:
        yield Problem(at, "the name of one of [[parameters]]", f"{wanted}, which is none of them", (("parameters",),))
    elif found.type != "SecureString":
        got = f"{wanted}, which is a {found.type}"
        yield Problem(at, 'a parameter with type = "SecureString"', got, (("parameters",),))


def _server(recipe: Recipe) -> Iterator[Problem]:
    """`rds` needs a host; the others have none."""
    database, at = recipe.database, ("database", "host_parameter")
    if database.on_instance:
        for name in ("host_parameter", "port", "tls"):
            if name in database.model_fields_set:
                got = 'one; remove it, or set mode = "rds"'
                yield Problem(("database", name), f'no {name} with mode = "{database.mode}"', got, (_MODE,))
        if "server" in database.model_fields_set:
            got = 'one; remove it, or set mode = "rds"'
            yield Problem(
                ("database", "server"), f'no server with mode = "{database.mode}"', got, (_MODE,), section=True
            )
        return
    found = next((parameter for parameter in recipe.parameters if parameter.name == database.host_parameter), None)
    if not database.host_parameter:
        expected = 'the parameter that holds the server\'s host name, since mode is "rds"'
        yield Problem(at, expected, "nothing", (_MODE,))
    elif found is None:
        got = f"{database.host_parameter}, which is none of them"
        yield Problem(at, "the name of one of [[parameters]]", got, (("parameters",),))
    elif found.type != "String":
        got = f"{database.host_parameter}, which is a {found.type}"
        yield Problem(at, 'a parameter with type = "String"', got, (("parameters",),))


def _one_instance(recipe: Recipe) -> Iterator[Problem]:
    """Two instances with a database each would show two users two different truths."""
    fleet, database = recipe.fleet, recipe.database
    if not database.on_instance:
        return
    if fleet.max > 1:
        why = "each instance would have a database of its own"
        if database.on_volume:
            why = "a volume is attached to one instance at a time"
        got = f'{fleet.max}: {why}; set max = 1, or mode = "rds" under [database]'
        yield Problem(("fleet", "max"), f'1 with [database] mode = "{database.mode}"', got, (_MODE,))
    if recipe.promote.traffic:
        got = f"{shown(list(recipe.promote.traffic))}: a trial beside the fleet would have a database of its own"
        yield Problem(("promote", "traffic"), f'none with [database] mode = "{database.mode}"', got, (_MODE,))
    if not fleet.run_command:
        got = (
            'false: rows are carried over through Run Command; set run_command = true, or mode = "rds" under [database]'
        )
        yield Problem(("fleet", "run_command"), f'true with [database] mode = "{database.mode}"', got, (_MODE,))


def _volume(recipe: Recipe) -> Iterator[Problem]:
    database = recipe.database
    if "volume" in database.model_fields_set and not database.on_volume:
        got = 'one; remove it, or set mode = "volume"'
        yield Problem(("database", "volume"), f'no volume with mode = "{database.mode}"', got, (_MODE,), section=True)
