"""Plan a migration to another storage mode: what is at the source and the target, and what blocks it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goldenami.database.guard_plan import InstanceData, row_count
from goldenami.database.switchover_model import StorageChange
from goldenami.model.image import Image
from goldenami.promote.model import PromoteOptions
from goldenami.promote.plan import PromotionPreflight
from goldenami.recipe.recipe import Recipe

# Write downtime: the service's stop and start, and each byte dumped, sent, fetched, restored and compared twice.
_FIXED, _RATE = 15.0, 4e6  # seconds; bytes of the database per second on a t3.micro


@dataclass(frozen=True)
class DatabaseSurvey:
    """State of a database.

    Attributes:
        rows: Number of rows in all tables; 0 while each table is empty or exactly as the schema fills it.
        exact: False if there are more rows than were counted.
        bytes: Its size.
        major: Major version of the PostgreSQL server.
        owner: The role that owns the database.
        extensions: Installed extensions.
        available: Extensions that the server offers.
        roles: All roles of the server but superusers.
        foreign: Tables that other roles own.
        row_security_forced: Tables whose row-level security applies to their owner too.
        bypasses_row_security: True if row-level security does not apply to the role that reads the database.
        stale: Backup whose data is there but stale, as a migration that was rolled back left it; empty otherwise.
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
    row_security_forced: tuple[str, ...] = ()
    bypasses_row_security: bool = False
    exact: bool = True
    stale: str = ""


@dataclass(frozen=True)
class MigrationSurvey:
    """State of both databases of a migration.

    Attributes:
        mode: The new storage mode: `rds`, `volume` or `instance`.
        instances: Data of the group's instances.
        source: The current database; None if it could not be inspected.
        target: The new database; None if it is created with the new instance, or could not be inspected.
        host: Host name of the database server; empty without one.
        target_error: Why the new database could not be inspected.
        server_to_create: The DB instance that is created, or waited for, first; it is inspected afterwards.
    """

    mode: str
    instances: tuple[InstanceData, ...]
    source: DatabaseSurvey | None = None
    target: DatabaseSurvey | None = None
    host: str = ""
    target_error: str = ""
    server_to_create: str = ""

    @property
    def already_migrated(self) -> bool:
        """True if the data is already stored in the new mode."""
        return bool(self.instances) and all(data.storage_mode == self.mode for data in self.instances)

    @property
    def previous_mode(self) -> str:
        """The current storage mode; empty without an instance."""
        return self.instances[0].storage_mode if self.instances else ""


@dataclass(frozen=True)
class MigrateOptions:
    """Options of db.migrate.

    Attributes:
        to: The new storage mode.
        promotion: Options of the promotion of the image that uses it.
        host: Host name of the database server.
        replace: Data at the target may be replaced.
        create: Create the DB instance if it does not exist.
    """

    to: str
    promotion: PromoteOptions
    host: str = ""
    replace: bool = False
    create: bool = False


@dataclass(frozen=True)
class MigrationPreflight:
    """State and plan of a migration.

    Attributes:
        unfinished: True if an interrupted switchover is recovered first.
    """

    preflight: PromotionPreflight
    survey: MigrationSurvey
    blockers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unfinished: bool = False


def parse_survey(result: Mapping[str, Any]) -> DatabaseSurvey:
    """Parse the survey of an instance's agent."""
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in result.items()}
    return DatabaseSurvey(**values)


def estimate_downtime(size: int) -> float:
    """Return the estimated write downtime (seconds) of moving a database of this size (bytes)."""
    return _FIXED + size / _RATE


def blockers(recipe: Recipe, image: Image, survey: MigrationSurvey, *, replace: bool) -> Iterator[str]:
    """Yield every reason why the migration is refused."""
    mode = recipe.database.mode
    if mode != survey.mode:
        yield (
            f'the recipe says mode = "{mode}": set mode = "{survey.mode}" under [database] in golden.toml, and'
            " ./invoke bake"
        )
        return
    if not recipe.fleet.run_command:
        yield "data is transferred through Run Command: set run_command = true under [fleet] in golden.toml"
    if not survey.instances:
        yield "no instance is in service, so there is no data to move (./invoke fleet.create launches one)"
    elif len(survey.instances) > 1:
        names = ", ".join(data.instance for data in survey.instances)
        yield f"{len(survey.instances)} instances are in service ({names}): set the group's size to 1 first"
    for data in survey.instances:
        if not data.reachable:
            yield f"{data.instance} cannot be inspected: {data.reason or 'it does not answer'}"
    major = image.tags.get("PostgreSQL", "")
    yield from _version_blockers(survey, int(major) if major.isdigit() else 0)
    if survey.mode == "rds":
        yield from _server_blockers(recipe, survey, replace=replace)


def _version_blockers(survey: MigrationSurvey, image_major: int) -> Iterator[str]:
    source, target = survey.source, survey.target
    if source and image_major and source.major > image_major:
        yield (
            f"the data is PostgreSQL {source.major}'s, and the image has {image_major}, which cannot read it: bake it with"
            f" PostgreSQL {source.major} or newer"
        )
    if source and target and target.major < source.major:
        yield f"the data is PostgreSQL {source.major}'s, and the server is {target.major}, which cannot restore it"
    if target and image_major and target.major > image_major:
        yield (
            f"the server is PostgreSQL {target.major}, and the image has {image_major}, whose pg_dump refuses it: backups"
            f" would fail (set version = {target.major} under [runtime.postgresql], and bake)"
        )


def _server_blockers(recipe: Recipe, survey: MigrationSurvey, *, replace: bool) -> Iterator[str]:
    database, target, source = recipe.database, survey.target, survey.source
    if not survey.host and not survey.server_to_create:
        yield f"the database server is unknown: --host NAME, or a value for {database.host_parameter}"
    elif survey.target_error:
        yield f"the new database cannot be used: {survey.target_error}"
    if target is None:
        return
    if target.owner != database.user:
        yield (
            f"the database {database.name} on {survey.host} belongs to {target.owner}"
            f" (ALTER DATABASE {database.name} OWNER TO {database.user})"
        )
    if target.foreign:
        yield f"other roles own tables in {database.name} on {survey.host}: {_shorten(target.foreign)}"
    if target.rows and not target.stale and not replace:
        yield (
            f"{database.name} on {survey.host} already has {row_count(target.rows, exact=target.exact)};"
            " --replace replaces them after a backup"
        )
    if source is None:
        return
    if source.encoding != target.encoding:
        yield f"{database.name} on {survey.host} is encoded in {target.encoding}, the data in {source.encoding}"
    if source.row_security_forced and not target.bypasses_row_security:
        yield (
            f"row-level security would hide rows of {_shorten(source.row_security_forced)} from {database.user} on"
            f" {survey.host}, so they could be neither compared nor backed up (ALTER TABLE … NO FORCE ROW LEVEL SECURITY at"
            f" the source, or ALTER ROLE {database.user} BYPASSRLS on the server)"
        )
    if missing := sorted({*source.extensions} - {*target.extensions, *target.available}):
        yield f"the server does not offer the extension(s) {_shorten(missing)}"
    if missing := sorted({*source.roles} - {*target.roles}):
        yield f"the server does not have the role(s) {_shorten(missing)} (CREATE ROLE …, or drop them at the source)"


def warnings(image: Image, survey: MigrationSurvey, *, replace: bool) -> Iterator[str]:
    """Yield what the operator should know beforehand."""
    source, target = survey.source, survey.target
    if not image.storage_mode:
        yield f"{image.name} has no storage mode tag; the mode is checked once it runs, before writes are stopped"
    if target and target.stale:
        yield f"the new database has stale data ({target.stale}, of a migration that was rolled back), which is replaced"
    elif target and target.rows and replace:
        count = row_count(target.rows, exact=target.exact)
        yield f"the new database has {count}, which are backed up and replaced because of --replace"
    if source and target and target.major > source.major:
        yield (
            f"once PostgreSQL {target.major} has the data, {source.major} cannot restore it: a new instance that fails"
            " while it is monitored is kept, with the data"
        )
    others = sorted({*source.roles} - {source.owner}) if source else []
    if others and survey.mode == "rds":
        yield f"privileges of other roles in the database are not transferred: {_shorten(others)}"


def storage_change(survey: MigrationSurvey, parameter: str, previous_host: str, *, replace: bool) -> StorageChange:
    """Return the change that the switchover's record describes."""
    has_new_host = survey.mode == "rds" and survey.host not in ("", previous_host)
    host = {"parameter": parameter, "host": survey.host, "previous_host": previous_host} if has_new_host else {}
    has_data = bool(survey.target and survey.target.rows and not survey.target.stale)
    # The data of a volume is known only once the new instance has it.
    replaces = replace and (has_data or survey.mode == "volume")
    return StorageChange(survey.mode, survey.previous_mode, replace=replaces, **host)


def _shorten(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
