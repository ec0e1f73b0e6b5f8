"""The rules between the keys of a recipe; each problem names the key and how to fix it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from goldenami.recipe.copy_rules import check_copies
from goldenami.recipe.database_rules import check_database
from goldenami.recipe.fields import words
from goldenami.recipe.os_families import FAMILIES
from goldenami.recipe.problems import SECRET_NAME, KeyPath, Problem, format_value
from goldenami.recipe.targets import TargetName

if TYPE_CHECKING:
    from goldenami.recipe.recipe import Recipe


# EC2 allows 50 tags on a resource. The image's own (Name, Version, …) and goldenami:… take at most 20 of them.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
MAX_TAGS = 30
OWN_TAGS = ("Name", "Version", "Environment", "Created", "Go", "PostgreSQL")


def check(recipe: Recipe) -> list[Problem]:
    """Return every problem between keys, in the order of the recipe."""
    rules = (
        _check_architecture,
        _check_root_volume,
        _check_go,
        _check_postgresql,
        _check_app,
        _check_release,
        check_database,
        _check_parameters,
        _check_fleet,
        _check_promote,
        check_copies,
        _check_tags,
        _check_targets,
    )
    return list(chain.from_iterable(rule(recipe) for rule in rules))


def is_arm(instance_type: str) -> bool:
    """Return True if an instance type has an Arm processor: a `g` after the generation (t4g, m7gd, im4gn), or a1.

    Source: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
    """
    return bool(re.match(r"(a1|[a-z]+\d+g[a-z]*)\.", instance_type))


def _check_architecture(recipe: Recipe) -> Iterator[Problem]:
    arm = recipe.image.architecture == "arm64"
    instance_types: dict[KeyPath, str] = {("instance", "type"): recipe.instance.type}
    for name in get_args(TargetName):
        instance_types["targets", name, "instance_type"] = recipe.target(name).instance_type
    for path, instance_type in instance_types.items():
        if instance_type and is_arm(instance_type) != arm:
            example = "t4g.micro" if arm else "t3.micro"
            yield Problem(
                path,
                f"an instance type with the image's architecture {recipe.image.architecture}, such as {example}",
                f"{format_value(instance_type)}, which is {'x86_64' if arm else 'arm64'} (or change [image] architecture)",
            )


def _check_root_volume(recipe: Recipe) -> Iterator[Problem]:
    volume, path = recipe.image.root_volume, ("image", "root_volume")
    if volume.type != "gp3":
        for name in sorted({"iops", "throughput"} & volume.model_fields_set):
            yield Problem((*path, name), f"no {name} with a {volume.type} volume", "one")
        return
    # https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
    max_iops = max(3000, 500 * volume.size_gib)
    if volume.iops > max_iops:
        expected = f"at most {max_iops} with {volume.size_gib} GiB"
        yield Problem((*path, "iops"), expected, f"{volume.iops} (at most 500 for each GiB)")
    if volume.throughput * 4 > volume.iops:
        got = f"{volume.throughput} (at most a quarter of iops)"
        yield Problem((*path, "throughput"), f"at most {volume.iops // 4}", got)


def _check_go(recipe: Recipe) -> Iterator[Problem]:
    go, path = recipe.runtime.go, ("runtime", "go")
    if go.source == "go.dev":
        if not go.sha256:
            expected = f"the tarball's SHA-256 from https://go.dev/dl/ for go{go.version}, since source is go.dev"
            yield Problem((*path, "sha256"), expected, "nothing")
        numbers = tuple(int(part) for part in go.version.split("."))
        if len(numbers) == 2 and numbers >= (1, 21):  # since 1.21 the first release is called 1.21.0
            expected = f"all three numbers, as go.dev names it: {go.version}.0"
            yield Problem((*path, "version"), expected, format_value(go.version))
        return
    for name, value in (("sha256", go.sha256), ("url", go.url)):
        if value:
            expected = f'no {name} with source = "distribution" (its package manager checks signatures)'
            yield Problem((*path, name), expected, 'one; remove it, or set source = "go.dev"')
    family = recipe.image.os
    if family.go and go.version not in family.go:
        got = f'{format_value(go.version)}; for another version set source = "go.dev" and its sha256'
        yield Problem((*path, "version"), f"{words(family.go)}, which {family.name} has", got)


def _check_postgresql(recipe: Recipe) -> Iterator[Problem]:
    family, version = recipe.image.os, recipe.runtime.postgresql.version
    if version not in family.postgresql:
        others = [f'"{name}"' for name, other in FAMILIES.items() if version in other.postgresql]
        hint = f"; [image] family {words(others)} has it" if others else ""
        expected = f"{words(family.postgresql)}, which {family.name} has"
        yield Problem(("runtime", "postgresql", "version"), expected, f"{version}{hint}")


def _check_app(recipe: Recipe) -> Iterator[Problem]:
    app, source = recipe.app, format_value(recipe.app.source)
    if "://" in app.source:
        url = urlsplit(app.source)
        if url.scheme not in ("https", "ssh", "git", "file"):
            yield Problem(("app", "source"), "an https://, ssh:// or git@host:path URL, or a directory", source)
        if url.password or (url.username and url.scheme == "https"):
            yield Problem(("app", "source"), "a URL without a user name or password in it", source)
    elif app.source.startswith("-"):
        yield Problem(("app", "source"), "a directory or a git URL", source)
    if not app.is_git and "ref" in app.model_fields_set:
        yield Problem(("app", "ref"), "no ref with a directory", "one, though source is a directory; remove it")
    for name, value in app.environment.items():
        # A path or an empty value under such a name only says where the secret is (DB_PASSWORD_PARAMETER, TOKEN_FILE).
        if SECRET_NAME.search(name) and value and not value.startswith("/") and value not in ("true", "false"):
            expected = "no secret in the recipe; store it in Parameter Store as a SecureString under [[parameters]]"
            yield Problem(("app", "environment", name), expected, "a value (not shown)")


def _check_release(recipe: Recipe) -> Iterator[Problem]:
    release, schema = recipe.release, recipe.app.schema_file
    if release.migrations and release.command:
        yield Problem(("release", "command"), "either migrations or command", "both")
    if release.is_configured and schema:
        got = f"{format_value(schema)}; make it the first step of the release, since a schema is applied at each boot"
        yield Problem(("app", "schema"), "no schema with [release]", got)
    if "release" in recipe.model_fields_set and not release.is_configured:
        yield Problem(("release",), "migrations or command", "neither", is_section=True)
    if release.is_configured and not recipe.database.on_instance and not recipe.fleet.run_command:
        got = "false: the release step runs on an instance through Run Command"
        yield Problem(("fleet", "run_command"), "true with [release]", got)


def _check_parameters(recipe: Recipe) -> Iterator[Problem]:
    names: set[str] = set()
    for index, parameter in enumerate(recipe.parameters):
        path: KeyPath = ("parameters", index)
        if parameter.name in names:
            yield Problem((*path, "name"), "each name once", f'"{parameter.name}" a second time')
        names.add(parameter.name)
        secret = parameter.type == "SecureString"
        if secret and parameter.value is not None:
            expected = "no value for a SecureString in the recipe; set generate = true, or put it into Parameter Store"
            yield Problem((*path, "value"), expected, "a value (not shown)")
        if parameter.generate and not secret:
            got = f'true for a {parameter.type}; set type = "SecureString", or give a value'
            yield Problem((*path, "generate"), "false unless the parameter is a SecureString", got)


def _check_fleet(recipe: Recipe) -> Iterator[Problem]:
    fleet = recipe.fleet
    if fleet.min > fleet.max:
        yield Problem(("fleet", "min"), f"at most max, {fleet.max}", str(fleet.min))
    elif not fleet.min <= fleet.desired <= fleet.max:
        expected = f"a number from min, {fleet.min}, to max, {fleet.max}"
        yield Problem(("fleet", "desired"), expected, str(fleet.desired))
    for key, values in (("zones", fleet.zones), ("subnet_ids", fleet.subnet_ids)):
        if len(set(values)) != len(values):
            yield Problem(("fleet", key), "each once", "one of them twice")
    if fleet.load_balancer:
        yield from _check_load_balancer(recipe)
    elif fleet.certificate_arn:
        yield Problem(("fleet", "certificate_arn"), "none with load_balancer = false", "one")
    health_check = fleet.health_check
    if health_check.timeout >= health_check.interval:
        got = f"{health_check.timeout}, with an interval of {health_check.interval}"
        yield Problem(("fleet", "health_check", "timeout"), "less than interval", got)


def _check_load_balancer(recipe: Recipe) -> Iterator[Problem]:
    fleet = recipe.fleet
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html
    key, subnets = ("subnet_ids", fleet.subnet_ids) if fleet.subnet_ids else ("zones", fleet.zones)
    if len(subnets) < 2:
        got = f"{len(subnets)}; add one, or set load_balancer = false"
        yield Problem(("fleet", key), "two or more, which a load balancer needs", got)
    least = fleet.health_check.interval * fleet.health_check.healthy_threshold
    if fleet.instance_warmup <= least:
        got = f"{fleet.instance_warmup}, while the load balancer takes {least} to report an instance healthy"
        yield Problem(("fleet", "instance_warmup"), f"more than {least}", got)


def _check_promote(recipe: Recipe) -> Iterator[Problem]:
    weights, path = recipe.promote.traffic, ("promote", "traffic")
    if weights and (list(weights) != sorted(set(weights)) or weights[-1] != 100):
        yield Problem(path, "rising numbers, the last one 100", str(list(weights)))
    if weights and not recipe.fleet.load_balancer:
        yield Problem(path, "none with load_balancer = false: the load balancer weighs the requests", "some")


def _check_tags(recipe: Recipe) -> Iterator[Problem]:
    if len(recipe.tags) > MAX_TAGS:
        expected = f"at most {MAX_TAGS} (EC2 allows 50, of which the image needs up to {50 - MAX_TAGS})"
        yield Problem(("tags",), expected, str(len(recipe.tags)), is_section=True)
    for name, value in recipe.tags.items():
        path: KeyPath = ("tags", name)
        if not 1 <= len(name) <= 127:
            yield Problem(path, "a tag name of 1 to 127 characters", f"one of {len(name)}")
        elif re.match(r"(?i)aws:|goldenami:", name) or name in OWN_TAGS:
            owner = "AWS" if name.lower().startswith("aws:") else "goldenami"
            yield Problem(path, f"another name; {owner} sets this tag itself", f'"{name}"')
        elif re.search(r"[\x00-\x1f\x7f]", name):
            yield Problem(path, "a tag name without control characters", "one with some")
        if len(value) > 256:
            yield Problem(path, "a tag value of at most 256 characters", f"one of {len(value)}")
        if "\n" in value or "\t" in value:
            yield Problem(path, "a tag value on one line", "one with line breaks or tabs")


def _check_targets(recipe: Recipe) -> Iterator[Problem]:
    for name in get_args(TargetName):
        target = recipe.target(name)
        for index, network in enumerate(target.ssh_cidrs):
            if ipaddress.ip_network(network).prefixlen == 0 and not target.allow_open_ssh:
                got = f"{network}, the whole internet; if you mean that, set allow_open_ssh = true"
                expected = "your own networks, such as 203.0.113.7/32"
                yield Problem(("targets", name, "ssh_cidrs", index), expected, got)
        if target.kms_key_id and not recipe.image.root_volume.encrypted:
            got = "one, though [image.root_volume] encrypted is false"
            yield Problem(("targets", name, "kms_key_id"), "no key for an image that is not encrypted", got)
