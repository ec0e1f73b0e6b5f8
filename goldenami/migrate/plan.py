"""Plan a migration to another storage mode: what is at the source and the target, and what blocks it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from goldenami.database.guard_plan import InstanceData, row_count
from goldenami.database.survey_model import DatabaseSurvey, external_restore_blockers, shorten
from goldenami.database.switchover_model import StorageChange
from goldenami.model.image import Image
from goldenami.promote.model import PromoteOptions
from goldenami.promote.plan import PromotionPreflight
from goldenami.recipe.recipe import Recipe

# Write downtime: the service's stop and start, and each byte dumped, sent, fetched, restored and compared twice.
_FIXED, _RATE = 15.0, 4e6  # seconds; bytes of the database per second on a t3.micro


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
        yield f"other roles own tables in {database.name} on {survey.host}: {shorten(target.foreign)}"
    if target.rows and not target.stale and not replace:
        yield (
            f"{database.name} on {survey.host} already has {row_count(target.rows, exact=target.exact)};"
            " --replace replaces them after a backup"
        )
    if source is None:
        return
    if source.encoding != target.encoding:
        yield f"{database.name} on {survey.host} is encoded in {target.encoding}, the data in {source.encoding}"
    yield from external_restore_blockers(
        target, survey.host, database.user, source.row_security_forced, source.relations
    )
    if missing := sorted({*source.extensions} - {*target.extensions, *target.available}):
        yield f"the server does not offer the extension(s) {shorten(missing)}"
    if missing := sorted({*source.roles} - {*target.roles}):
        yield f"the server does not have the role(s) {shorten(missing)} (CREATE ROLE …, or drop them at the source)"


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
        yield f"privileges of other roles in the database are not transferred: {shorten(others)}"


def storage_change(survey: MigrationSurvey, parameter: str, previous_host: str, *, replace: bool) -> StorageChange:
    """Return the change that the switchover's record describes."""
    has_new_host = survey.mode == "rds" and survey.host not in ("", previous_host)
    host = {"parameter": parameter, "host": survey.host, "previous_host": previous_host} if has_new_host else {}
    has_data = bool(survey.target and survey.target.rows and not survey.target.stale)
    # The data of a volume is known only once the new instance has it.
    replaces = replace and (has_data or survey.mode == "volume")
    return StorageChange(survey.mode, survey.previous_mode, replace=replaces, **host)
