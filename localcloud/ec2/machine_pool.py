"""The live machines behind the instances: launched, stopped and watched, each on a line of its own."""

from __future__ import annotations

import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.ec2.models.instances import InstanceState, StateReason

from localcloud.core.cloud import ACCOUNT, Cloud, list_instances
from localcloud.core.unix_server import UnixServer
from localcloud.ec2 import machine_spec, open_ports
from localcloud.ec2.metadata import MetadataService
from localcloud.machines.interface import Machine, MachineSpec
from localcloud.storage import disks

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


STOP_SECONDS = 60.0  # a guest gets this long to power off cleanly before its plug is pulled
TERMINATE_SECONDS = 15.0  # as long as on EC2 nobody waits for a guest whose disk goes away
TERMINATED_SHOWN_SECONDS = 3600.0
WATCH_SECONDS = 0.5


class MachinePool:
    """Machines by instance id. Not kept on the disk: a restarted cloud launches what should be running."""

    def __init__(self, cloud: Cloud, api: WSGIApplication) -> None:
        self._cloud = cloud
        self._api = api
        self._machines: dict[str, Machine] = {}
        self._open: dict[str, frozenset[int]] = {}
        self._doors: dict[str, list[UnixServer]] = {}
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    # --- what the API calls (quick, under the cloud's lock) ---
    def launch(self, instance: Any) -> None:
        """pending -> running, once the machine is launched."""
        self._cloud.queues.submit(instance.id, self._launch, instance)

    def stop(self, instance: Any, then: Callable[[], None], seconds: float = STOP_SECONDS) -> None:
        """Power the machine off within `seconds`; `then` changes what the API knows, under the lock."""
        self._cloud.queues.submit(instance.id, self._stop, instance, then, seconds)

    def reboot(self, instance: Any) -> None:
        def work() -> None:
            if instance.state == "running":
                self._power_off(instance.id)
                self._launch(instance)

        self._cloud.queues.submit(instance.id, work)

    def update_ports(self) -> None:
        """Forward exactly the ports that the security groups open now."""
        for instance in list_instances():
            if instance.id in self._machines and open_ports.desired_ports(instance) != self._open.get(instance.id):
                self._cloud.queues.submit(instance.id, self._apply_ports, instance)

    def console(self, instance: Any) -> bytes:
        """What the machine printed: the last 64 KiB, also after it has gone."""
        if machine := self._machines.get(instance.id):
            return machine.console()
        path = self._cloud.state_dir.machine(instance.id) / "console.log"
        return path.read_bytes()[-65536:] if path.exists() else b""

    # --- what lines call (slow, without the lock) ---

    def copy_disks(self, instance: Any, targets: dict[str, Path], *, reboot: bool) -> None:
        """Copy volumes (id -> file) as of one moment: of a running machine after a stop, or while it is frozen."""
        machine = self._machines.get(instance.id)
        running = machine is not None and machine.is_alive()
        held: AbstractContextManager[None] = nullcontext()
        if running and reboot:
            self._power_off(instance.id)
        elif machine is not None and running:
            held = machine.freeze()
        with held:
            for volume_id, target in targets.items():
                disks.copy(self._cloud.state_dir.volume(volume_id), target)
        if running and reboot:
            self._launch(instance)

    def machine(self, instance: Any) -> Machine | None:
        return self._machines.get(instance.id)

    @property
    def ended(self) -> threading.Event:
        """Set when the cloud ends: what waits must give up."""
        return self._ended

    def running(self) -> dict[str, Machine]:
        return dict(self._machines)

    def watch(self) -> None:
        self._watcher.start()

    def shut_down(self) -> None:
        """Power all machines off (the API still knows them as running: the next start launches them again)."""
        self._ended.set()
        for instance_id in list(self._machines):
            self._cloud.queues.submit(instance_id, self._power_off, instance_id)
        self._cloud.queues.finish(STOP_SECONDS + 15)
        for instance_id in list(self._machines):
            self._kill(instance_id)

    def _launch(self, instance: Any) -> None:
        if self._ended.is_set() or instance.state not in ("pending", "running"):
            return
        try:
            if self._cloud.faults.consume("RunInstances", "failed_launch"):
                raise RuntimeError("a fault that was asked for")
            machine_spec.create_disks(self._cloud, instance)
            with self._cloud.lock:
                spec = machine_spec.build_spec(self._cloud, instance)
            machine = self._cloud.driver.machine(spec)
            self._open_sockets(instance, spec)
            machine.start()
        except Exception as error:  # whatever fails, the API must say so, and the log why
            print(f"{instance.id}: launch failed: {traceback.format_exc()}", file=sys.stderr, flush=True)
            self._kill(instance.id)
            self._fail_launch(instance, error)
            return
        with self._cloud.change():
            self._machines[instance.id] = machine
            self._open[instance.id] = spec.ports
            instance.launched_before = True
            if instance.state == "pending":
                instance._state = InstanceState("running", 16)
        self._apply_ports(instance)

    def _fail_launch(self, instance: Any, error: Exception) -> None:
        reason = StateReason(f"Server.InternalError: Internal error on launch ({error})", "Server.InternalError")
        with self._cloud.change():
            if getattr(instance, "launched_before", False):  # its disk holds data: as AWS, back to stopped
                instance.power_off_now()
            else:
                instance.terminate_now()
            instance.state_reason = reason
            instance._reason = "Server.InternalError"

    def _stop(self, instance: Any, then: Callable[[], None], seconds: float) -> None:
        self._power_off(instance.id, seconds)
        with self._cloud.change():
            instance.machine_address = None
            then()
        if instance.state == "terminated":
            self._cloud.queues.close(instance.id)

    def _power_off(self, instance_id: str, seconds: float = STOP_SECONDS) -> None:
        if machine := self._machines.pop(instance_id, None):
            machine.stop(seconds)
        self._close_sockets(instance_id)

    def _kill(self, instance_id: str) -> None:
        if machine := self._machines.pop(instance_id, None):
            machine.kill()
        self._close_sockets(instance_id)

    def _open_sockets(self, instance: Any, spec: MachineSpec) -> None:
        self._close_sockets(instance.id)
        spec.folder.mkdir(parents=True, exist_ok=True)
        imds = MetadataService(self._cloud, instance, ACCOUNT)
        self._doors[instance.id] = [UnixServer(spec.imds_socket, imds), UnixServer(spec.api_socket, self._api)]

    def _close_sockets(self, instance_id: str) -> None:
        for door in self._doors.pop(instance_id, []):
            door.close()

    def _apply_ports(self, instance: Any) -> None:
        with self._cloud.lock:
            machine, asked = self._machines.get(instance.id), open_ports.desired_ports(instance)
        if machine and self._open.get(instance.id) != asked:
            machine.open_ports(asked)
            self._open[instance.id] = asked

    def _watch(self) -> None:
        """Notice guests that powered themselves off."""
        while not self._ended.wait(WATCH_SECONDS):
            with self._cloud.lock:
                known = list_instances()
            for instance in known:
                machine = self._machines.get(instance.id)
                if machine and not self._cloud.queues.is_busy(instance.id) and not machine.is_alive():
                    self._cloud.queues.submit(instance.id, self._handle_power_off, instance, machine)
            self._forget_terminated(known)

    def _handle_power_off(self, instance: Any, machine: Machine) -> None:
        if self._machines.get(instance.id) is not machine or machine.is_alive() or instance.state != "running":
            return
        self._kill(instance.id)
        machine.kill()  # releases its mounts
        with self._cloud.change():
            instance.machine_address = None
            ends = instance.instance_initiated_shutdown_behavior == "terminate"
            (instance.terminate_now if ends else instance.power_off_now)()
            text = "Instance initiated shutdown"
            instance.state_reason = StateReason(
                f"Client.InstanceInitiatedShutdown: {text}", "Client.InstanceInitiatedShutdown"
            )
        if ends:
            self._cloud.queues.close(instance.id)

    def _forget_terminated(self, known: list[Any]) -> None:
        """Like EC2, show terminated instances for about an hour."""
        for instance in known:
            ended = getattr(instance, "terminated_at", None)
            if not ended or time.time() - ended < TERMINATED_SHOWN_SECONDS:
                continue
            with self._cloud.change():
                backend = instance.ec2_backend
                for key, reservation in list(backend.reservations.items()):
                    if instance in reservation.instances:
                        reservation.instances.remove(instance)
                        if not reservation.instances:
                            del backend.reservations[key]
                backend.tags.pop(instance.id, None)
            shutil.rmtree(self._cloud.state_dir.machine(instance.id), ignore_errors=True)
