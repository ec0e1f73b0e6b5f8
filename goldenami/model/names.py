"""What the parts of a fleet are called: every part is found again by its name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceNames:
    """What the parts of a fleet are called, by the image's name; every part is found again by its name."""

    image: str

    @property
    def launch_template(self) -> str:
        """The launch template."""
        return f"{self.image}-template"

    @property
    def group(self) -> str:
        """The Auto Scaling group."""
        return f"{self.image}-asg"

    @property
    def canary_group(self) -> str:
        """The Auto Scaling group of the canary, which exists while traffic is shifted by weight."""
        return f"{self.image}-asg-canary"

    @property
    def canary_target_group(self) -> str:
        """The canary's target group."""
        return _short(self.image, "-tg-canary")

    @property
    def target_group(self) -> str:
        """The target group."""
        return _short(self.image, "-tg")

    @property
    def load_balancer(self) -> str:
        """The Application Load Balancer."""
        return _short(self.image, "-alb")

    @property
    def load_balancer_security_group(self) -> str:
        """The balancer's security group."""
        return f"{self.image}-alb"

    @property
    def web(self) -> str:
        """The instances' security group, their role and their instance profile."""
        return f"{self.image}-web"

    @property
    def database(self) -> str:
        """The database server of the fleet's own, its subnet group and its security group."""
        return f"{self.image}-data"

    @property
    def production(self) -> str:
        """The parameter that names the AMI in production: the published pointer."""
        return f"/goldenami/{self.image}/production"

    @property
    def rebuild_record(self) -> str:
        """The parameter that says how the latest rebuild went; its history is the list of the rebuilds."""
        return f"/goldenami/{self.image}/rebuild"

    @property
    def rebuild_lock(self) -> str:
        """The parameter that says who is rebuilding now."""
        return f"/goldenami/{self.image}/rebuild-lock"

    @property
    def lock(self) -> str:
        """The parameter of the lock on the fleet."""
        return f"/goldenami/{self.image}/lock"

    @property
    def switchover(self) -> str:
        """The parameter with the state of a database switchover."""
        return f"/goldenami/{self.image}/switchover"

    @property
    def write_freeze(self) -> str:
        """The parameter with the state of a write freeze."""
        return f"/goldenami/{self.image}/write-freeze"


def _short(name: str, suffix: str) -> str:
    # Elastic Load Balancing takes names of at most 32 characters.
    if len(name) + len(suffix) <= 32:
        return name + suffix
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{name[: 32 - 7 - len(suffix)].rstrip('-')}-{digest}{suffix}"


def prefix(service: str, backup: str) -> str:
    """Where the parts of a backup lie in the bucket."""
    return f"{service}/backups/{backup}"


@dataclass(frozen=True)
class ScheduleNames:
    """What the parts are called."""

    image: str

    @property
    def project(self) -> str:
        """The CodeBuild project, and the schedule."""
        return f"{self.image}-rebuild"

    @property
    def build_role(self) -> str:
        """The role that the rebuild works with."""
        return f"{self.image}-rebuild-build"

    @property
    def scheduler_role(self) -> str:
        """The role that may start the project, and nothing else."""
        return f"{self.image}-rebuild-schedule"

    @property
    def logs(self) -> str:
        """The log group of the builds."""
        return f"/goldenami/{self.image}/rebuild"
