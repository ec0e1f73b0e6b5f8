"""`invoke fleet.create|show|destroy`: everything that serves users, from the recipe; found again by its names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from goldenami.flows import access, claims, ledger, scenery
from goldenami.flows.shop import Shop
from goldenami.values import template as data
from goldenami.values.errors import AwsError, GateError, UsageError
from goldenami.values.images import Image
from goldenami.values.scene import Group, Scene
from goldenami.walls import runs
from goldenami.walls.aws import (
    balancers,
    firewalls,
    groups,
    images,
    instances,
    networks,
    parameters,
    refreshes,
    roles,
    templates,
)
from goldenami.walls.aws.balancers import Balancer
from goldenami.walls.aws.firewalls import Rule
from goldenami.walls.clock import attempts


@dataclass(frozen=True)
class Part:
    """A part of the fleet: what it is, what it is called, and whether it is there (`detail` says more)."""

    kind: str
    name: str
    there: bool
    detail: str = ""


@dataclass(frozen=True)
class Ground:
    """The network that the fleet stands in."""

    vpc: str
    subnets: tuple[str, ...]


@dataclass(frozen=True)
class Fleet:
    """A fleet that stands: its group, and where it answers."""

    scene: Scene
    group: Group
    address: str
    image: Image
    run: str


def look(shop: Shop) -> list[Part]:
    """Every part of the fleet, whether it is there or not; nothing is changed."""
    names, fleet = shop.names, shop.recipe.fleet
    vpc = networks.vpc_of(shop.aws, fleet.subnet_ids[0] if fleet.subnet_ids else None)
    scene = scenery.read(shop)
    group, template = scene.group, scene.template
    balancer = balancers.get(shop.aws, names.balancer)
    grouped = f"min {group.min}, max {group.max}, desired {group.desired}, version {group.version}" if group else ""
    targets = balancers.get_target_group(shop.aws, names.target_group)
    parts = [
        Part("role and instance profile", names.web, roles.exists(shop.aws, names.web)),
        Part("security group", names.web, firewalls.find(shop.aws, names.web, vpc) is not None),
    ]
    if fleet.balancer or balancer or targets:
        there = firewalls.find(shop.aws, names.balancer_security, vpc) is not None
        parts += [
            Part("security group", names.balancer_security, there),
            Part("target group", names.target_group, targets is not None),
            Part("balancer", names.balancer, balancer is not None, address(shop, balancer) if balancer else ""),
        ]
    told = f"default {template.default}, latest {template.latest}" if template else ""
    parts += [
        Part("launch template", names.template, template is not None, told),
        Part("Auto Scaling group", names.group, group is not None, grouped),
    ]
    return parts


def create(shop: Shop, ami: str = "") -> Fleet:
    """Bring the fleet about: make what is missing, correct what differs, wait until it serves.

    Without a production parameter the first image becomes production once the fleet serves it. A fleet that exists
    keeps the image that it runs: another one is for `promote`.

    Args:
        shop: Where.
        ami: What to launch a new fleet from; production's image, else the candidate, when empty.

    Raises:
        UsageError: There is no image to launch it from.
        GateError: The new fleet does not become healthy.
        BusyError: Somebody else is changing the fleet.
    """
    image = first_image(shop, ami)
    run = runs.new(shop.build, shop.clock.now())
    run.record(state="creating", kind="fleet", started=shop.clock.now().isoformat(), ami=image.id)
    shop.progress.log_to(run.folder / "fleet.log")
    with claims.held(shop, run.id, "fleet.create") as claim:
        access.ensure_parameters(shop)
        with shop.progress.phase("network, role and balancer"):
            place = ground(shop)
            _ensure_role(shop)
            security, entry = _ensure_firewalls(shop, place)
            target_group = _ensure_balancer(shop, place, entry) if shop.recipe.fleet.balancer else ""
        with shop.progress.phase("launch template and group"):
            _ensure_template(shop, image, security)
            _ensure_group(shop, place, target_group)
        with shop.progress.phase("instances"):
            scene = wait_serving(shop, claim)
        assert scene.group is not None
        assert scene.template is not None
        if scene.pointer is None:
            claim.confirm()
            number = scene.group.number or scene.template.default
            image = images.get(shop.aws, scene.template.versions[number].image) or image
            ledger.commit(shop, run.id, scene, number, image, "the first fleet")
    run.record(state="finished")
    found = balancers.get(shop.aws, shop.names.balancer) if shop.recipe.fleet.balancer else None
    where = address(shop, found) if found else direct_address(shop, scene.group)
    return Fleet(scene, scene.group, where, image, run.id)


def destroy(shop: Shop) -> list[str]:
    """Take the fleet down; images and parameters stay. Returns what was removed."""
    names, gone = shop.names, []
    run = runs.new(shop.build, shop.clock.now())
    run.record(state="destroying", kind="fleet", started=shop.clock.now().isoformat())
    with claims.held(shop, run.id, "fleet.destroy"):
        group = groups.get(shop.aws, names.group)
        vpc = _vpc(shop)
        if group is not None:
            with shop.progress.phase(f"deleting {names.group} and its {len(group.members)} instance(s)"):
                refreshes.cancel(shop.aws, group.name)
                groups.delete(shop.aws, shop.clock, group.name)
                for member in group.members:
                    instances.terminate(shop.aws, shop.clock, member.id)
            gone.append(names.group)
        with shop.progress.phase("deleting balancer, template, security groups and role"):
            if balancers.delete(shop.aws, shop.clock, names.balancer):
                gone.append(names.balancer)
            if balancers.delete_target_group(shop.aws, shop.clock, names.target_group):
                gone.append(names.target_group)
            if templates.delete(shop.aws, names.template):
                gone.append(names.template)
            # The instances' group names the balancer's as a source, so it goes first.
            gone += [n for n in (names.web, names.balancer_security) if firewalls.delete(shop.aws, shop.clock, n, vpc)]
            if roles.remove(shop.aws, names.web):
                gone.append(f"{names.web} (role)")
    run.record(state="finished", removed=gone)
    return gone


def ensure_template(shop: Shop, image: Image) -> None:
    """The launch template alone, with what it names (role, security group), for a service without a group."""
    place = ground(shop)
    _ensure_role(shop)
    security, _ = _ensure_firewalls(shop, place)
    _ensure_template(shop, image, security)


def wait_serving(shop: Shop, claim: claims.Held | None = None) -> Scene:
    """Wait until the group has all its instances and each one serves.

    Raises:
        GateError: They do not, within the grace period and what a launch takes.
    """
    patience = shop.recipe.fleet.health_check_grace_period + 180
    scene = scenery.read(shop)
    told = ""
    for _ in attempts(shop.clock, timeout=patience, every=2):
        scene = scenery.read(shop)
        group = scene.group
        if group is None:
            raise AwsError(f"{shop.names.group} is gone", next="./invoke fleet.create")
        serving = [m for m in group.members if m.serving]
        if len(serving) >= group.desired and len(serving) == len(group.members):
            return scene
        if claim is not None:
            claim.beat()
        states = ", ".join(f"{m.id} {m.lifecycle} {m.target}".rstrip() for m in group.members) or "none yet"
        if states != told:
            told = states
            shop.progress.detail(f"{len(serving)} of {group.desired} serve: {states}")
    failed = [a for a in groups.activities(shop.aws, shop.names.group) if a.status == "Failed"]
    why = f"; {failed[0].message or failed[0].description}" if failed else ""
    raise GateError(
        f"the fleet does not serve after {patience} s ({told}{why})",
        state="It is left as it is, so that you can look at it.",
        next="./invoke console",
    )


def address(shop: Shop, balancer: Balancer) -> str:
    """Where the balancer answers."""
    return f"{'https' if shop.recipe.fleet.certificate_arn else 'http'}://{balancer.address}"


def direct_address(shop: Shop, group: Group) -> str:
    """Where the first instance answers, without a balancer."""
    found = [m.address for m in group.members if m.address]
    return f"http://{found[0]}:{shop.recipe.app.port}" if found else ""


def first_image(shop: Shop, ami: str) -> Image:
    """The image to launch a new fleet from.

    Raises:
        UsageError: There is none, it has not passed its gates, or production is another one.
    """
    production = parameters.get(shop.aws, shop.names.production)
    if ami and production is not None and production.value != ami:
        raise UsageError(
            f"{production.value} is in production; a new fleet launches that",
            state="Nothing was changed.",
            next=f"./invoke fleet.create && ./invoke promote --ami {ami}",
        )
    candidate = parameters.get(shop.aws, shop.candidate)
    wanted = ami or (production.value if production else "") or (candidate.value if candidate else "")
    if not wanted:
        raise UsageError("there is no image to launch the fleet from", next="./invoke bake")
    image = images.get(shop.aws, wanted)
    if image is None or image.state != "available":
        raise UsageError(f"{wanted} is not an AMI to launch from", next="./invoke images")
    if not image.verified:
        raise UsageError(
            f"{image.name} ({image.id}) has not passed its gates", next=f"./invoke verify --ami {image.id}"
        )
    return image


def _vpc(shop: Shop) -> str:
    given = shop.recipe.fleet.subnet_ids
    return networks.vpc_of(shop.aws, given[0] if given else None)


def ground(shop: Shop) -> Ground:
    """The network that the recipe puts the fleet in.

    Raises:
        AwsError: A zone has no default subnet.
    """
    fleet = shop.recipe.fleet
    if fleet.subnet_ids:
        return Ground(_vpc(shop), tuple(fleet.subnet_ids))
    zones = fleet.zone_names(shop.aws.region)
    found = firewalls.subnets(shop.aws, zones)
    if len(found) < len(zones):
        raise AwsError(
            f"the default VPC of {shop.aws.region} has no subnet in each of {', '.join(zones)}",
            state="Nothing was changed.",
            next="set zones or subnet_ids under [fleet] in golden.toml",
        )
    return Ground(found[0][1], tuple(subnet for subnet, _ in found))


def _tags(shop: Shop) -> dict[str, str]:
    return {**shop.recipe.tags, data.FLEET: shop.name, "Environment": shop.recipe.image.environment}


def _ensure_role(shop: Shop) -> None:
    account, _ = roles.caller(shop.aws)
    names = [p.name for p in shop.recipe.parameters]
    wanted = roles.fleet_policy(shop.aws.region, account, shop.name, names, run_command=shop.recipe.fleet.run_command)
    roles.ensure(shop.aws, shop.names.web, wanted, "goldenami: instances that serve read their parameters")


def _ensure_firewalls(shop: Shop, place: Ground) -> tuple[str, str]:
    """The instances' security group, and the balancer's (empty without one)."""
    fleet, names, port = shop.recipe.fleet, shop.names, shop.recipe.app.port
    tags = {**_tags(shop)}
    entry = ""
    sources: Sequence[str] = fleet.client_cidrs
    if fleet.balancer:
        ports = (80, 443) if fleet.certificate_arn else (80,)
        rules = [Rule(number, network) for number in ports for network in fleet.client_cidrs]
        entry = firewalls.ensure(
            shop.aws,
            names.balancer_security,
            place.vpc,
            f"goldenami {names.balancer}: clients",
            rules,
            {**tags, "Name": names.balancer_security},
        )
        # Besides the balancer, the operators' networks: a promotion probes each instance itself.
        sources = [entry, *access.allowed_networks(shop.target)]
    wanted = [Rule(port, source) for source in sources]
    if fleet.key_name:
        wanted += [Rule(22, network) for network in access.allowed_networks(shop.target)]
    security = firewalls.ensure(
        shop.aws, names.web, place.vpc, f"goldenami {names.web}: instances", wanted, {**tags, "Name": names.web}
    )
    return security, entry


def _ensure_balancer(shop: Shop, place: Ground, entry: str) -> str:
    """Target group, balancer and listener; returns the target group's ARN."""
    fleet, names, app = shop.recipe.fleet, shop.names, shop.recipe.app
    target_group = balancers.ensure_target_group(
        shop.aws,
        names.target_group,
        {
            "Protocol": "HTTP",
            "Port": app.port,
            "VpcId": place.vpc,
            "TargetType": "instance",
            "HealthCheckProtocol": "HTTP",
            "HealthCheckPath": app.health,
            "HealthCheckIntervalSeconds": fleet.health.interval,
            "HealthCheckTimeoutSeconds": fleet.health.timeout,
            "HealthyThresholdCount": fleet.health.healthy,
            "UnhealthyThresholdCount": fleet.health.unhealthy,
            "Matcher": {"HttpCode": "200-299"},
        },
        {"deregistration_delay.timeout_seconds": str(fleet.deregistration_delay)},
        _tags(shop),
    )
    balancer = balancers.ensure(shop.aws, names.balancer, place.subnets, entry, _tags(shop))
    forward = {"Type": "forward", "TargetGroupArn": target_group}
    for request in _listeners(fleet.certificate_arn, forward):
        balancers.ensure_listener(shop.aws, balancer.arn, request)
    balancers.wait_active(shop.aws, shop.clock, names.balancer)
    return target_group


def _listeners(certificate: str, forward: dict[str, Any]) -> list[dict[str, Any]]:
    if not certificate:
        return [{"Protocol": "HTTP", "Port": 80, "DefaultActions": [forward]}]
    away = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
    secure = {"SslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06", "Certificates": [{"CertificateArn": certificate}]}
    return [
        {"Protocol": "HTTPS", "Port": 443, "DefaultActions": [forward], **secure},
        {"Protocol": "HTTP", "Port": 80, "DefaultActions": [{"Type": "redirect", "RedirectConfig": away}]},
    ]


def _ensure_template(shop: Shop, image: Image, security: str) -> None:
    names = shop.names
    if templates.get(shop.aws, names.template) is not None:
        return
    wanted = data.first(shop.recipe, image, [security], names.web)
    token = data.token(names.template, None, wanted, 0)
    templates.create(shop.aws, names.template, wanted, f"{image.name} ({image.id})", token, _tags(shop))
    shop.progress.detail(f"{names.template} version 1 launches {image.name}")


def _ensure_group(shop: Shop, place: Ground, target_group: str) -> None:
    fleet, names = shop.recipe.fleet, shop.names
    template = templates.get(shop.aws, names.template)
    assert template is not None
    kind: Literal["ELB", "EC2"] = "ELB" if target_group else "EC2"
    settings: dict[str, Any] = {
        "AutoScalingGroupName": names.group,
        "MinSize": fleet.min,
        "MaxSize": fleet.max,
        "VPCZoneIdentifier": ",".join(place.subnets),
        "HealthCheckType": kind,
        "HealthCheckGracePeriod": fleet.health_check_grace_period,
        "DefaultInstanceWarmup": fleet.warmup,
    }
    there = groups.get(shop.aws, names.group)
    if there is not None:
        if there.number is None:  # $Latest or $Default cannot be rolled back: name the version that it means now
            number = template.latest if there.version == "$Latest" else template.default
            settings["LaunchTemplate"] = {"LaunchTemplateId": template.id, "Version": str(number)}
        groups.update(shop.aws, settings)
        return
    settings |= {
        "DesiredCapacity": fleet.desired,
        "LaunchTemplate": {"LaunchTemplateId": template.id, "Version": str(template.default)},
        "Tags": [
            {"Key": key, "Value": value, "PropagateAtLaunch": False} for key, value in sorted(_tags(shop).items())
        ],
    }
    if target_group:
        settings["TargetGroupARNs"] = [target_group]
    groups.create(shop.aws, settings)
