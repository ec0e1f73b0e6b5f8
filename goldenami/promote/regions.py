"""Promote in several regions: all preflights first, then one region after the other, stopping at the first failure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from goldenami.aws import image_copies, images
from goldenami.context import Context
from goldenami.errors import GoldenError, UsageError
from goldenami.images import catalog
from goldenami.images.model import ImageSelector
from goldenami.promote import promote
from goldenami.promote.model import PromoteOptions, PromoteResult
from goldenami.promote.plan import PromotionPreflight


@dataclass(frozen=True)
class RegionStep:
    """A region, with the promotion of the image of the same version there."""

    ctx: Context
    options: PromoteOptions

    @property
    def region(self) -> str:
        """Name of the region."""
        return self.ctx.aws.region


def plan_regions(ctx: Context, options: PromoteOptions, regions: Sequence[str]) -> tuple[RegionStep, ...]:
    """Return the steps: the home region, then the others in order, each with the image of the same version.

    Raises:
        UsageError: The image in the home region has no version, or a region is named twice.
    """
    if not regions:
        return (RegionStep(ctx, options),)
    names = (ctx.aws.region, *regions)
    if len(set(names)) != len(names):
        raise UsageError(f"a region is named twice: {', '.join(names)}")
    image = images.get(ctx.aws, catalog.resolve_ami(ctx, options.selector))
    version = image.version(ctx.name) if image else None
    if version is None:
        raise UsageError(f"the image is not a golden AMI of {ctx.name} with a version", next="./invoke images")
    remote_options = replace(options, selector=ImageSelector(version=str(version)))
    remotes = [replace(ctx, aws=image_copies.in_region(ctx.aws, region, "")) for region in regions]
    return (RegionStep(ctx, options), *(RegionStep(remote, remote_options) for remote in remotes))


def preflights(steps: Sequence[RegionStep]) -> Iterator[tuple[RegionStep, PromotionPreflight]]:
    """Yield the preflight of each region. Changes nothing.

    Raises:
        UsageError: The image does not exist in one of the regions.
    """
    for step in steps:
        with _region_in_errors(step, steps, "No changes were made.", next="./invoke copy copies the image there"):
            preflight = promote.preflight(step.ctx, step.options)
        yield step, preflight


def promote_regions(
    planned: Sequence[tuple[RegionStep, PromotionPreflight]],
) -> Iterator[tuple[RegionStep, PromoteResult]]:
    """Promote in each region, one after the other, and stop at the first failure.

    Args:
        planned: Every region with its preflight. If one is blocked, nothing is started.

    Raises:
        GoldenError: As a promotion does; its state names the regions promoted before and those not started.
    """
    steps = [step for step, _ in planned]
    for step, preflight in planned:
        with _region_in_errors(step, steps, "No changes were made in any region."):
            promote.raise_if_blocked(preflight.plan)
    promoted: list[str] = []
    for number, (step, preflight) in enumerate(planned):
        remaining = [later.region for later in steps[number + 1 :]]
        state = f"Promoted before: {', '.join(promoted) or 'none'}. Not started: {', '.join(remaining) or 'none'}."
        with _region_in_errors(step, steps, state):
            # The regions before may have taken an hour: read this one again.
            current = promote.preflight(step.ctx, step.options) if number else preflight
            result = promote.run(step.ctx, current, step.options.why or "promote")
        promoted.append(step.region)
        yield step, result


@contextlib.contextmanager
def _region_in_errors(step: RegionStep, steps: Sequence[RegionStep], state: str, next: str = "") -> Iterator[None]:
    """Add the region to an error's message and state, if there are several regions."""
    try:
        yield
    except GoldenError as error:
        if len(steps) == 1:
            raise
        if error.state and not state.startswith(error.state[:-1]):
            state = f"{error.state} {state}"
        message = f"{step.region}: {error.message}"
        raise type(error)(message, state=state, next=next or error.next, exit_code=error.exit_code) from None
