"""A promotion in several regions: every preflight first, then one region after the other, and none after the first red one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from goldenami.aws import image_copies, images
from goldenami.context import Context
from goldenami.errors import GoldenError, UsageError
from goldenami.images import catalog
from goldenami.images.model import PromoteOptions
from goldenami.promote import promote
from goldenami.promote.model import PromoteResult
from goldenami.promote.plan import PromotionPreflight


@dataclass(frozen=True)
class RegionStep:
    """A region on the way, with what is promoted there: the image of the same version."""

    ctx: Context
    options: PromoteOptions

    @property
    def region(self) -> str:
        """The region's name."""
        return self.ctx.aws.region


def plan_regions(ctx: Context, options: PromoteOptions, regions: Sequence[str]) -> tuple[RegionStep, ...]:
    """The home region and those asked for, in order; in each the image of the version that is meant at home.

    Raises:
        UsageError: The image at home has no version, or a region is named twice.
    """
    if not regions:
        return (RegionStep(ctx, options),)
    route = (ctx.aws.region, *regions)
    if len(set(route)) != len(route):
        raise UsageError(f"each region once, please: {', '.join(route)}")
    image = images.get(ctx.aws, catalog.resolve_ami(ctx, options))
    version = image.version(ctx.name) if image else None
    if version is None:
        raise UsageError(f"that is no golden AMI of {ctx.name} with a version", next="./invoke images")
    there = replace(options, ami="", candidate=False, version=str(version))
    shops = [replace(ctx, aws=image_copies.in_region(ctx.aws, region, "")) for region in regions]
    return (RegionStep(ctx, options), *(RegionStep(far, there) for far in shops))


def preflights(route: Sequence[RegionStep]) -> Iterator[tuple[RegionStep, PromotionPreflight]]:
    """What would be done in each region. Nothing is changed.

    Raises:
        UsageError: The image is not there in one of them.
    """
    for stop in route:
        with _summary(stop, route, "Nothing was changed.", next="./invoke copy carries the image there"):
            found = promote.preflight(stop.ctx, stop.options)
        yield stop, found


def promote_regions(
    seen: Sequence[tuple[RegionStep, PromotionPreflight]],
) -> Iterator[tuple[RegionStep, PromoteResult]]:
    """Promote in each region, one after the other, and stop at the first that is red.

    Args:
        seen: Every region with its preflight: where one refuses, none is begun.

    Raises:
        GoldenError: As a promotion does, with what was done before it, and what was not begun.
    """
    route = [stop for stop, _ in seen]
    for stop, found in seen:
        with _summary(stop, route, "Nothing was changed in any region."):
            promote.raise_if_blocked(found.plan)
    done: list[str] = []
    for number, (stop, found) in enumerate(seen):
        rest = [later.region for later in route[number + 1 :]]
        state = f"Promoted before: {', '.join(done) or 'none'}. Not begun: {', '.join(rest) or 'none'}."
        with _summary(stop, route, state):
            # Those before may have taken an hour: what was seen then is looked at again.
            fresh = promote.preflight(stop.ctx, stop.options) if number else found
            result = promote.run(stop.ctx, fresh, stop.options.why or "promote")
        done.append(stop.region)
        yield stop, result


@contextlib.contextmanager
def _summary(stop: RegionStep, route: Sequence[RegionStep], state: str, next: str = "") -> Iterator[None]:
    """Say of a failure in which region it was, where there are several."""
    try:
        yield
    except GoldenError as error:
        if len(route) == 1:
            raise
        told = f"{error.state} {state}" if error.state and not state.startswith(error.state[:-1]) else state
        text = f"{stop.region}: {error.message}"
        raise type(error)(text, state=told, next=next or error.next, exit_code=error.exit_code) from None
