"""`invoke fleet.create|show|destroy`: everything that serves users, from the recipe; found again by its names."""

from __future__ import annotations

from dataclasses import dataclass

from goldenami.aws import auto_scaling as groups
from goldenami.aws import firewalls, images, instances, parameters
from goldenami.aws import iam_roles as roles
from goldenami.aws import instance_refreshes as refreshes
from goldenami.aws import launch_templates as templates
from goldenami.aws import load_balancers as balancers
from goldenami.aws import security_groups as networks
from goldenami.bake import environment as access
from goldenami.context import Shop
from goldenami.database import agent as custody
from goldenami.database import freeze as pausing
from goldenami.database import guard, volume
from goldenami.database import recovery as settling
from goldenami.database.pause import Pause
from goldenami.errors import UsageError
from goldenami.fleet import home
from goldenami.images import catalog as choosing
from goldenami.infra import auto_scaling as capacity
from goldenami.infra import describe as scenery
from goldenami.infra import load_balancer as entrance
from goldenami.infra import network as ground
from goldenami.infra import wait as serving
from goldenami.model.fleet import Group, Scene
from goldenami.model.image import Image
from goldenami.promote import history as ledger
from goldenami.state import lock as claims
from goldenami.state import logbook


@dataclass(frozen=True)
class Part:
    """A part of the fleet: what it is, what it is called, and whether it is there (`detail` says more); what `stays` is kept
    when the fleet is taken down.
    """

    kind: str
    name: str
    there: bool
    detail: str = ""
    stays: bool = False


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
    trials = balancers.get_target_group(shop.aws, names.trial_targets)
    if fleet.balancer or balancer or targets:
        there = firewalls.find(shop.aws, names.balancer_security, vpc) is not None
        parts += [
            Part("security group", names.balancer_security, there),
            Part("target group", names.target_group, targets is not None),
            Part("balancer", names.balancer, balancer is not None, serving.address(shop, balancer) if balancer else ""),
        ]
    told = f"default {template.default}, latest {template.latest}" if template else ""
    parts += [
        Part("launch template", names.template, template is not None, told),
        Part("Auto Scaling group", names.group, group is not None, grouped),
    ]
    if kept := home.find(shop):
        parts.append(Part(kept.kind, kept.name, kept.there, kept.detail, stays=True))
    if shop.recipe.promote.traffic or trials:  # made by the first promotion that shifts the traffic
        parts.append(Part("trial's target group", names.trial_targets, trials is not None))
    if scene.trial is not None:
        told = f"version {scene.trial.group.version}, {scene.trial.weight} % of the requests"
        parts.append(Part("trial's Auto Scaling group", names.trial, True, told))
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
    choosing.refuse_other_home(shop, image)
    with logbook.opened(shop, "fleet", ami=image.id) as run, claims.held(shop, run.id, "fleet.create") as claim:
        pausing.settle(shop)
        access.ensure_parameters(shop)
        if shop.recipe.database.on_instance:
            custody.ensure_vault(shop)
        with shop.progress.phase("network, role and balancer"):
            place = ground.find(shop)
            ground.ensure_role(shop)
            security, entry = ground.ensure_firewalls(shop, place)
            target_group = entrance.ensure(shop, place, entry) if shop.recipe.fleet.balancer else ""
            if shop.recipe.database.on_volume:
                volume.ensure(shop, place, run.id)
        with shop.progress.phase("launch template and group"):
            capacity.ensure_template(shop, image, security)
            capacity.ensure_group(shop, place, target_group)
        with shop.progress.phase("instances"):
            scene = serving.wait(shop, claim)
        assert scene.group is not None
        assert scene.template is not None
        if scene.pointer is None:
            claim.confirm()
            number = scene.group.number or scene.template.default
            image = images.get(shop.aws, scene.template.versions[number].image) or image
            ledger.commit(shop, run.id, scene, number, image, "the first fleet")
    found = balancers.get(shop.aws, shop.names.balancer) if shop.recipe.fleet.balancer else None
    where = serving.address(shop, found) if found else serving.direct_address(shop, scene.group)
    return Fleet(scene, scene.group, where, image, run.id)


def destroy(shop: Shop, *, lose_data: bool = False) -> list[str]:
    """Take the fleet down; images, parameters and backups stay. Returns what was removed.

    Rows that live on its instances are backed up first, once their writes are stopped.

    Raises:
        GateError: Rows cannot be saved, and `lose_data` does not say that they may be lost; everything serves on.
        BusyError: Somebody else is changing the fleet.
    """
    names, gone = shop.names, []
    with logbook.opened(shop, "fleet") as run, claims.held(shop, run.id, "fleet.destroy") as claim:
        settling.settle(shop)
        vpc = ground.vpc(shop)
        there = [found for name in (names.trial, names.group) if (found := groups.get(shop.aws, name))]
        members = [m.id for group in there for m in group.members if not m.lifecycle.startswith("Terminat")]
        with pausing.held(shop, Pause(run.id, "fleet.destroy", tuple(members)), ending=True):
            saved = guard.save(shop, claim, run.id, members, "before fleet.destroy", lose=lose_data)
            for name in (names.trial, names.group):
                group = groups.get(shop.aws, name)
                if group is None:
                    continue
                with shop.progress.phase(f"deleting {name} and its {len(group.members)} instance(s)"):
                    refreshes.cancel(shop.aws, group.name)
                    groups.delete(shop.aws, shop.clock, group.name)
                    for member in group.members:
                        instances.terminate(shop.aws, shop.clock, member.id)
                gone.append(name)
        with shop.progress.phase("deleting balancer, template, security groups and role"):
            if balancers.delete(shop.aws, shop.clock, names.balancer):
                gone.append(names.balancer)
            targets = (names.trial_targets, names.target_group)
            gone += [n for n in targets if balancers.delete_target_group(shop.aws, shop.clock, n)]
            if templates.delete(shop.aws, names.template):
                gone.append(names.template)
            if firewalls.find(shop.aws, names.data, vpc) is not None:
                ground.ensure_data_firewall(shop, vpc, shut=True)
            # The instances' group names the balancer's as a source, so it goes first.
            gone += [n for n in (names.web, names.balancer_security) if firewalls.delete(shop.aws, shop.clock, n, vpc)]
            if roles.remove(shop.aws, names.web):
                gone.append(f"{names.web} (role)")
        if shop.recipe.database.on_volume and (kept := volume.find(shop)):
            shop.progress.say(
                f"{kept.id} stays, with every row: ./invoke fleet.create goes on with it"
                f" (aws ec2 delete-volume --volume-id {kept.id} would end it, and them)"
            )
        run.record(removed=gone, saved=saved)
    return gone


def ensure_template(shop: Shop, image: Image) -> None:
    """The launch template alone, with what it names (role, security group), for a service without a group."""
    place = ground.find(shop)
    ground.ensure_role(shop)
    security, _ = ground.ensure_firewalls(shop, place)
    capacity.ensure_template(shop, image, security)


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
    if image.retired:
        raise UsageError(
            f"{image.name} ({image.id}) was retired ({image.retired})",
            next="./invoke fleet.create --ami …, of a good one",
        )
    if not image.verified:
        raise UsageError(
            f"{image.name} ({image.id}) has not passed its gates", next=f"./invoke verify --ami {image.id}"
        )
    return image
