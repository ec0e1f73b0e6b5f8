"""Names of AWS resources and parameters. Every resource is found by its name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceNames:
    """Names of a fleet's resources and parameters, derived from the image's name."""

    image: str

    @property
    def launch_template(self) -> str:
        """Launch template."""
        return f"{self.image}-template"

    @property
    def group(self) -> str:
        """Auto Scaling group."""
        return f"{self.image}-asg"

    @property
    def canary_group(self) -> str:
        """Auto Scaling group of the canary during a traffic shift."""
        return f"{self.image}-asg-canary"

    @property
    def canary_target_group(self) -> str:
        """Target group of the canary."""
        return _short(self.image, "-tg-canary")

    @property
    def target_group(self) -> str:
        """Target group."""
        return _short(self.image, "-tg")

    @property
    def load_balancer(self) -> str:
        """Application Load Balancer."""
        return _short(self.image, "-alb")

    @property
    def load_balancer_security_group(self) -> str:
        """Security group of the load balancer."""
        return f"{self.image}-alb"

    @property
    def web(self) -> str:
        """Security group, role and instance profile of the instances."""
        return f"{self.image}-web"

    @property
    def database(self) -> str:
        """DB instance of the fleet, its subnet group and its security group."""
        return f"{self.image}-data"

    @property
    def production(self) -> str:
        """Parameter with the AMI in production."""
        return f"/goldenami/{self.image}/production"

    @property
    def rebuild_record(self) -> str:
        """Parameter with the record of the latest rebuild; its history is the list of rebuilds."""
        return f"/goldenami/{self.image}/rebuild"

    @property
    def rebuild_lock(self) -> str:
        """Parameter that is the lock of a rebuild."""
        return f"/goldenami/{self.image}/rebuild-lock"

    @property
    def lock(self) -> str:
        """Parameter that is the lock of the fleet."""
        return f"/goldenami/{self.image}/lock"

    @property
    def switchover(self) -> str:
        """Parameter with the state of a database switchover."""
        return f"/goldenami/{self.image}/switchover"

    @property
    def write_freeze(self) -> str:
        """Parameter with the state of a write freeze."""
        return f"/goldenami/{self.image}/write-freeze"


def _short(name: str, suffix: str) -> str:
    # Elastic Load Balancing takes names of at most 32 characters.
    if len(name) + len(suffix) <= 32:
        return name + suffix
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{name[: 32 - 7 - len(suffix)].rstrip('-')}-{digest}{suffix}"


def prefix(service: str, backup: str) -> str:
    """Return the key prefix of a backup's objects in the bucket."""
    return f"{service}/backups/{backup}"


@dataclass(frozen=True)
class ScheduleNames:
    """Names of the resources of the rebuild's schedule on AWS."""

    image: str

    @property
    def project(self) -> str:
        """CodeBuild project, and the schedule."""
        return f"{self.image}-rebuild"

    @property
    def build_role(self) -> str:
        """Role of the build."""
        return f"{self.image}-rebuild-build"

    @property
    def scheduler_role(self) -> str:
        """Role of the schedule, which may only start the project."""
        return f"{self.image}-rebuild-schedule"

    @property
    def logs(self) -> str:
        """Log group of the builds."""
        return f"/goldenami/{self.image}/rebuild"
