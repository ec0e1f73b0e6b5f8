"""A run from its beginning to its end: its folder, its log, and the record of how far it came."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from goldenami.context import Shop
from goldenami.state import runs
from goldenami.state.runs import Run


@contextlib.contextmanager
def opened(shop: Shop, kind: str, *, ended: Callable[[Run, str], None] | None = None, **facts: Any) -> Iterator[Run]:
    """Open a run and close it as finished or failed; killed, it stays marked as running.

    Args:
        shop: Where.
        kind: What it does (`bake`, `promotion`, …); its log is called so, too.
        ended: What is still to be done at the end: called with the reason of a failure, or with nothing. Where it does
            not come through, the run stays marked as running, so that the next one knows that something may be left.
        facts: What else its record says from the beginning.
    """
    run = runs.new(shop.build, shop.clock.now())
    run.record(state="running", kind=kind, started=shop.clock.now().isoformat(timespec="seconds"), **facts)
    with shop.progress.log_to(run.folder / f"{kind}.log"):
        try:
            yield run
        except BaseException as error:
            reason = str(error) or type(error).__name__
            if ended:
                ended(run, reason)
            run.record(state="failed", error=reason)
            raise
        if ended:
            ended(run, "")
        run.record(state="finished", phases=shop.progress.phases)
