"""The recipe's section [release]: what changes the database when a new version is released."""

from __future__ import annotations

from goldenami.recipe.fields import InnerPath, Section, Size, Text, field, flag

_BYTES = {"MiB": 1024**2, "GiB": 1024**3}


class Release(Section):
    """The release step: runs once for each promotion, update and new database, before the new version takes traffic."""

    migrations: InnerPath = field(
        "",
        description="Folder of the source with the migrations `NNN_name.sql`. Each runs once, in the order of its number and in"
        " its own transaction.",
        expected="a folder within the source",
        example="migrations/",
    )
    command: Text = field(
        "",
        description="Command of a migration tool instead of `migrations`, run by bash in `directory` as `user` with DB_HOST,"
        " DB_PORT, DB_NAME, DB_USER, DB_PASSWORD, DB_SSLMODE and DATABASE_URL.",
        expected="a shell command",
        example='/opt/guestbook/goose -dir migrations postgres "$DATABASE_URL" up',
    )
    rehearsal: bool = flag(
        True, "Run pending changes on a restored copy of the data first (`rds`); a failure stops the promotion."
    )
    rehearsal_max_size: Size = field(
        "10 GiB",
        description="Size of the database above which a promotion with pending changes requires `--no-rehearsal`.",
        expected='a size such as "512 MiB" or "10 GiB", or a number of GiB',
        example="20 GiB",
    )

    @property
    def is_configured(self) -> bool:
        """True if the recipe has a release step."""
        return bool(self.migrations or self.command)

    @property
    def rehearsal_max_bytes(self) -> int:
        """Maximum size of a database that is rehearsed, in bytes."""
        size, unit = f"{self.rehearsal_max_size} GiB".split()[:2]
        return int(size) * _BYTES[unit]
