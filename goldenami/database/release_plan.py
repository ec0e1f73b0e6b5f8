"""Migrations of an image compared with those that are applied to the database: what comes, and what would be missing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goldenami.model.image import Image
from goldenami.model.inventory import ImageInventory
from goldenami.recipe.recipe import Recipe
from goldenami.text import printable, seconds


@dataclass(frozen=True)
class SchemaChange:
    """Difference between the migrations of an image and those that are applied to the database.

    Attributes:
        pending: In the image, and not applied.
        missing: Applied, and not in the image.
        incompatible: Those of `missing` whose header does not say that the version before works with them.
        changed: Applied with other contents than in the image.
        has_step: True if the image has a release step.
        is_known: False if only the image itself knows what is pending: a release command, or no inventory.
    """

    pending: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    incompatible: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    has_step: bool = True
    is_known: bool = True

    @property
    def needs_step(self) -> bool:
        """True if the release step may have something to do."""
        return self.has_step and bool(self.pending or not self.is_known)


@dataclass(frozen=True)
class AppliedStep:
    """A migration that was applied: how long it took, and the strong locks that it held until its end."""

    name: str
    seconds: float
    locks: tuple[str, ...] = ()

    def __str__(self) -> str:
        locks = f", {', '.join(self.locks)}" if self.locks else ""
        return f"{self.name} ({seconds(self.seconds)}{locks})"


@dataclass(frozen=True)
class ReleaseFailure:
    """Why the release step failed, with PostgreSQL's DETAIL and HINT, and what stands in the database."""

    message: str
    state: str


def parse_steps(result: Mapping[str, Any]) -> tuple[AppliedStep, ...]:
    """Return the applied migrations of the release script's result."""
    return tuple(
        AppliedStep(printable(str(s["name"])), float(s["seconds"]), tuple(printable(str(lock)) for lock in s["locks"]))
        for s in result.get("applied", ())
    )


def parse_failure(stderr: str, status: str) -> ReleaseFailure:
    """Return the failure in the release script's messages: `ERROR …`, lines of DETAIL and HINT, `STATE …`.

    Args:
        status: Run Command's status, if there is no message.
    """
    lines = [printable(line) for line in stderr.splitlines()]
    first = next((number for number, line in enumerate(lines) if line.startswith("ERROR ")), None)
    if first is None:
        return ReleaseFailure(f"the release step failed: {lines[-1] if lines else status}", "")
    end = next((number for number, line in enumerate(lines) if number > first and line.startswith("STATE ")), None)
    details = [line for line in lines[first + 1 : end] if line.startswith(("DETAIL:", "HINT:"))]
    message = "\n".join([lines[first].removeprefix("ERROR "), *details])
    return ReleaseFailure(message, f"{lines[end].removeprefix('STATE ').rstrip('.')}." if end is not None else "")


def parse_applied(plan: Mapping[str, Any]) -> dict[str, str] | None:
    """Return name and checksum of each applied migration, from the release script's plan; None with a release command."""
    if plan.get("command"):
        return None
    return {str(migration["name"]): str(migration["checksum"]) for migration in plan.get("applied", ())}


def schema_change(
    recipe: Recipe, image: ImageInventory | None, running: ImageInventory | None, applied: Mapping[str, str] | None
) -> SchemaChange:
    """Compare the migrations of an image with the database.

    Args:
        image: Inventory of the image; None if it has none.
        running: Inventory of the running image, whose headers say which of its migrations are compatible.
        applied: Name and checksum of those in the database; None if it was not asked, so that `running` decides.
    """
    earlier = (running.migrations if running else None) or ()
    known = {m.name: m.checksum for m in earlier} if applied is None else applied
    if image is None or (recipe.release.command and image.migrations is not None):
        return SchemaChange(is_known=False)
    migrations, compatible = (
        {m.name: m.checksum for m in image.migrations or ()},
        {m.name for m in earlier if m.compatible},
    )
    missing = tuple(name for name in known if name not in migrations)
    return SchemaChange(
        pending=tuple(name for name in migrations if name not in known),
        missing=missing,
        incompatible=tuple(name for name in missing if name not in compatible),
        changed=tuple(name for name, checksum in migrations.items() if known.get(name, checksum) != checksum),
        has_step=image.migrations is not None,
    )


def summary(change: SchemaChange) -> str:
    """Return the migrations that an image would bring to the database, and those that it lacks; empty if there are none."""
    brings = [f"brings {_listed(change.pending)}"] if change.pending else []
    lacks = [f"lacks {_listed(change.missing)}"] if change.missing else []
    return " and ".join([*brings, *lacks])


def blockers(change: SchemaChange, image: Image, *, schema_newer: bool) -> Iterator[str]:
    """Yield why an image must not be rolled out to the database.

    Args:
        schema_newer: True to accept a database that has incompatible migrations of a newer image.
    """
    if change.incompatible and not schema_newer:
        yield (
            f"{image.name} ({image.id}) lacks {_listed(change.incompatible)}, applied to the database by a newer image: it may"
            " not work with the newer schema (--schema-newer rolls it out anyway)"
        )
    if change.changed:
        yield (
            f"{_listed(change.changed)} of {image.name} ({image.id}) changed after it was applied to the database: restore its"
            " contents, put the change into a new migration, and bake again"
        )


def warnings(change: SchemaChange, *, rehearse: bool) -> Iterator[str]:
    """Yield what the operator should know about the migrations."""
    if change.missing:
        compatible = "accepted by --schema-newer" if change.incompatible else "compatible by its header"
        yield f"the schema stays newer than the image: {_listed(change.missing)} stays applied ({compatible})"
    if change.pending and not rehearse:
        why = "--no-rehearsal or [release] rehearsal = false"
        yield f"NOT REHEARSED: {_listed(change.pending)} runs on the live database first, because of {why}"


def rehearsal_blocker(recipe: Recipe, size: int) -> str:
    """Return why the release step cannot be rehearsed on a copy of a database of this many bytes; empty if it can."""
    if size <= recipe.release.rehearsal_max_bytes:
        return ""
    return (
        f"the database has {size / 1024**3:.1f} GiB, and [release] rehearsal_max_size is {recipe.release.rehearsal_max_size}:"
        " no rehearsal on a copy (--no-rehearsal promotes without one)"
    )


def steps(change: SchemaChange, *, rehearse: bool, transfers_data: bool) -> Iterator[str]:
    """Yield the steps that apply what is pending, for the preflight."""
    if not change.needs_step:
        return
    names = ", ".join(change.pending) or "what is pending"
    if transfers_data:
        yield f"apply {names} to the transferred data, before the new instance serves; if that fails, the old instance resumes"
        return
    yield "launch an instance of the new image outside the fleet, with a temporary database; it must become healthy"
    if rehearse:
        yield f"rehearse {names} there, on a backup of today's data; a failure ends the promotion"
    yield f"apply {names} to the live database, each in its own transaction; the old instances keep serving"


def _listed(names: Sequence[str]) -> str:
    return f"migration{'s' if len(names) > 1 else ''} {', '.join(names)}"
