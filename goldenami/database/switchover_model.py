"""A handover: rows go from one instance to another, written down step by step, so that whoever finds it knows where they are.

At every moment exactly one of the two has the rows that count. Until `opened` it is the source, after that the target; what
the other one holds is out of date, and its writes are stopped.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

Step = Literal["launching", "moving", "opened"]
By = Literal["backup", "volume"]
# A group must not replace an instance by itself that has the only copy of its rows; nor mark one as ill that was so for a while,
# since it never takes that mark back. https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
ALONE = ("AZRebalance", "HealthCheck", "ReplaceUnhealthy")


@dataclass(frozen=True)
class Move:
    """Data gets another home on the way from one instance to the other.

    Attributes:
        to: The new home, as `[database] mode` says it.
        left: The home before.
        parameter: The parameter with the server's host name, where that is to change.
        host: What it says from now on.
        former: What it said before; empty where it did not exist.
        replace: Whether rows that the new home holds may be replaced.
    """

    to: str
    left: str
    parameter: str = ""
    host: str = ""
    former: str = ""
    replace: bool = False


@dataclass(frozen=True)
class Handover:
    """What Parameter Store holds while one is under way.

    Attributes:
        run: The run that made it; the instance that it launched has it in its tags.
        source: The instance that rows leave.
        target: The instance that they go to; empty until it is known.
        version: The template version of the target.
        back: Whether the target is the one that served before: rows return to it.
        max: The group's maximum before; 0 where there is no group.
        suspended: The group's processes that were suspended before.
        by: How rows go: restored from a backup, or with the volume that they are on.
        move: Where data moves on the way, if it does.
        had: Whether the source had that volume; one that could not take it has nothing to give, and nothing to get back.
    """

    run: str
    source: str
    target: str = ""
    step: Step = "launching"
    version: int = 0
    back: bool = False
    max: int = 0
    suspended: tuple[str, ...] = ()
    by: By = "backup"
    move: Move | None = None
    had: bool = True

    def text(self) -> str:
        """As the parameter holds it."""
        return json.dumps(asdict(self))

    def at(self, step: Step, target: str = "") -> Handover:
        """The same one step on."""
        return replace(self, step=step, target=target or self.target)

    @property
    def truth(self) -> str:
        """The instance whose rows count."""
        return self.target if self.step == "opened" else self.source

    @property
    def home(self) -> str:
        """Where the rows that count are: a `volume` and a server (`rds`) outlive it, a disk of its own (`instance`) does not."""
        if self.by == "volume":
            return "volume"
        if self.move is None:
            return "instance"
        return self.move.to if self.done != self.back else self.move.left

    @property
    def alone(self) -> tuple[str, ...]:
        """What the group must not do by itself once it is over."""
        if self.move is None or self.back:
            return self.suspended
        others = tuple(process for process in self.suspended if process not in ALONE)
        return others if self.move.to != "instance" else (*others, *ALONE)

    @property
    def replaces(self) -> bool:
        """Whether rows of the target may be replaced: always those of an instance that was launched, or left, for it."""
        return self.move is None or self.back or self.move.replace

    @property
    def done(self) -> bool:
        """Whether the rows have arrived: then there is only one way, and it leads on."""
        return self.step == "opened"

    def returning(self, version: int) -> Handover:
        """The way back for rows that have arrived: from the target to the source, which still stands there."""
        return replace(
            self, source=self.target, target=self.source, step="moving", version=version, back=True, had=True
        )

    def outlived(self, version: int) -> Handover:
        """The target has ended with its work undone, and the volume with every row has come back to the source."""
        return replace(self, source=self.target, target=self.source, step="opened", version=version, back=True)

    def stayed(self, version: int) -> Handover:
        """What is true when that way back fails: the rows are where they were."""
        return replace(self, source=self.target, target=self.source, step="opened", version=version, back=False)


def parse(text: str) -> Handover | None:
    """A handover from its parameter; None when that holds anything else."""
    try:
        found = json.loads(text)
        move = Move(**found["move"]) if found.get("move") else None
        return Handover(**{**found, "suspended": tuple(found["suspended"]), "move": move})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
