"""The server process: creates the services, serves until a signal or request ends it, and shuts down cleanly."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import moto.settings
from moto.autoscaling.models import autoscaling_backends
from moto.core.base_backend import BackendDict
from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from werkzeug.serving import make_server

from localcloud import codebuild, machines, service_quotas
from localcloud.autoscaling import groups_api, instances_api, lifecycle_hooks, refresh_api
from localcloud.autoscaling.reconciler import GroupReconciler
from localcloud.core import parent_watch
from localcloud.core.addresses import PORT, bind_range
from localcloud.core.cloud import ACCOUNT, BaseImage, Cloud, list_images as all_images, list_instances as all_instances
from localcloud.core.periodic import PeriodicTask
from localcloud.core.unix_server import QuietHandler
from localcloud.ec2 import (
    attachments,
    base_ami,
    image_attributes,
    image_references,
    images,
    instances as ec2_instances,
    launch_template_api,
    launch_templates,
    pagination,
    volumes,
)
from localcloud.ec2.machine_pool import MachinePool
from localcloud.elbv2 import load_balancers, target_health
from localcloud.elbv2.target_health import TargetHealthStore
from localcloud.errors import CloudError
from localcloud.machines import cleanup
from localcloud.machines.container import driver as container_driver
from localcloud.machines.interface import Driver
from localcloud.rds import api, instances as rds_instances, postgres
from localcloud.s3 import requests
from localcloud.server.gateway import Gateway
from localcloud.ssm import agents, command_results, parameters, run_command
from localcloud.state_dir import StateDir, default_cache_dir, write_atomically
from localcloud.storage import base_image, disks, reflinks, s3_bodies


class LocalCloudServer:
    """The local cloud of this process. The caller has prepared and locked the folder."""

    def __init__(self, folder: StateDir, driver: Driver, base: BaseImage) -> None:
        moto.settings.ENABLE_AMI_VALIDATION = True
        moto.settings.ENABLE_KEYPAIR_VALIDATION = True
        moto.settings.EC2_ENABLE_INSTANCE_TYPE_VALIDATION = True
        prefix, listener = bind_range(folder.root, folder.range_file)
        self.cloud = Cloud(folder, driver, base, prefix)
        self.gateway = Gateway(self.cloud)
        self.machine_pool = MachinePool(self.cloud, self.gateway)
        self.health = TargetHealthStore(self.cloud.faults)
        self.load_balancers = load_balancers.LoadBalancerService(self.cloud, self.health)
        self.agents = agents.SsmAgents(self.cloud, self.machine_pool)
        self.databases = rds_instances.DatabaseService(self.cloud)
        self._tasks = [
            PeriodicTask("databases", self.databases.tick),
            PeriodicTask("balancer", self.load_balancers.tick),
            PeriodicTask("agents", self.agents.tick),
            PeriodicTask("scaling", GroupReconciler(self.cloud, self.health).tick),
        ]
        self.gateway.after_change = self.machine_pool.update_ports
        self.gateway.status = self.status
        self.endpoint = f"http://{prefix}.1:{PORT}"
        self._server = make_server(
            f"{prefix}.1", PORT, self.gateway, threaded=True, request_handler=QuietHandler, fd=listener.fileno()
        )
        listener.close()  # the server has duplicated it
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, kwargs={"poll_interval": 0.05}, name="api", daemon=True)

    def start(self) -> None:
        """Load the saved state, launch running instances, and answer requests."""
        cloud, pool = self.cloud, self.machine_pool
        BackendDict.reset()  # a test may have had another cloud in this process
        for service in (images, ec2_instances, volumes, attachments, run_command):
            service.install(cloud, pool)
        for service in (parameters, load_balancers, groups_api, refresh_api):
            service.install(cloud)
        for service in (
            image_attributes,
            image_references,
            pagination,
            launch_templates,
            launch_template_api,
            lifecycle_hooks,
        ):
            service.install()
        for service in (codebuild, service_quotas, instances_api, s3_bodies, requests, agents, command_results):
            service.install()
        target_health.install(self.health)
        api.install(cloud, self.databases)
        with cloud.change():
            cloud.store.load()
            for backend in [ec2_backends[ACCOUNT][cloud.region], *(b for _, _, b in ec2_backends.iter_backends())]:
                base_ami.publish_base_ami(cloud, backend)
            volumes.delete_orphaned_disks(cloud)
            known = all_instances()
            volumes.resume(cloud)
            attachments.resume(cloud, pool)
            images.resume(cloud, pool, known)
            ec2_instances.resume(cloud, pool, known)
            load_balancers.resume(cloud)
            self.databases.resume()
            groups_api.resume()
            run_command.resume(cloud, pool)
        pool.watch()
        for task in self._tasks:
            task.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop to answer, power the machines off, and save the state."""
        self._server.shutdown()
        self._server.server_close()
        self.stop_periodic_tasks()
        self.databases.shut_down()
        self.machine_pool.shut_down()
        with self.cloud.lock:
            self.cloud.store.save()

    def stop_periodic_tasks(self) -> None:
        """Stop all background work: reconcilers, health checks and load balancers."""
        for task in reversed(self._tasks):
            task.stop()
        self.load_balancers.stop()
        self.agents.stop()

    def status(self) -> dict[str, Any]:
        """Return the data of the `status` command, without secrets."""
        cloud = self.cloud
        live = self.machine_pool.running()
        return {
            "endpoint": self.endpoint,
            "region": cloud.region,
            "account": ACCOUNT,
            "state": str(cloud.state_dir.root),
            "driver": cloud.driver.name,
            "pid": os.getpid(),
            "range": f"{cloud.prefix}.0/24",
            "instances": [
                {"id": one.id, "state": one.state, "image": one.image_id, "type": one.instance_type}
                | {"address": one.public_ip, "machine": one.id in live}
                for one in all_instances()
            ],
            "images": [
                {"id": one.id, "name": one.name, "state": one.state, "owner": one.owner_id}
                | {"bytes": self._disk_usage(one)}
                for one in all_images()
            ],
            "balancers": [
                {"name": one.name, "address": one.dns_name, "state": one.state}
                for _, _, backend in elbv2_backends.iter_backends()
                for one in backend.load_balancers.values()
            ],
            "groups": [
                {
                    "name": one.name,
                    "desired": one.desired_capacity,
                    "in_service": sum(member.lifecycle_state == "InService" for member in one.instance_states),
                }
                for _, _, backend in autoscaling_backends.iter_backends()
                for one in backend.autoscaling_groups.values()
            ],
            "faults": cloud.faults.as_dicts(),
        }

    def _disk_usage(self, image: Any) -> int:
        paths = [self.cloud.state_dir.snapshot(snapshot_id) for snapshot_id in image.snapshot_ids()]
        return sum(disks.measure(path).allocated for path in paths if path.exists())


def serve(folder: StateDir, log: Callable[[str], None]) -> None:
    """Serve one state folder until SIGTERM, SIGINT or a shutdown request. Raises CloudError."""
    folder.prepare()
    with folder.locked("server", wait=False) as locked:
        if not locked:
            raise CloudError(f"another local cloud already serves {folder.root}")
        for action in [*cleanup.reap(folder.machines), *postgres.kill_servers(folder.databases)]:
            log(f"cleaned up after a crash: {action}")
        if reflinks.mount_disk_store(folder, log):
            folder.prepare()
        driver = machines.choose_driver(os.environ.get("GOLDENAMI_MACHINES") or "auto")
        if driver.name == "container":
            container_driver.check_socket_paths(folder.machines)
        base = base_image.ensure_base_image(default_cache_dir(), log)
        server = LocalCloudServer(folder, driver, base)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.gateway.end.set())
        parent_watch.watch_parent(os.environ, server.gateway.end.set)
        server.start()
        write_atomically(folder.server_file, json.dumps({"endpoint": server.endpoint, "pid": os.getpid()}).encode())
        log(f"serving {server.endpoint} with {driver.name} machines")
        server.gateway.end.wait()
        log("ending: powering the machines off")
        folder.server_file.unlink(missing_ok=True)
        server.stop()
        for action in cleanup.reap(folder.machines):
            log(f"cleaned up at the end: {action}")
        reflinks.unmount_disk_store(folder)
        log("ended")
        sys.stderr.flush()
