"""Tasks that work on the database: backup, list, verify, restore, migrate."""

from __future__ import annotations

from goldenami.tasks.runner import ContextFactory, print_report, print_status, recipe_task

_INSTANCE = "id of the instance (default: the only one)"


@recipe_task(
    instance=_INSTANCE,
    folder="also write the backup to this folder",
    own="back up the database on the instance itself, although the recipe stores data elsewhere",
    why="reason, recorded in the manifest",
)
def backup(
    open_context: ContextFactory,
    instance: str = "",
    folder: str = "",
    own: bool = False,
    why: str = "",
    json: bool = False,
) -> None:
    """Back up the database to the bucket, from a consistent snapshot, while it is in service. Prints the backup id.

    Contains the data, the roles, and checksums of both. The manifest is written last, so an incomplete backup is not listed.
    """
    from goldenami.database import report, restore

    print_report(report.backup(restore.back_up(open_context(), instance, folder, own=own, why=why)), json=json)


@recipe_task("list")
def list_backups(open_context: ContextFactory, json: bool = False) -> None:
    """List the backups, oldest first."""
    from goldenami.database import backup, report

    print_report(report.backups(backup.list_backups(open_context())), json=json)


@recipe_task(
    backup="id of the backup (default: the newest)",
    restore="also restore it to a temporary server on an instance, and compare every table",
    instance=_INSTANCE,
)
def verify(open_context: ContextFactory, backup: str = "", restore: bool = False, instance: str = "") -> None:
    """Read a whole backup and verify it against its manifest. Prints the backup id.

    With --restore, an instance restores the backup to a temporary PostgreSQL server of its own, which is then deleted. The
    database in service is not touched.
    """
    from goldenami.database import backup as database_backup, verify

    ctx = open_context()
    manifest = database_backup.get_backup(ctx, backup)
    database_backup.verify_backup(ctx, manifest)
    print_status(f"{manifest.id} is intact: {manifest.fingerprint.rows} row(s), {manifest.size} bytes")
    if restore:
        print_status(verify.verify_by_restoring(ctx, manifest, instance))
    print(manifest.id)


@recipe_task(
    backup="id of the backup (default: the newest)",
    folder="read the backup from this folder",
    instance=_INSTANCE,
    replace="replace existing data, after a backup of it",
)
def restore(
    open_context: ContextFactory,
    backup: str = "",
    folder: str = "",
    instance: str = "",
    replace: bool = False,
    json: bool = False,
) -> None:
    """Restore a backup, verify every table against its manifest, then resume writes. Prints the backup id.

    A damaged backup, or one of another database, is refused before any change. On failure the previous data stays in service.
    """
    from goldenami.database import report, restore

    print_report(report.backup(restore.restore(open_context(), backup, folder, instance, replace=replace)), json=json)


@recipe_task(
    to="new storage: rds, volume or instance, as in [database] mode",
    host="host name of the database server, NAME or NAME:PORT (default: the value of the parameter)",
    ami="id of the image that uses the new storage (default: the candidate)",
    version="version of the image, such as v1.2",
    watch="how long to monitor the new instance: 90s, 5m, 1h (default: the recipe's)",
    create="create the server (an RDS DB instance) if it does not exist",
    replace="replace data in the new storage, after a backup of it",
    why="reason, recorded in the promotion history",
    plan="print the current state and what would be done, and exit",
)
def migrate(
    open_context: ContextFactory,
    to: str,
    host: str = "",
    ami: str = "",
    version: str = "",
    watch: str = "",
    create: bool = False,
    replace: bool = False,
    why: str = "",
    plan: bool = False,
    json: bool = False,
) -> None:
    """Move the database to another storage mode, such as from the instance to RDS. Prints the AMI id.

    Set `mode` under [database] and bake first. A new instance must become healthy with the new storage; then writes stop,
    the data is transferred and verified, and the new instance receives the traffic. If a step before that fails, the old
    instance stays as it was. If the new instance fails while it is monitored, the current data is transferred back. If
    interrupted, run the same command: it completes the migration or rolls it back.

    Exit codes: 0 done, 2 usage error, 5 refused or rolled back, 6 AWS error, 7 the fleet is locked, 130 interrupted.
    """
    from goldenami.images.model import ImageSelector
    from goldenami.migrate import migrate, report
    from goldenami.migrate.plan import MigrateOptions
    from goldenami.promote.model import PromoteOptions
    from goldenami.text import parse_seconds

    selector = ImageSelector(ami, version, candidate=not (ami or version))
    promotion = PromoteOptions(selector, watch=parse_seconds(watch) if watch else None, why=why)
    options, ctx = MigrateOptions(to, promotion, host, replace, create), open_context()
    preflight = report.preflight(ctx, migrate.preflight(ctx, options))
    if plan:
        print_report(preflight, json=json)
        return
    print_status(preflight.text)
    print_report(report.migrated(ctx, migrate.migrate(ctx, options)), json=json)
