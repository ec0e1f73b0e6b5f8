"""Tell the team, at every place that the recipe names; a place that cannot be told changes nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from goldenami.aws import parameters
from goldenami.aws import sns as topics
from goldenami.aws.errors import explain
from goldenami.context import Shop
from goldenami.errors import ToolError
from goldenami.rebuild.notice_model import Notice, clean
from goldenami.tools import http
from goldenami.tools import process as shell


@dataclass(frozen=True)
class Told:
    """Which places were told, and which could not be, with the reason."""

    places: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def tell(shop: Shop, notice: Notice) -> Told:
    """Send a notice everywhere. It never raises for a place that does not take it: that is said, and returned."""
    told, failed = [], []
    for place, send in _places(shop, notice):
        try:
            send()
        except Exception as error:  # whatever it is, the rebuild went as it went
            known = explain(error) or error
            failed.append(f"{place}: {clean(str(known).splitlines()[0] if str(known) else type(error).__name__)}")
            shop.progress.say(f"could not tell {failed[-1]}")
        else:
            told.append(place)
            shop.progress.detail(f"told {place}")
    return Told(tuple(told), tuple(failed))


def _places(shop: Shop, notice: Notice) -> list[tuple[str, Callable[[], None]]]:
    wanted = shop.recipe.notify
    senders: list[Callable[[], None]] = []
    if wanted.sns_topic_arn:
        senders.append(lambda: topics.publish(shop.aws, wanted.sns_topic_arn, notice.subject, notice.text))
    if name := wanted.webhook_parameter:
        senders.append(lambda: http.post(parameters.secret(shop.aws, name), notice.payload()))
    if wanted.command:
        senders.append(lambda: _run(shop, notice))
    return list(zip(wanted.places, senders, strict=True))


def _run(shop: Shop, notice: Notice) -> None:
    argv = list(shop.recipe.notify.command)
    done = shell.run(argv, cwd=shop.root, stdin=json.dumps(notice.payload(), ensure_ascii=False), timeout=60)
    if done.code:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ToolError(f"exited with {done.code}" + (f": {said[-1]}" if said else ""))
