"""The users' rows: back up, list, verify, restore, and move to another home."""

from __future__ import annotations

from goldenami.tasks.runner import ContextFactory, print_status, recipe_task

_INSTANCE = "which instance (default: the only one)"


@recipe_task(
    instance=_INSTANCE,
    folder="also write the backup to this folder",
    own="the database on the instance itself, although the recipe says that data lives elsewhere",
    why="a word for the manifest",
)
def backup(
    opened: ContextFactory, instance: str = "", folder: str = "", own: bool = False, why: str = "", json: bool = False
) -> None:
    """Back up the database to the bucket, from one snapshot, while it serves; prints the backup's id.

    Rows, roles, and a fingerprint of both; the manifest comes last, so half a backup is none.
    """
    from goldenami.database import report as database_report
    from goldenami.database import restore as database_restore

    made = database_restore.back_up(opened(), instance, folder, own=own, why=why)
    print(database_report.backup(made, as_json=json))


@recipe_task("list")
def listed(opened: ContextFactory, json: bool = False) -> None:
    """List the backups, the oldest first."""
    from goldenami.database import backup as database_backup
    from goldenami.database import report as database_report

    print(database_report.backups(database_backup.list_backups(opened()), as_json=json))


@recipe_task(backup="the backup's id (default: the newest)")
def verify(opened: ContextFactory, backup: str = "") -> None:
    """Read a backup whole and hold it against its manifest; prints its id."""
    from goldenami.database import backup as database_backup

    ctx = opened()
    found = database_backup.get_backup(ctx, backup)
    database_backup.verify_backup(ctx, found)
    print_status(f"{found.id} is whole: {found.fingerprint.rows} row(s), {found.size} bytes")
    print(found.id)


@recipe_task(
    backup="the backup's id (default: the newest)",
    folder="take the backup from this folder",
    instance=_INSTANCE,
    replace="put it in the place of rows that are there, which are backed up first",
)
def restore(
    opened: ContextFactory,
    backup: str = "",
    folder: str = "",
    instance: str = "",
    replace: bool = False,
    json: bool = False,
) -> None:
    """Restore a backup, compare every table with its manifest, and only then let anybody write; prints its id.

    A damaged backup, or one of another database, is refused before anything is touched. On failure what was there serves on.
    """
    from goldenami.database import report as database_report
    from goldenami.database import restore as database_restore

    done = database_restore.restore(opened(), backup, folder, instance, replace=replace)
    print(database_report.backup(done, as_json=json))


@recipe_task(
    to="the new home: rds, volume or instance, as [database] mode has it",
    host="the server's host name, NAME or NAME:PORT (default: what the parameter says)",
    ami="the image that looks for its data there, by its id (default: the candidate)",
    version="the image, by its version, like v1.2",
    watch="how long the new instance is watched: 90s, 5m, 1h (default: the recipe's)",
    create="make the server (an RDS DB instance) where it is missing",
    replace="rows that the new home holds may be replaced, after a backup of them",
    why="a word for the ledger",
    plan="say what is where and what would be done, and stop",
)
def migrate(
    opened: ContextFactory,
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
    """Move the data to another home: from the instance to a server elsewhere, say; prints the image's id.

    Set `mode` under [database] and bake first. A new instance has to be healthy in the new home; then writes stop, every row is
    carried over and compared, and it takes the traffic. Whatever fails before that leaves the old instance as it was; whatever
    fails while it is watched carries today's rows back. Killed at any moment, the same command goes on, or goes back.

    Exit codes: 0 done, 2 usage, 5 refused or taken back, 6 AWS refused, 7 somebody else is changing the fleet, 130 interrupted.
    """
    from goldenami.images.model import ImageSelector
    from goldenami.migrate import migrate as migrate_migrate
    from goldenami.migrate import plan as migrate_plan
    from goldenami.migrate import report as migrate_report
    from goldenami.promote import report as promote_report
    from goldenami.promote.model import PromoteOptions
    from goldenami.text import parse_seconds

    selector = ImageSelector(ami, version, candidate=not (ami or version))
    promotion = PromoteOptions(selector, watch=parse_seconds(watch) if watch else None, why=why)
    options, ctx = migrate_plan.MigrateOptions(to, promotion, host, replace, create), opened()
    (print if plan else print_status)(
        migrate_report.page(ctx, migrate_migrate.preflight(ctx, options), as_json=json and plan)
    )
    if plan:
        return
    result = migrate_migrate.migrate(ctx, options)
    print_status(migrate_report.summary(ctx, result))
    print(promote_report.facts(ctx, result) if json else result.image.id)
