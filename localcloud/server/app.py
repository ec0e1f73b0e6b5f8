"""The server process: puts the parts together, serves until it is told to end, and ends cleanly."""

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

from localcloud import codebuild as builds
from localcloud import machines as drivers
from localcloud import service_quotas as quotas
from localcloud.autoscaling import groups_api as groups
from localcloud.autoscaling import instances_api as membership
from localcloud.autoscaling import refresh_api as refreshes
from localcloud.autoscaling.reconciler import Scaling
from localcloud.core import parent_watch as lifetime
from localcloud.core.addresses import PORT, claim
from localcloud.core.cloud import ACCOUNT, Base, Cloud
from localcloud.core.cloud import images as all_images
from localcloud.core.cloud import instances as all_instances
from localcloud.core.periodic import Ticker
from localcloud.core.unix_server import QuietHandler
from localcloud.ec2 import attachments, images, instances, volumes
from localcloud.ec2 import base_ami as debian
from localcloud.ec2 import image_attributes as attributes
from localcloud.ec2 import image_references as references
from localcloud.ec2 import launch_template_api as template_actions
from localcloud.ec2 import launch_templates as templates
from localcloud.ec2 import pagination as pages
from localcloud.ec2.machine_pool import Fleet
from localcloud.elbv2 import load_balancers as balancer
from localcloud.elbv2 import targets
from localcloud.elbv2.targets import Targets
from localcloud.errors import CloudError
from localcloud.machines import Driver
from localcloud.machines.container import driver as container
from localcloud.rds import api as rds
from localcloud.rds import instances as databases
from localcloud.rds import postgres
from localcloud.s3 import requests as objects
from localcloud.server.gateway import Gateway
from localcloud.ssm import agents, parameters
from localcloud.ssm import command_results as invocations
from localcloud.ssm import run_command as commands
from localcloud.state_dir import Folder, default_cache, write_whole
from localcloud.storage import base_image as baseimage
from localcloud.storage import disks, reflinks
from localcloud.storage import s3_bodies as bodies


class Server:
    """One local cloud in this process. The folder is prepared and locked by the caller."""

    def __init__(self, folder: Folder, driver: Driver, base: Base) -> None:
        moto.settings.ENABLE_AMI_VALIDATION = True
        moto.settings.ENABLE_KEYPAIR_VALIDATION = True
        moto.settings.EC2_ENABLE_INSTANCE_TYPE_VALIDATION = True
        prefix, listener = claim(folder.root, folder.range_file)
        self.cloud = Cloud(folder, driver, base, prefix)
        self.gateway = Gateway(self.cloud)
        self.fleet = Fleet(self.cloud, self.gateway)
        self.health = Targets(self.cloud.faults)
        self.balancer = balancer.Balancer(self.cloud, self.health)
        self.agents = agents.Agents(self.cloud, self.fleet)
        self.databases = databases.Databases(self.cloud)
        self._tickers = [
            Ticker("databases", self.databases.tick),
            Ticker("balancer", self.balancer.tick),
            Ticker("agents", self.agents.tick),
            Ticker("scaling", Scaling(self.cloud, self.health).tick),
        ]
        self.gateway.after_change = self.fleet.settle_ports
        self.gateway.status = self.status
        self.endpoint = f"http://{prefix}.1:{PORT}"
        self._server = make_server(
            f"{prefix}.1", PORT, self.gateway, threaded=True, request_handler=QuietHandler, fd=listener.fileno()
        )
        listener.close()  # the server has its own copy
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="api", daemon=True
        )

    def start(self) -> None:
        """Load what is kept, launch what should be running, and answer."""
        cloud, fleet = self.cloud, self.fleet
        BackendDict.reset()  # a test may have had another cloud in this process
        images.install(cloud, fleet)
        instances.install(cloud, fleet)
        volumes.install(cloud, fleet)
        attachments.install(cloud, fleet)
        parameters.install(cloud)
        attributes.install()
        references.install()
        builds.install()
        quotas.install()
        pages.install()
        templates.install()
        template_actions.install()
        targets.install(self.health)
        balancer.install(cloud)
        groups.install(cloud)
        membership.install()
        bodies.install()
        objects.install()
        refreshes.install(cloud)
        rds.install(cloud, self.databases)
        agents.install()
        commands.install(cloud, fleet)
        invocations.install()
        with cloud.change():
            cloud.store.load()
            for backend in [ec2_backends[ACCOUNT][cloud.region], *(b for _, _, b in ec2_backends.iter_backends())]:
                debian.publish_base(cloud, backend)
            volumes.sweep(cloud)
            known = all_instances()
            volumes.resume(cloud)
            attachments.resume(cloud, fleet)
            images.resume(cloud, fleet, known)
            instances.resume(cloud, fleet, known)
            balancer.resume(cloud)
            self.databases.resume()
            groups.resume()
            commands.resume(cloud, fleet)
        fleet.watch()
        for ticker in self._tickers:
            ticker.start()
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, power the machines off, keep everything."""
        self._server.shutdown()
        self._server.server_close()
        self.hold_still()
        self.databases.shut_down()
        self.fleet.shut_down()
        with self.cloud.lock:
            self.cloud.store.save()

    def hold_still(self) -> None:
        """End all that happens by itself: no more replacements, probes, forwarded requests."""
        for ticker in reversed(self._tickers):
            ticker.stop()
        self.balancer.stop()
        self.agents.stop()

    def status(self) -> dict[str, Any]:
        """What `status` shows; no secrets in it."""
        cloud = self.cloud
        live = self.fleet.running()
        return {
            "endpoint": self.endpoint,
            "region": cloud.region,
            "account": ACCOUNT,
            "state": str(cloud.folder.root),
            "driver": cloud.driver.name,
            "pid": os.getpid(),
            "range": f"{cloud.prefix}.0/24",
            "instances": [
                {
                    "id": one.id,
                    "state": one.state,
                    "image": one.image_id,
                    "type": one.instance_type,
                    "address": one.public_ip,
                    "machine": one.id in live,
                }
                for one in all_instances()
            ],
            "images": [
                {"id": one.id, "name": one.name, "state": one.state, "owner": one.owner_id, "bytes": self._bytes(one)}
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
            "faults": cloud.faults.listed(),
        }

    def _bytes(self, image: Any) -> int:
        paths = [self.cloud.folder.snapshot(snapshot_id) for snapshot_id in image.snapshot_ids()]
        return sum(disks.sizes(path).allocated for path in paths if path.exists())


def serve(folder: Folder, log: Callable[[str], None]) -> None:
    """Serve one state folder until SIGTERM, SIGINT or a shutdown request. Raises CloudError."""
    folder.prepare()
    with folder.locked("server", wait=False) as mine:
        if not mine:
            raise CloudError(f"another local cloud already serves {folder.root}")
        for what in [*drivers.reap(folder.machines), *postgres.reap(folder.databases)]:
            log(f"reaped after a crash: {what}")
        if reflinks.open_disks(folder, log):
            folder.prepare()
        driver = drivers.choose(os.environ.get("GOLDENAMI_MACHINES") or "auto")
        if driver.name == "container":
            container.check_path(folder.machines)
        base = baseimage.ensure(default_cache(), log)
        server = Server(folder, driver, base)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.gateway.end.set())
        lifetime.watch(os.environ, server.gateway.end.set)
        server.start()
        write_whole(folder.server_file, json.dumps({"endpoint": server.endpoint, "pid": os.getpid()}).encode())
        log(f"serving {server.endpoint} with {driver.name} machines")
        server.gateway.end.wait()
        log("ending: powering the machines off")
        folder.server_file.unlink(missing_ok=True)
        server.stop()
        for what in drivers.reap(folder.machines):
            log(f"reaped at the end: {what}")
        reflinks.close_disks(folder)
        log("ended")
        sys.stderr.flush()
