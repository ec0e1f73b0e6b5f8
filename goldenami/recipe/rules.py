"""What must hold between the keys of a recipe: each rule says what is wrong and the way out."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from goldenami.recipe import database_rules
from goldenami.recipe.copy_rules import copies
from goldenami.recipe.fields import words
from goldenami.recipe.os_families import FAMILIES
from goldenami.recipe.problems import SECRET_NAME, Place, Problem, shown

if TYPE_CHECKING:
    from goldenami.recipe.recipe import Recipe


# EC2 allows 50 tags on a resource. The image's own (Name, Version, …) and goldenami:… take at most 20 of them.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
MAX_TAGS = 30
OWN_TAGS = ("Name", "Version", "Environment", "Created", "Go", "PostgreSQL")


def check(recipe: Recipe) -> list[Problem]:
    """Every problem that lies between keys, in the order of the recipe."""
    rules = (
        _architecture,
        _root_volume,
        _go,
        _postgresql,
        _app,
        database_rules.check_database,
        _parameters,
        _fleet,
        _promote,
        copies,
        _tags,
        _targets,
    )
    return list(chain.from_iterable(rule(recipe) for rule in rules))


def is_arm(instance_type: str) -> bool:
    """Whether an instance type has an Arm processor: a `g` after the generation (t4g, m7gd, im4gn), or a1.

    Source: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
    """
    return bool(re.match(r"(a1|[a-z]+\d+g[a-z]*)\.", instance_type))


def _architecture(recipe: Recipe) -> Iterator[Problem]:
    arm = recipe.image.architecture == "arm64"
    places: list[tuple[Place, str]] = [(("instance", "type"), recipe.instance.type)]
    for name in ("local", "aws"):
        places.append((("targets", name, "instance_type"), recipe.target(name).instance_type))
    for at, instance_type in places:
        if instance_type and is_arm(instance_type) != arm:
            example = "t4g.micro" if arm else "t3.micro"
            yield Problem(
                at,
                f"an instance type with the image's architecture {recipe.image.architecture}, such as {example}",
                f"{shown(instance_type)}, which is {'x86_64' if arm else 'arm64'} (or change [image] architecture)",
                looks_at=(("image", "architecture"),),
            )


def _root_volume(recipe: Recipe) -> Iterator[Problem]:
    volume, at = recipe.image.root_volume, ("image", "root_volume")
    if volume.type != "gp3":
        for name in sorted({"iops", "throughput"} & volume.model_fields_set):
            yield Problem((*at, name), f"no {name} with a {volume.type} volume", "one", looks_at=((*at, "type"),))
        return
    # https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
    if volume.iops > max(3000, 500 * volume.size_gib):
        most = max(3000, 500 * volume.size_gib)
        got = f"{volume.iops} (at most 500 for each GiB)"
        yield Problem(
            (*at, "iops"), f"at most {most} with {volume.size_gib} GiB", got, ((*at, "size_gib"), (*at, "type"))
        )
    if volume.throughput * 4 > volume.iops:
        got = f"{volume.throughput} (at most a quarter of iops)"
        yield Problem((*at, "throughput"), f"at most {volume.iops // 4}", got, ((*at, "iops"), (*at, "type")))


def _go(recipe: Recipe) -> Iterator[Problem]:
    go, at = recipe.runtime.go, ("runtime", "go")
    source, version = (*at, "source"), (*at, "version")
    if go.source == "go.dev":
        if not go.sha256:
            expected = f"the tarball's SHA-256 from https://go.dev/dl/ for go{go.version}, since source is go.dev"
            yield Problem((*at, "sha256"), expected, "nothing", (source,))
        major_minor = tuple(int(part) for part in go.version.split("."))
        if len(major_minor) == 2 and major_minor >= (1, 21):  # since 1.21 the first release is called 1.21.0
            yield Problem(
                version, f"all three numbers, as go.dev names it: {go.version}.0", shown(go.version), (source,)
            )
        return
    for name, value in (("sha256", go.sha256), ("url", go.url)):
        if value:
            expected = f'no {name} with source = "distribution" (its package manager checks signatures)'
            yield Problem((*at, name), expected, 'one; remove it, or set source = "go.dev"', (source,))
    family = recipe.image.os
    if family.go and go.version not in family.go:
        way = f'{shown(go.version)}; for another version set source = "go.dev" and its sha256'
        yield Problem(version, f"{words(family.go)}, which {family.name} has", way, (source, ("image", "family")))


def _postgresql(recipe: Recipe) -> Iterator[Problem]:
    family, version = recipe.image.os, recipe.runtime.postgresql.version
    if version not in family.postgresql:
        others = [f'"{name}"' for name, other in FAMILIES.items() if version in other.postgresql]
        way = f"; [image] family {words(others)} has it" if others else ""
        at = ("runtime", "postgresql", "version")
        yield Problem(
            at, f"{words(family.postgresql)}, which {family.name} has", f"{version}{way}", (("image", "family"),)
        )


def _app(recipe: Recipe) -> Iterator[Problem]:
    app = recipe.app
    if "://" in app.source:
        parts = urlsplit(app.source)
        if parts.scheme not in ("https", "ssh", "git", "file"):
            yield Problem(
                ("app", "source"), "an https://, ssh:// or git@host:path URL, or a directory", shown(app.source)
            )
        if parts.password or (parts.username and parts.scheme == "https"):
            yield Problem(("app", "source"), "a URL without a user name or password in it", shown(app.source))
    elif app.source.startswith("-"):
        yield Problem(("app", "source"), "a directory or a git URL", shown(app.source))
    if not app.is_git and "ref" in app.model_fields_set:
        got = "one, though source is a directory; remove it"
        yield Problem(("app", "ref"), "no ref with a directory", got, (("app", "source"),))
    for name, value in app.environment.items():
        # A path or an empty value under such a name only says where the secret is (DB_PASSWORD_PARAMETER, TOKEN_FILE).
        if SECRET_NAME.search(name) and value and not value.startswith("/") and value not in ("true", "false"):
            expected = "no secret in the recipe; keep it in Parameter Store as a SecureString under [[parameters]]"
            yield Problem(("app", "environment", name), expected, "a value (not shown)")


def _parameters(recipe: Recipe) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, parameter in enumerate(recipe.parameters):
        at: Place = ("parameters", number)
        if parameter.name in seen:
            yield Problem((*at, "name"), "each name once", f'"{parameter.name}" a second time')
        seen.add(parameter.name)
        secret = parameter.type == "SecureString"
        if secret and parameter.value is not None:
            expected = "no value for a SecureString in the recipe; set generate = true, or put it into Parameter Store"
            yield Problem((*at, "value"), expected, "a value (not shown)", ((*at, "type"),))
        if parameter.generate and not secret:
            got = f'true for a {parameter.type}; set type = "SecureString", or give a value'
            yield Problem((*at, "generate"), "false unless the parameter is a SecureString", got, ((*at, "type"),))


def _fleet(recipe: Recipe) -> Iterator[Problem]:
    fleet, at = recipe.fleet, ("fleet",)
    if fleet.min > fleet.max:
        yield Problem((*at, "min"), f"at most max, {fleet.max}", str(fleet.min), ((*at, "max"),))
    elif not fleet.min <= fleet.desired <= fleet.max:
        expected = f"a number from min, {fleet.min}, to max, {fleet.max}"
        yield Problem((*at, "desired"), expected, str(fleet.desired), ((*at, "min"), (*at, "max")))
    for name, given in (("zones", fleet.zones), ("subnet_ids", fleet.subnet_ids)):
        if len(set(given)) != len(given):
            yield Problem((*at, name), "each once", "one of them twice")
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html
    places = ("subnet_ids", fleet.subnet_ids) if fleet.subnet_ids else ("zones", fleet.zones)
    if fleet.load_balancer and len(places[1]) < 2:
        got = f"{len(places[1])}; add one, or set load_balancer = false"
        yield Problem((*at, places[0]), "two or more, which a balancer needs", got, ((*at, "load_balancer"),))
    if fleet.certificate_arn and not fleet.load_balancer:
        yield Problem((*at, "certificate_arn"), "none with load_balancer = false", "one", ((*at, "load_balancer"),))
    least = fleet.health.interval * fleet.health.healthy
    if fleet.load_balancer and fleet.warmup <= least:
        got = f"{fleet.warmup}, while the balancer takes {least} to find an instance healthy"
        looks_at: tuple[Place, ...] = ((*at, "health", "interval"), (*at, "health", "healthy"), (*at, "load_balancer"))
        yield Problem((*at, "warmup"), f"more than {least}", got, looks_at)
    if fleet.health.timeout >= fleet.health.interval:
        got = f"{fleet.health.timeout}, with an interval of {fleet.health.interval}"
        yield Problem((*at, "health", "timeout"), "less than interval", got, ((*at, "health", "interval"),))


def _promote(recipe: Recipe) -> Iterator[Problem]:
    steps, at = recipe.promote.traffic, ("promote", "traffic")
    if steps and (list(steps) != sorted(set(steps)) or steps[-1] != 100):
        yield Problem(at, "rising numbers, the last one 100", str(list(steps)))
    if steps and not recipe.fleet.load_balancer:
        yield Problem(
            at, "none with load_balancer = false: weights are the balancer's", "some", (("fleet", "load_balancer"),)
        )
    if steps and recipe.database.on_instance:
        got = "some: the second set of instances would have databases of its own"
        yield Problem(at, f'none with [database] mode = "{recipe.database.mode}"', got, (("database", "mode"),))


def _tags(recipe: Recipe) -> Iterator[Problem]:
    if len(recipe.tags) > MAX_TAGS:
        expected = f"at most {MAX_TAGS} (EC2 allows 50, of which the image needs up to {50 - MAX_TAGS})"
        yield Problem(("tags",), expected, str(len(recipe.tags)), section=True)
    for name, value in recipe.tags.items():
        at: Place = ("tags", name)
        if not 1 <= len(name) <= 127:
            yield Problem(at, "a tag name of 1 to 127 characters", f"one of {len(name)}")
        elif re.match(r"(?i)aws:|goldenami:", name) or name in OWN_TAGS:
            owner = "AWS" if name.lower().startswith("aws:") else "goldenami"
            yield Problem(at, f"another name; {owner} sets this tag itself", f'"{name}"')
        elif re.search(r"[\x00-\x1f\x7f]", name):
            yield Problem(at, "a tag name without control characters", "one with some")
        if len(value) > 256:
            yield Problem(at, "a tag value of at most 256 characters", f"one of {len(value)}")
        if "\n" in value or "\t" in value:
            yield Problem(at, "a tag value on one line", "one with line breaks or tabs")


def _targets(recipe: Recipe) -> Iterator[Problem]:
    for name in ("local", "aws"):
        target = recipe.target(name)
        for number, network in enumerate(target.ssh_cidrs):
            if ipaddress.ip_network(network).prefixlen == 0 and not target.allow_open_ssh:
                at: Place = ("targets", name, "ssh_cidrs", number)
                expected = "your own networks, such as 203.0.113.7/32"
                got = f"{network}, the whole internet; if you mean that, set allow_open_ssh = true"
                yield Problem(at, expected, got, (("targets", name, "allow_open_ssh"),))
        if target.kms_key_id and not recipe.image.root_volume.encrypted:
            at = ("targets", name, "kms_key_id")
            got = "one, though [image.root_volume] encrypted is false"
            yield Problem(
                at, "no key for an image that is not encrypted", got, (("image", "root_volume", "encrypted"),)
            )
