"""Replace the one instance of a group that keeps its data itself: the new one gets the rows before it gets the traffic.

An instance refresh ends the old instance when the new one is healthy, and knows nothing of rows. So the group's own doings
are suspended for the while, and each step is ours: launch, prove, carry the rows, attach, watch; then the old one goes. As
long as it is not certain that the new one is well, the old one stands there and can take today's rows back.
"""

from __future__ import annotations

from dataclasses import dataclass

from goldenami.aws import auto_scaling, instances
from goldenami.context import Context
from goldenami.database import recovery, relocate, transfer, volume
from goldenami.database.switchover_model import StorageChange, Switchover
from goldenami.errors import AwsError, GateError, GoldenError
from goldenami.infra import network
from goldenami.model.fleet import AutoScalingGroup, GroupInstance
from goldenami.model.resources import Instance
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.state.lock import HeldLock
from goldenami.text import seconds
from goldenami.tools import http
from goldenami.tools.clock import poll

_CONSECUTIVE_HEALTHY = 3  # healthy answers in a row: one can be luck


@dataclass
class InstanceReplacement:
    """A replacement under way."""

    shop: Context
    claim: HeldLock
    watch: RolloutMonitor
    timeline: Timeline
    group: AutoScalingGroup
    version: int
    seconds: float
    move: StorageChange | None = None

    def forward(self) -> str:
        """Bring the new instance to serve with the rows of the old one.

        Returns:
            Why it was turned back; empty when the new instance serves alone.
        """
        old = self._old()
        if old is None:  # an empty group holds nothing that could be lost
            recovery.pin_launch_version(self.shop, self.group, self.version, self.group.max)
            return ""
        handover = Switchover(
            self.watch.run.id,
            old.id,
            version=self.version,
            max=self.group.max,
            suspended=self.group.suspended,
            by="backup" if self.move else transfer.transfer_method(self.shop),
            move=self.move,
            had=self.move is not None or transfer.source_has_data(self.shop, old.id),
        )
        transfer.save(self.shop, handover)
        self._tell("started", f"{old.id} is to be replaced, its rows carried over")
        try:
            relocate.prepare(self.shop, handover)
            new = self._launch(handover)
            handover = transfer.save(self.shop, handover.at("launching", new.id))
            self._prove(new)
            relocate.verify_target(self.shop, handover)
            # Its service is about to be stopped, which is no reason for the group to replace the old instance.
            auto_scaling.suspend(self.shop.aws, self.group.name, recovery.AUTOMATIC_PROCESSES)
            carried = transfer.transfer(self.shop, self.claim, handover)
        except BaseException as error:
            self.watch.keep_evidence()
            recovery.recover(self.shop)
            self._tell("restored", f"{old.id} serves as before, with all its rows")
            if isinstance(error, GoldenError):
                return error.message
            raise
        try:
            recovery.attach(self.shop, carried.handover)
            self._tell("attached", f"{new.id} joined {self.group.name}", new.id)
            reason = self._take_traffic(new.id, carried.began) or self._watched(new.id)
        except GoldenError as error:
            reason = error.message
        if reason:
            return self._back(carried.handover, reason)
        self._tell("shifted", f"{new.id} serves alone, with every row")
        recovery.complete(self.shop, carried.handover)
        if carried.handover.by == "volume":
            volume.delete_expired_snapshots(self.shop)
        self._tell("terminated", "no old instance is left in the group")
        return ""

    def _old(self) -> GroupInstance | None:
        there = [m for m in self.group.members if not m.lifecycle.startswith(("Terminat", "Detach"))]
        if len(there) > 1:
            told = ", ".join(m.id for m in there)
            raise GateError(f"{self.group.name} has {len(there)} instances, each with rows of its own: {told}")
        return there[0] if there else None

    def _launch(self, handover: Switchover) -> Instance:
        subnet = network.find_network(self.shop).subnets[0]
        new = instances.launch_from_template(
            self.shop.aws, self.group.template_id, self.version, subnet, recovery.token(handover)
        )
        self._tell("launched", f"{new.id} launched in {new.zone}, outside the group", new.id)
        return new

    def _prove(self, new: Instance) -> None:
        """Wait until it is well with an empty database of its own: an image that is bad ends here, at no cost to anybody.

        Raises:
            GateError: It is not, within the grace period.
        """
        shop, app, grace = self.shop, self.shop.recipe.app, self.group.grace
        new = instances.wait_running(shop.aws, shop.clock, new.id)
        url = f"http://{new.address}:{app.port}{app.health}"
        green, seen = 0, http.Probe(False, "no answer")
        for elapsed in poll(shop.clock, timeout=grace, every=1):
            self.claim.beat()
            seen = http.probe(url, timeout=3)
            green = green + 1 if seen.ok else 0
            if green >= _CONSECUTIVE_HEALTHY:
                self._tell("healthy", f"{new.id} healthy after {elapsed:.0f} s, with an empty database", new.id)
                return
        raise GateError(f"{new.id} is not healthy after {grace} s ({seen.detail})")

    def _take_traffic(self, instance: str, began: float) -> str:
        """Wait until the balancer sends requests to it, which ends the window in which nobody could write."""
        shop = self.shop
        for _ in poll(shop.clock, timeout=self.group.grace, every=0.5):
            member = self._member(instance)
            if member is not None and member.serving:
                self._tell(
                    "canary", f"nobody could write for {seconds(shop.clock.monotonic() - began)}; now {instance} serves"
                )
                return ""
            self.claim.beat()
        return f"{instance} does not take traffic within {self.group.grace} s"

    def _watched(self, instance: str) -> str:
        """Watch it while the old one still stands there."""
        shop, began = self.shop, self.shop.clock.monotonic()
        while True:
            now = shop.clock.monotonic()
            self.claim.beat()
            found = auto_scaling.get(shop.aws, self.group.name)
            if found is None:
                raise AwsError(f"{self.group.name} is gone", state="Nobody is served.", next="./invoke fleet.create")
            self.watch.look(found)
            if reason := self.watch.red(self.group.grace, float("inf")):
                return reason
            if now - began >= self.seconds:
                break
            for _ in range(3):
                shop.clock.sleep(1)
                self.watch.probe()
        self._tell("watched", f"{instance} watched for {seconds(self.seconds)} beside the old instance")
        return ""

    def _back(self, handover: Switchover, reason: str) -> str:
        """Carry today's rows back to the instance that served before, and let it serve again."""
        self._tell("red", reason)
        self.watch.keep_evidence()
        before = self.group.number or handover.version
        try:
            carried = transfer.transfer(self.shop, self.claim, handover.returning(before))
        except GoldenError as error:
            transfer.save(self.shop, handover)
            if handover.home == "instance" and instances.gone(self.shop.aws, handover.target):
                recovery.recover(self.shop)
                self._tell("restored", f"{handover.source} serves again, with what it had when its writes were stopped")
                return f"{reason}; {handover.target} has ended with what was written on it meanwhile"
            raise GateError(
                f"{reason}; and its rows cannot be carried back: {error.message}",
                state=f"{handover.target} has every row; {handover.source} stands beside it with its writes stopped."
                " Nothing is lost.",
                next=f"./invoke db.migrate --to {self.move.to} goes on"
                if self.move
                else "./invoke rollback tries again",
            ) from None
        self._take_traffic(handover.source, carried.began)
        recovery.complete(self.shop, carried.handover)
        self._tell("restored", f"{handover.source} serves again, with every row that was written meanwhile")
        return reason

    def _member(self, instance: str) -> GroupInstance | None:
        found = auto_scaling.get(self.shop.aws, self.group.name)
        return next((m for m in found.members if m.id == instance), None) if found else None

    def _tell(self, kind: str, text: str, subject: str = "") -> None:
        self.timeline.add(Event(self.shop.clock.now().isoformat(timespec="seconds"), kind, text, subject))
        self.shop.progress.say(text)
