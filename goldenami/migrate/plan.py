"""Decide, without touching anything, whether data can move to another home: what leaves, what is there, what forbids it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from goldenami.database.guard_plan import InstanceData
from goldenami.database.switchover_model import StorageChange
from goldenami.images import model as images_model
from goldenami.model.image import Image
from goldenami.promote.plan import PromotionPreflight
from goldenami.recipe.recipe import Recipe

# What a window is made of: the service's stop and start, and each byte dumped, sent, fetched, restored and compared twice.
_FIXED, _RATE = 15.0, 4e6  # seconds; bytes of the database per second, as a t3.micro does it


@dataclass(frozen=True)
class DatabaseSurvey:
    """A database as one look found it.

    Attributes:
        rows: Rows that no schema declares, each table counted up to a thousand.
        bytes: Its size.
        major: The server's major version.
        owner: The role that owns the database.
        extensions: Those that it has.
        available: Those that its server offers.
        roles: Every role of the server that is no superuser.
        foreign: Tables of other roles than the application's.
        void: The backup whose rows are there and do not count, as a migration that went back left them; empty otherwise.
    """

    rows: int
    bytes: int
    major: int
    owner: str
    encoding: str = "UTF8"
    extensions: tuple[str, ...] = ()
    available: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    stale: str = ""


@dataclass(frozen=True)
class MigrationSurvey:
    """What was read of both homes.

    Attributes:
        to: The new one: `rds`, `volume` or `instance`.
        kept: What the instances of the group keep.
        source: The database that rows leave; None where nobody could look.
        target: The one that they go to; None where it comes into being with the new instance, or could not be looked at.
        host: The server's host name; empty without one.
        closed: Why the new home could not be looked at.
        made: The server that is to be made, or waited for, first; it is looked at afterwards.
    """

    mode: str
    instances: tuple[InstanceData, ...]
    source: DatabaseSurvey | None = None
    target: DatabaseSurvey | None = None
    host: str = ""
    closed: str = ""
    created: str = ""

    @property
    def there(self) -> bool:
        """Whether the data lives in the new home already."""
        return bool(self.instances) and all(one.storage_mode == self.mode for one in self.instances)

    @property
    def left(self) -> str:
        """The home that the data leaves."""
        return self.instances[0].storage_mode if self.instances else ""


def survey(told: Mapping[str, Any]) -> DatabaseSurvey:
    """A survey as an instance tells it."""
    found: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return DatabaseSurvey(**found)


def estimate_downtime(size: int) -> float:
    """About how long nobody can write (seconds) while a database of this size (bytes) moves."""
    return _FIXED + size / _RATE


def blockers(recipe: Recipe, image: Image, homes: MigrationSurvey, *, replace: bool) -> Iterator[str]:
    """Every reason why the data must not move."""
    to, mode = homes.mode, recipe.database.mode
    if mode != to:
        yield f'the recipe says mode = "{mode}": set mode = "{to}" under [database] in golden.toml, and ./invoke bake'
        return
    if not recipe.fleet.run_command:
        yield "rows are carried through Run Command: set run_command = true under [fleet] in golden.toml"
    if not homes.instances:
        yield "no instance serves, so no row is there to be moved (./invoke fleet.create launches one)"
    elif len(homes.instances) > 1:
        told = ", ".join(one.instance for one in homes.instances)
        yield f"{len(homes.instances)} instances serve ({told}): set the group's size to 1 first, so that writes stop on all"
    for one in homes.instances:
        if not one.reachable:
            yield f"nobody can look at {one.instance}: {one.reason or 'it does not answer'}"
    major = image.tags.get("PostgreSQL", "")
    yield from _versions(homes, int(major) if major.isdigit() else 0)
    if to == "rds":
        yield from _server(recipe, homes, replace=replace)


def _versions(homes: MigrationSurvey, image: int) -> Iterator[str]:
    source, target = homes.source, homes.target
    if source and image and source.major > image:
        yield (
            f"the rows come from PostgreSQL {source.major}, and the image has {image}, which cannot read them: bake it with"
            f" PostgreSQL {source.major} or newer"
        )
    if source and target and target.major < source.major:
        yield f"the rows come from PostgreSQL {source.major}, and the server is {target.major}, which cannot take them"
    if target and image and target.major > image:
        yield (
            f"the server is PostgreSQL {target.major}, and the image has {image}, whose pg_dump refuses it: there would be no"
            f" backups (set version = {target.major} under [runtime.postgresql], and bake)"
        )


def _server(recipe: Recipe, homes: MigrationSurvey, *, replace: bool) -> Iterator[str]:
    database, target, source = recipe.database, homes.target, homes.source
    if not homes.host and not homes.created:
        yield f"nobody says where the server is: --host NAME, or a value for {database.host_parameter}"
    elif homes.closed:
        yield f"the new home cannot be used: {homes.closed}"
    if target is None:
        return
    if target.owner != database.user:
        yield (
            f"the database {database.name} on {homes.host} belongs to {target.owner}"
            f" (ALTER DATABASE {database.name} OWNER TO {database.user})"
        )
    if target.foreign:
        yield f"tables of others are in {database.name} on {homes.host}: {_some(target.foreign)}"
    if target.rows and not target.stale and not replace:
        yield (
            f"{database.name} on {homes.host} holds {target.rows} row(s) already; --replace puts these rows in their place,"
            " after a backup of them"
        )
    if source is None:
        return
    if source.encoding != target.encoding:
        yield f"{database.name} on {homes.host} is encoded in {target.encoding}, the rows in {source.encoding}"
    if missing := sorted({*source.extensions} - {*target.extensions, *target.available}):
        yield f"the server does not offer the extension(s) {_some(missing)}"
    if missing := sorted({*source.roles} - {*target.roles}):
        yield f"the server does not have the role(s) {_some(missing)} (CREATE ROLE …, or drop them here)"


def warnings(image: Image, homes: MigrationSurvey, *, replace: bool) -> Iterator[str]:
    """What is worth knowing beforehand."""
    source, target = homes.source, homes.target
    if not image.storage_mode:
        yield f"{image.name} does not say where it keeps data; it is asked once it runs, before any write stops"
    if target and target.stale:
        yield f"the new home holds rows that do not count ({target.stale}, of a migration that went back); they are replaced"
    elif target and target.rows and replace:
        yield f"the new home holds {target.rows} row(s), which are backed up and replaced, because --replace says so"
    if source and target and target.major > source.major:
        yield (
            f"once PostgreSQL {target.major} has the rows, {source.major} cannot take them back: a new instance that fails"
            " while it is watched is kept, and so are they"
        )
    others = sorted({*source.roles} - {source.owner}) if source else []
    if others and homes.mode == "rds":
        yield f"what other roles may do in the database is not carried: {_some(others)}"


def storage_change(homes: MigrationSurvey, parameter: str, former: str, *, replace: bool) -> StorageChange:
    """What is written down of it before it begins."""
    changed = homes.mode == "rds" and homes.host not in ("", former)
    named = {"parameter": parameter, "host": homes.host, "previous_host": former} if changed else {}
    held = bool(homes.target and homes.target.rows and not homes.target.stale)
    # What a volume holds is known only when the new instance has it.
    return StorageChange(homes.mode, homes.left, replace=replace and (held or homes.mode == "volume"), **named)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@dataclass(frozen=True)
class MigrateOptions:
    """What the command line asks for: where to, with which image, and what may be replaced there."""

    to: str
    image: images_model.PromoteOptions = field(default_factory=images_model.PromoteOptions)
    host: str = ""
    replace: bool = False
    create: bool = False


@dataclass(frozen=True)
class MigrationPreflight:
    """What a migration would do; nothing was changed.

    Attributes:
        unfinished: Whether one was left half-way, which is seen to its end first.
    """

    preflight: PromotionPreflight
    survey: MigrationSurvey
    blockers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unfinished: bool = False
