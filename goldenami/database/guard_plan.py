"""The data of an instance, and the reasons why the instance must not be replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from goldenami.database.volume_plan import unsupported_reason
from goldenami.model.image import Image, Platform
from goldenami.recipe.recipe import Recipe


def row_count(rows: int, *, exact: bool) -> str:
    """Return a number of rows in words; the largest tables are not counted to the end."""
    return f"{rows} row(s)" if exact else f"at least {rows} rows"


@dataclass(frozen=True)
class InstanceData:
    """The data of an instance.

    Attributes:
        reachable: False if the instance could not be inspected.
        rows: Number of rows in all tables; 0 while each table is empty or exactly as the schema fills it.
        exact: False if there are more rows than were counted.
        unreadable: Why the rows of the running server cannot be counted; empty if they can.
        major: PostgreSQL's major version; 0 if no server answers.
        databases: Number of user databases on disk, whether the server answers or not.
        fenced_by: Id of the backup for which writes were stopped; empty if they are not.
        volume: Id of the volume with the data; empty if it is the root disk.
        storage_mode: Storage mode of the instance's image: `rds`, `instance`, …; empty if unknown.
        family: Distribution that wrote the data on the volume; empty if unknown.
    """

    instance: str
    reachable: bool = True
    reason: str = ""
    server_running: bool = False
    rows: int = 0
    exact: bool = True
    unreadable: str = ""
    bytes: int = 0
    major: int = 0
    databases: int = 0
    fenced_by: str = ""
    volume: str = ""
    storage_mode: str = ""
    family: str = ""
    architecture: str = ""

    @property
    def has_data(self) -> bool:
        """True if data would be lost with the instance: it has rows, or a database that cannot be read."""
        return self.rows > 0 or bool(self.unreadable) or (self.databases > 0 and not self.server_running)

    @property
    def contents(self) -> str:
        """The data in words, for messages."""
        if not self.server_running:
            return "a database whose server does not answer"
        if self.unreadable:
            return f"a database that cannot be read ({self.unreadable})"
        return row_count(self.rows, exact=self.exact)


def data_blockers(recipe: Recipe, instances: Sequence[InstanceData], image: Image | None = None) -> Iterator[str]:
    """Yield the reasons why instances must not be replaced."""
    version = image.tags.get("PostgreSQL", "") if image else ""
    major = int(version) if version.isdigit() else 0
    database = recipe.database
    for data in instances:
        written_by = Platform(data.family, data.architecture)
        if (
            image
            and database.on_volume
            and data.volume
            and (reason := unsupported_reason(data.volume, written_by, image))
        ):
            yield reason
        if database.on_instance:
            yield from _instance_blockers(data, major, on_volume=database.on_volume)
        elif data.has_data:
            yield (
                f'{data.instance} has {data.contents} of its own, although the storage mode is "{database.mode}": the data'
                f" would be lost (./invoke db.migrate --to {database.mode} transfers it)"
            )
    if database.on_instance and len(instances) > 1:
        yield (
            f"{len(instances)} instances have a database each, and the authoritative copy is unknown:"
            f" {', '.join(data.instance for data in instances)}"
        )


def _instance_blockers(data: InstanceData, major: int, *, on_volume: bool) -> Iterator[str]:
    if data.storage_mode == "rds":
        yield (
            f"{data.instance} uses an external database, which an instance with its own database would not use"
            " (./invoke db.migrate --to instance transfers the data)"
        )
    elif not data.reachable:
        fix = " (set run_command = true under [fleet], run ./invoke fleet.create, and check the SSM agent)"
        reason = data.reason or "it does not answer"
        yield f"cannot inspect the data of {data.instance}: {reason}{fix if 'Systems Manager' in reason else ''}"
    elif on_volume and not data.volume and (data.server_running or data.has_data):
        yield (
            f'{data.instance} has its database on its root disk, although the storage mode is "volume": it would be lost'
            " (./invoke db.migrate --to volume transfers the data)"
        )
    elif on_volume and major and data.major and data.major != major:
        yield (
            f"the data on {data.volume or 'the volume'} is from PostgreSQL {data.major} and the image has {major}, which cannot"
            f" use it: bake an image with PostgreSQL {data.major}, or transfer the data by ./invoke db.backup and db.restore"
        )
    elif on_volume and data.volume:
        return
    elif not data.server_running and data.databases:
        yield f"the database server of {data.instance} does not answer, so its data cannot be transferred"
    elif data.unreadable:
        yield f"the database of {data.instance} cannot be read, so its data cannot be transferred: {data.unreadable}"
    elif major and data.major > major:
        yield (
            f"{data.instance} has PostgreSQL {data.major} and the image {major}, which cannot read its data:"
            f" bake an image with PostgreSQL {data.major} or newer"
        )
