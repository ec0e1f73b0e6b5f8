"""The running machines of instances: launched, stopped and monitored, each in its own work queue."""

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

from localcloud.core.cloud import Cloud, list_instances
from localcloud.core.unix_server import UnixServer
from localcloud.ec2 import machine_spec, open_ports
from localcloud.ec2.metadata import MetadataService
from localcloud.machines.console import read_tail
from localcloud.machines.interface import Machine, MachineSpec
from localcloud.storage import disks

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


STOP_SECONDS = 60.0  # for a guest to shut down before it is killed
TERMINATE_SECONDS = 15.0  # likewise, if its disk is deleted afterwards
TERMINATED_SHOWN_SECONDS = 3600.0
WATCH_SECONDS = 0.5


class MachinePool:
    """Machines by instance id. Not saved: a restarted cloud launches the running instances again."""

    def __init__(self, cloud: Cloud, api: WSGIApplication) -> None:
        self._cloud = cloud
        self._api = api
        self._machines: dict[str, Machine] = {}
        self._open: dict[str, frozenset[int]] = {}
        self._servers: dict[str, list[UnixServer]] = {}
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    # --- called by the API, under the cloud's lock ---

    def launch(self, instance: Any) -> None:
        """Launch the instance's machine: pending -> running."""
        self._cloud.queues.submit(instance.id, self._launch, instance)

    def stop(self, instance: Any, then: Callable[[], None], seconds: float = STOP_SECONDS) -> None:
        """Power the machine off within `seconds`, then call `then` under the lock to change the instance's state."""
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
        """Return the last 64 KiB of the machine's console, also after it was terminated."""
        if machine := self._machines.get(instance.id):
            return machine.console()
        return read_tail(self._cloud.state_dir.machine(instance.id) / "console.log")

    # --- called from work queues, without the lock ---

    def copy_disks(self, instance: Any, targets: dict[str, Path], *, reboot: bool) -> None:
        """Copy volumes (id -> file) consistently: a running machine is stopped (`reboot`) or frozen meanwhile."""
        machine = self._machines.get(instance.id)
        running = machine is not None and machine.is_alive()
        frozen: AbstractContextManager[None] = nullcontext()
        if running and reboot:
            self._power_off(instance.id)
        elif machine is not None and running:
            frozen = machine.freeze()
        with frozen:
            for volume_id, target in targets.items():
                disks.copy(self._cloud.state_dir.volume(volume_id), target)
        if running and reboot:
            self._launch(instance)

    def machine(self, instance: Any) -> Machine | None:
        """Return the instance's machine; None while it is off."""
        return self._machines.get(instance.id)

    @property
    def ended(self) -> threading.Event:
        """Event that is set when the cloud ends, for loops that wait."""
        return self._ended

    def running(self) -> dict[str, Machine]:
        """Return the machines by instance id."""
        return dict(self._machines)

    def watch(self) -> None:
        """Start to monitor the machines."""
        self._watcher.start()

    def shut_down(self) -> None:
        """Power all machines off. Their instances stay `running`, so that the next start launches them again."""
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
                raise RuntimeError("an injected fault")
            machine_spec.create_disks(self._cloud, instance)
            with self._cloud.lock:
                spec = machine_spec.build_spec(self._cloud, instance)
            machine = self._cloud.driver.machine(spec)
            self._open_sockets(instance, spec)
            machine.start()
        except Exception as error:  # any error fails the launch in the API; the log has its details
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
            if getattr(instance, "launched_before", False):  # its disk has data: stopped, as on EC2
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
        imds = MetadataService(self._cloud, instance)
        self._servers[instance.id] = [UnixServer(spec.imds_socket, imds), UnixServer(spec.api_socket, self._api)]

    def _close_sockets(self, instance_id: str) -> None:
        for server in self._servers.pop(instance_id, []):
            server.close()

    def _apply_ports(self, instance: Any) -> None:
        with self._cloud.lock:
            machine, ports = self._machines.get(instance.id), open_ports.desired_ports(instance)
        if machine and self._open.get(instance.id) != ports:
            machine.open_ports(ports)
            self._open[instance.id] = ports

    def _watch(self) -> None:
        """Detect guests that powered themselves off, until the cloud ends."""
        while not self._ended.wait(WATCH_SECONDS):
            with self._cloud.lock:
                instances = list_instances()
            for instance in instances:
                machine = self._machines.get(instance.id)
                if machine and not self._cloud.queues.is_busy(instance.id) and not machine.is_alive():
                    self._cloud.queues.submit(instance.id, self._handle_power_off, instance, machine)
            self._delete_terminated(instances)

    def _handle_power_off(self, instance: Any, machine: Machine) -> None:
        if self._machines.get(instance.id) is not machine or machine.is_alive() or instance.state != "running":
            return
        self._kill(instance.id)
        machine.kill()  # releases its resources
        with self._cloud.change():
            instance.machine_address = None
            terminates = instance.instance_initiated_shutdown_behavior == "terminate"
            (instance.terminate_now if terminates else instance.power_off_now)()
            code = "Client.InstanceInitiatedShutdown"
            instance.state_reason = StateReason(f"{code}: Instance initiated shutdown", code)
        if terminates:
            self._cloud.queues.close(instance.id)

    def _delete_terminated(self, instances: list[Any]) -> None:
        """Delete the records of instances that were terminated more than an hour ago, as EC2 does."""
        for instance in instances:
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
