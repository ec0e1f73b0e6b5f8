"""What an instance keeps, as it was found there; and why it must not be replaced as if it kept nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from goldenami.database.volume_plan import unsupported_reason
from goldenami.model.image import Image, Platform
from goldenami.recipe.recipe import Recipe


@dataclass(frozen=True)
class InstanceData:
    """What was found on an instance.

    Attributes:
        seen: Whether anybody could look; if not, `why` says what was in the way.
        answers: Whether a server of its own answers there.
        rows: Rows that no schema declares, each table counted up to a thousand.
        bytes: The size of the database.
        major: The server's major version; 0 where none answers.
        databases: Databases of users in the folders of the server, whether it answers or not.
        fenced: The handover that has stopped its writes; empty when they go on.
        volume: The volume that its data is on; empty where that is the root disk.
        home: Where its image keeps data: `rds`, `instance`, …; empty where nobody could look.
        family: The distribution that has written what is on the volume; empty where the volume does not say.
        architecture: The processor.
    """

    instance: str
    reachable: bool = True
    reason: str = ""
    server_running: bool = False
    rows: int = 0
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
        """Whether rows would go with it: some were counted, or there is a database that nobody can look into."""
        return self.rows > 0 or (self.databases > 0 and not self.server_running)


def data_blockers(recipe: Recipe, found: Sequence[InstanceData], image: Image | None = None) -> Iterator[str]:
    """Why these instances must not be replaced.

    Args:
        recipe: What it says of the data.
        found: What is there.
        image: What replaces them, if anything does.
    """
    told = image.tags.get("PostgreSQL", "") if image else ""
    major = int(told) if told.isdigit() else 0
    for one in found:
        if recipe.database.on_volume and one.volume and (other := _unsupported(one, image)):
            yield other
        if recipe.database.on_instance:
            yield from _instance(one, major, volume=recipe.database.on_volume)
        elif one.has_data:
            what = f"{one.rows} row(s)" if one.server_running else "a database whose server does not answer"
            yield (
                f'{one.instance} keeps {what} of its own, although mode is "{recipe.database.mode}": they would be lost'
                f" (./invoke db.migrate --to {recipe.database.mode} carries them over)"
            )
    if recipe.database.on_instance and len(found) > 1:
        yield (
            f"{len(found)} instances have a database each, and nobody can say which rows are right:"
            f" {', '.join(one.instance for one in found)}"
        )


def _unsupported(one: InstanceData, image: Image | None) -> str:
    return unsupported_reason(one.volume, Platform(one.family, one.architecture), image) if image else ""


def _instance(one: InstanceData, major: int, *, volume: bool) -> Iterator[str]:
    if one.storage_mode == "rds":
        yield (
            f"{one.instance} keeps its data on a server elsewhere, which one with a database of its own would not see"
            " (./invoke db.migrate --to instance carries every row over)"
        )
    elif not one.reachable:
        yield (
            f"nobody can look at the rows of {one.instance}: {one.reason or 'it does not answer'}"
            " (it needs run_command = true under [fleet], ./invoke fleet.create, and its agent)"
        )
    elif volume and not one.volume and (one.server_running or one.has_data):
        yield (
            f'{one.instance} keeps its database on its root disk, although mode is "volume": it would be lost'
            " (./invoke db.migrate --to volume carries them over)"
        )
    elif volume and major and one.major and one.major != major:
        yield (
            f"the data on {one.volume or 'the volume'} is PostgreSQL {one.major}'s and the image has {major}, which cannot"
            f" take it over as it is: bake it with PostgreSQL {one.major}, or carry the rows over by ./invoke db.backup and"
            " db.restore"
        )
    elif volume and one.volume:
        return
    elif not one.server_running and one.databases:
        yield f"the database server of {one.instance} does not answer, so its rows cannot be carried over"
    elif major and one.major > major:
        yield (
            f"{one.instance} has PostgreSQL {one.major} and the image {major}, which cannot read its rows:"
            f" bake it with PostgreSQL {one.major} or newer"
        )
