"""Turn what a copy did, or would do, into what the task prints, for people and as JSON."""

from __future__ import annotations

import json

from goldenami.images.copy import Copied
from goldenami.images.copy_plan import place
from goldenami.summary import table


def copied(found: Copied, *, plan_only: bool, as_json: bool) -> str:
    """Each place with its copy, and what is still to be done there."""
    if as_json:
        return json.dumps(
            {
                "source": found.source.id,
                "name": found.source.name,
                "plan_only": plan_only,
                "copies": [
                    {
                        "region": journey.copy.region,
                        "profile": journey.copy.profile,
                        "ami": journey.seen.image.id if journey.seen.image else None,
                        "to_do": list(journey.steps),
                    }
                    for journey in found.journeys
                ],
            },
            ensure_ascii=False,
        )
    rows = [
        [
            place(journey.copy),
            journey.seen.image.id if journey.seen.image else "-",
            ("to do: " + ", ".join(journey.steps)) if journey.steps else "done",
        ]
        for journey in found.journeys
    ]
    return table(["PLACE", "COPY", f"OF {found.source.name}"], rows)
