"""The survey of a database, and what prevents a restore into an external one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goldenami.text import printable


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
        relations: Number of tables, indexes, sequences and views, with those of TOAST.
        objects: Number of objects that dropping everything in the database would lock.
        row_security_forced: Tables whose row-level security applies to their owner too.
        bypasses_row_security: True if row-level security does not apply to the role that reads the database.
        max_locks: The server's `max_locks_per_transaction`.
        sessions: Its `max_connections` and `max_prepared_transactions`, for each of which the lock table has `max_locks` entries.
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
    relations: int = 0
    objects: int = 0
    row_security_forced: tuple[str, ...] = ()
    bypasses_row_security: bool = False
    max_locks: int = 64
    sessions: int = 100
    exact: bool = True
    stale: str = ""


def parse_survey(result: Mapping[str, Any]) -> DatabaseSurvey:
    """Parse the survey of an instance's agent."""
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in result.items()}
    return DatabaseSurvey(**values)


def external_restore_blockers(
    target: DatabaseSurvey, server: str, user: str, forced: Sequence[str], relations: int
) -> Iterator[str]:
    """Yield the reasons why the one transaction of a restore into an external database would fail.

    Args:
        target: The database that is replaced.
        server: Its server.
        user: Its owner.
        forced: Tables of the restored database whose row-level security applies to their owner too.
        relations: Number of its tables, indexes, sequences and views.
    """
    if forced and not target.bypasses_row_security:
        yield (
            f"row-level security would hide rows of {shorten(forced)} from {user} on {server}, so they could be neither"
            " compared nor backed up (ALTER TABLE … NO FORCE ROW LEVEL SECURITY at the source, or ALTER ROLE"
            f" {user} BYPASSRLS on the server)"
        )
    # https://www.postgresql.org/docs/current/runtime-config-locks.html
    locks, entries = target.objects + relations, target.max_locks * target.sessions
    if locks > entries:
        # A static parameter: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithParamGroups.html
        enough = -(-locks // (target.sessions * 64)) * 64
        yield (
            f"the restore is one transaction with {locks} locks, and the lock table of {server} has {entries} entries: set"
            f" max_locks_per_transaction = {enough} (now {target.max_locks}) in its DB parameter group, and reboot it"
        )


def shorten(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    return printable(", ".join(names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
