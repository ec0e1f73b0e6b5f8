"""`invoke db.migrate`: data gets another home; look at both → plan → the new instance beside the old → rows → traffic; or back.

On the way it is a promotion: what replaces the instance (flows/replacing.py) carries the rows, and is told where to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from goldenami.aws import parameters
from goldenami.context import Shop
from goldenami.database import agent as custody
from goldenami.database import guard
from goldenami.database import rds as server
from goldenami.database import recovery as settling
from goldenami.database import transfer as carrying
from goldenami.errors import GateError, GoldenError, UsageError
from goldenami.images import catalog as choosing
from goldenami.infra import describe as scenery
from goldenami.migrate import plan as migration
from goldenami.migrate.plan import Homes
from goldenami.model.image import Image
from goldenami.promote import promote
from goldenami.promote.plan import Preflight
from goldenami.promote.promote import Result
from goldenami.state import lock as claims
from goldenami.state import logbook

HOMES = ("rds", "volume", "instance")


@dataclass(frozen=True)
class Options:
    """What the command line asks for: where to, with which image, and what may be replaced there."""

    to: str
    image: choosing.Options = field(default_factory=choosing.Options)
    host: str = ""
    replace: bool = False
    create: bool = False


@dataclass(frozen=True)
class Found:
    """What a migration would do; nothing was changed.

    Attributes:
        unfinished: Whether one was left half-way, which is seen to its end first.
    """

    preflight: Preflight
    homes: Homes
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unfinished: bool = False


def look(shop: Shop, options: Options) -> Found:
    """Look at both homes and decide; nothing is changed.

    Raises:
        UsageError: The command line does not name a home or an image.
    """
    if options.to not in HOMES:
        raise UsageError(f"'{options.to}' is no home for data; expected one of {', '.join(HOMES)}", next="docs/data.md")
    wanted = replace(choosing.wish(shop, options.image), carried=True, traffic=(), canary=100)
    if carrying.find(shop) is not None:
        return Found(promote.decide(shop, wanted, scenery.read(shop)), Homes(options.to, ()), unfinished=True)
    image, scene = wanted.image, scenery.read(shop)
    group = scene.group
    assert image is not None
    members = [m.id for m in group.members if not m.lifecycle.startswith(("Terminat", "Detach"))] if group else []
    homes = _survey(shop, options, members)
    if homes.there:
        found = promote.decide(shop, wanted, scene)
        return Found(found, homes, found.plan.refusals, found.plan.notes)
    parameter = shop.recipe.database.host_parameter
    step = migration.move(homes, parameter, _says(shop, parameter), replace=options.replace)
    found = promote.decide(shop, replace(wanted, move=step), scene)
    against = [*found.plan.refusals, *migration.refusals(shop.recipe, image, homes, replace=options.replace)]
    told = [*found.plan.notes, *migration.notes(image, homes, replace=options.replace)]
    return Found(found, homes, tuple(against), tuple(told))


def migrate(shop: Shop, options: Options) -> Result:
    """Move the data, and the fleet to the image that looks for it there.

    Raises:
        UsageError: The command line does not name a home or an image; or the data is there already.
        GateError: It is refused, or has failed; then the instance before serves, with every row.
        BusyError: Somebody else is changing the fleet.
        AwsError: AWS refused.
    """
    why = options.image.why or f"db.migrate --to {options.to}"
    if settling.left(shop):
        with logbook.opened(shop, "migration", why=why) as run, claims.held(shop, run.id, why):
            settling.settle(shop)
    found = look(shop, options)
    if found.homes.there:
        return _commit(shop, found, why)
    refuse(found)
    if options.create:
        options = replace(options, host=server.ensure(shop), create=False)
        found = look(shop, options)
        refuse(found)

    def again(shop: Shop, _instances: Sequence[str], _image: Image) -> None:
        refuse(look(shop, options))  # what was true before the claim was ours may not be any more

    return promote.carry(shop, found.preflight, why, again)


def refuse(found: Found) -> None:
    """Stop here when there is any reason against it.

    Raises:
        GateError: With every reason.
    """
    if found.refusals:
        reasons = "; ".join(found.refusals)
        raise GateError(reasons, state="Nothing was changed.", next=f"./invoke db.migrate --to {found.homes.to} --plan")


def _commit(shop: Shop, found: Found, why: str) -> Result:
    """The rows are there. What one that died has left to be committed is; another image is a promotion's matter."""
    if found.preflight.plan.roll is not None:
        raise UsageError(
            f"the data lives in {found.homes.to} already",
            state="Nothing was changed.",
            next="./invoke promote --candidate",
        )
    return promote.carry(shop, found.preflight, why)


def _survey(shop: Shop, options: Options, members: Sequence[str]) -> Homes:
    """Both homes, as the instance that serves sees them: a server elsewhere lets in nobody else."""
    with shop.progress.phase("looking at both homes"):
        kept = tuple(guard.look(shop, members))
        homes = Homes(options.to, kept)
        if homes.there or len(kept) != 1 or not kept[0].seen:
            return homes
        one = kept[0].instance
        source = migration.survey(custody.ask(shop, one, "survey"))
        if options.to != "rds" or shop.recipe.database.mode != "rds":
            return replace(homes, source=source)
        there = server.find(shop) if options.create else None
        if options.create and (there is None or there.status != "available"):
            return replace(homes, source=source, made=shop.names.data)
        host = options.host or (there.endpoint if there else "") or _says(shop, shop.recipe.database.host_parameter)
        homes = replace(homes, source=source, host=host)
        if not host:
            return homes
        try:
            return replace(homes, target=migration.survey(custody.ask(shop, one, "survey", home="rds", host=host)))
        except GoldenError as error:
            return replace(homes, closed=error.message)


def _says(shop: Shop, parameter: str) -> str:
    found = parameters.get(shop.aws, parameter) if parameter else None
    return found.value if found else ""
