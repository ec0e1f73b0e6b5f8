"""The users' rows: back up, list, verify, restore, and move to another home."""

from __future__ import annotations

from goldenami.tasks.runner import Opened, operation, say

_INSTANCE = "which instance (default: the only one)"


@operation(
    instance=_INSTANCE,
    folder="also write the backup to this folder",
    own="the database on the instance itself, although the recipe says that data lives elsewhere",
    why="a word for the manifest",
)
def backup(
    opened: Opened, instance: str = "", folder: str = "", own: bool = False, why: str = "", json: bool = False
) -> None:
    """Back up the database to the bucket, from one snapshot, while it serves; prints the backup's id.

    Rows, roles, and a fingerprint of both; the manifest comes last, so half a backup is none.
    """
    from goldenami.database import report as database_telling
    from goldenami.database import restore as database

    made = database.save(opened(), instance, folder, own=own, why=why)
    print(database_telling.one(made, as_json=json))


@operation("list")
def listed(opened: Opened, json: bool = False) -> None:
    """List the backups, the oldest first."""
    from goldenami.database import backup
    from goldenami.database import report as database_telling

    print(database_telling.listed(backup.every(opened()), as_json=json))


@operation(backup="the backup's id (default: the newest)")
def verify(opened: Opened, backup: str = "") -> None:
    """Read a backup whole and hold it against its manifest; prints its id."""
    from goldenami.database import backup as flow

    shop = opened()
    found = flow.get(shop, backup)
    flow.verify(shop, found)
    say(f"{found.id} is whole: {found.fingerprint.rows} row(s), {found.size} bytes")
    print(found.id)


@operation(
    backup="the backup's id (default: the newest)",
    folder="take the backup from this folder",
    instance=_INSTANCE,
    replace="put it in the place of rows that are there, which are backed up first",
)
def restore(
    opened: Opened, backup: str = "", folder: str = "", instance: str = "", replace: bool = False, json: bool = False
) -> None:
    """Restore a backup, compare every table with its manifest, and only then let anybody write; prints its id.

    A damaged backup, or one of another database, is refused before anything is touched. On failure what was there serves on.
    """
    from goldenami.database import report as database_telling
    from goldenami.database import restore as database

    done = database.restore(opened(), backup, folder, instance, replace=replace)
    print(database_telling.one(done, as_json=json))


@operation(
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
    opened: Opened,
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
    from goldenami.images.catalog import Options
    from goldenami.migrate import migrate as flow
    from goldenami.migrate import report as migrate_telling
    from goldenami.promote import promote_telling
    from goldenami.text import seconds

    wanted = Options(
        ami=ami, version=version, candidate=not (ami or version), watch=seconds(watch) if watch else None, why=why
    )
    options, shop = flow.Options(to, wanted, host, replace, create), opened()
    (print if plan else say)(migrate_telling.page(shop, flow.look(shop, options), as_json=json and plan))
    if plan:
        return
    result = flow.migrate(shop, options)
    say(migrate_telling.summary(shop, result))
    print(promote_telling.facts(shop, result) if json else result.image.id)
