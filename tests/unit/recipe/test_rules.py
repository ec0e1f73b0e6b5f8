"""The rules between keys, and the rules of single keys that AWS, PostgreSQL and Linux set."""

from __future__ import annotations

import pytest

from goldenami.recipe.rules import is_arm
from tests.support.recipes import AMAZON_LINUX, RDS, problems

GOOD: list[dict[str, object]] = [
    {"image.name": "a"},
    {"image.source_ami": "ami-0123456789abcdef0"},
    {"image.root_volume.size_gib": 2},
    {"image.root_volume": {"size_gib": 20, "type": "gp3", "iops": 10000, "throughput": 1000}},
    {"image.root_volume": {"type": "gp2"}},
    {"image.root_volume": {"encrypted": False}},
    {"runtime.postgresql.version": 17, "image.family": "amazon-linux-2023"},
    {"image.family": "amazon-linux-2023", "runtime.go.version": "1.25"},
    {"app.source": "git@github.com:you/app.git", "app.ref": "v1.0"},
    {"app.source": "ssh://git@github.com/you/app.git"},
    {"app.source": "https://github.com/you/app.git", "app.ref": "0123456789abcdef0123456789abcdef01234567"},
    {"app.exec": "/opt/guestbook/guestbook --name '한글' --percent 5%"},
    {"app.schema": ""},
    {"app.environment": {"GREETING": '안녕 "$HOME" %h \\ ${x}\nsecond line', "DB_PASSWORD_PARAMETER": "/a/b"}},
    {"app.schema": "", "release": {"migrations": "migrations/", "rehearsal_max_size": "512 MiB"}},
    {"app.schema": "", "release": {"command": "goose up", "rehearsal": False, "rehearsal_max_size": 20}},
    {"app.build": "make clean\nmake -j2"},
    {"parameters": [{"name": "/guestbook/production/db/password", "type": "SecureString"}]},
    {"tags": {"팀": "웹", "Cost Centre": "42 = {{x}} ${y}"}},
    {"targets.aws.ssh_cidrs": ["0.0.0.0/0"], "targets.aws.allow_open_ssh": True},
    {"targets.aws.ssh_cidrs": ["2001:db8::/32"]},
    {"targets.aws.region": "us-gov-west-1"},
    {"targets.aws.kms_key_id": "arn:aws:kms:ap-northeast-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"},
    {"targets.aws.kms_key_id": "mrk-1234abcd12ab34cd56ef1234567890ab"},
    {"fleet.min": 0, "fleet.desired": 0},
    {"fleet.zones": ["a"], "fleet.load_balancer": False, "fleet.instance_warmup": 10},
    {"fleet.subnet_ids": ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]},
    {"fleet.client_cidrs": ["0.0.0.0/0", "::/0"]},
    {"promote": {"canary": 0, "watch_seconds": 0, "alarms": ["guestbook 5xx"]}},
    {**RDS, "promote": {"traffic": [10, 50, 100]}},
    {"copies": [{"region": "us-east-1"}, {"region": "us-east-1", "profile": "other"}, {"region": "eu-west-1"}]},
    {"copies": [{"region": "us-east-1", "kms_key_id": "alias/golden", "share_with": ["210987654321"]}]},
    {"image.root_volume.encrypted": False, "copies": [{"region": "us-east-1", "share_with": ["210987654321"]}]},
    AMAZON_LINUX,
    AMAZON_LINUX | {"runtime.go.url": "https://mirror.example/go.tar.gz"},
]

BAD: list[tuple[dict[str, object], str]] = [
    ({"app.schema": "", "release": {"rehearsal": True}}, "[release]: expected migrations or command, got neither"),
    (
        {"app.schema": "", "release": {"migrations": "m", "command": "goose up"}},
        "[release] command: expected either migrations or command, got both",
    ),
    ({"app.schema": "schema.sql", "release": {"migrations": "m"}}, "[app] schema: expected no schema with [release]"),
    (
        {"app.schema": "", "release": {"migrations": "../m"}},
        "[release] migrations: expected a folder within the source",
    ),
    (
        {"app.schema": "", "release": {"migrations": "m", "rehearsal_max_size": "10 GB"}},
        "[release] rehearsal_max_size: expected a size such as",
    ),
    ({"app.schema": "", "release": {"migrations": "m", "rehearsal_max_size": 0}}, "[release] rehearsal_max_size"),
    ({"fleet": {"min": 6}}, "[fleet] min: expected at most max, 5, got 6"),
    ({"fleet": {"desired": 6}}, "[fleet] desired: expected a number from min, 1, to max, 5, got 6"),
    ({"fleet": {"zones": ["a"]}}, "[fleet] zones: expected two or more, which a load balancer needs, got 1"),
    ({"fleet": {"zones": ["a", "a"]}}, "[fleet] zones: expected each once"),
    ({"fleet": {"zones": ["ap-northeast-2a"]}}, "[fleet] zones"),
    (
        {"fleet": {"instance_warmup": 20}},
        "[fleet] instance_warmup: expected more than 20, got 20, while the load balancer",
    ),
    (
        {"fleet": {"health_check": {"interval": 5, "timeout": 5}}},
        "[fleet.health_check] timeout: expected less than interval",
    ),
    ({"fleet": {"client_cidrs": ["10.0.0.1/8"]}}, "[fleet] client_cidrs"),
    ({"fleet": {"certificate_arn": "cert"}}, "[fleet] certificate_arn"),
    ({"promote": {"canary": 101}}, "[promote] canary: expected a number from 0 to 100, got 101"),
    ({"promote": {"alarms": ["a"] * 11}}, "[promote] alarms"),
    ({"promote": {"traffic": [0, 100]}}, "[promote] traffic"),
    ({"promote": {"traffic": [10, 100]}}, '[promote] traffic: expected none with [database] mode = "instance"'),
    ({"promote": {"traffic": [50, 10, 100]}}, "[promote] traffic: expected rising numbers, the last one 100"),
    (
        {"copies": [{"region": "us-east-1"}, {"region": "us-east-1"}]},
        "[copies] region, item 2: expected each region once",
    ),
    ({"copies": [{"region": "nowhere"}]}, "[copies] region, item 1: expected a region"),
    (
        {"copies": [{"region": "us-east-1", "share_with": ["210987654321"]}]},
        "[copies] kms_key_id, item 1: expected a KMS key of yours with share_with",
    ),
    ({"copies": [{"region": "us-east-1", "share_with": ["2109"]}]}, "share_with"),
    (
        {"image.root_volume.encrypted": False, "copies": [{"region": "us-east-1", "kms_key_id": "alias/golden"}]},
        "[copies] kms_key_id, item 1: expected none",
    ),
    ({"promote": {"traffic": [10, 50]}}, "[promote] traffic: expected rising numbers, the last one 100"),
    (
        {"promote": {"traffic": [100]}, "fleet": {"load_balancer": False}},
        "[promote] traffic: expected none with load_balancer",
    ),
    ({"image.name": "Guestbook"}, "[image] name: expected a lower-case name"),
    ({"image.name": "a" * 41}, "[image] name"),
    ({"image.name": "guest_book"}, "[image] name"),
    ({"image.source_ami": "ami-xyz"}, "[image] source_ami: expected an AMI id"),
    ({"image.root_volume.type": "gp2", "image.root_volume.iops": 3000}, "[image.root_volume] iops: expected no iops"),
    ({"image.root_volume.iops": 16000}, "[image.root_volume] iops: expected at most 4000 with 8 GiB"),
    ({"image.root_volume.throughput": 1000}, "[image.root_volume] throughput: expected at most 750"),
    ({"image.root_volume.iops": True}, "[image.root_volume] iops: expected a number from 3000 to 16000, got true"),
    ({"image.architecture": "arm64"}, "[instance] type: expected an instance type with the image's architecture arm64"),
    ({"targets.aws.instance_type": "m7g.large"}, "[targets.aws] instance_type"),
    (
        {"runtime.go.version": "1.23"},
        '[runtime.go] version: expected 1.19, which debian-12 has, got "1.23"; for another',
    ),
    ({"runtime.go.version": "2.0"}, "[runtime.go] version"),
    ({"runtime.go.source": "go.dev"}, "[runtime.go] sha256: expected the tarball's SHA-256"),
    (AMAZON_LINUX | {"runtime.go.version": "1.23"}, "[runtime.go] version: expected all three numbers"),
    (AMAZON_LINUX | {"runtime.go.sha256": "AB" * 32}, "[runtime.go] sha256: expected 64 lower-case hexadecimal digits"),
    (AMAZON_LINUX | {"runtime.go.url": "http://x/y"}, "[runtime.go] url: expected an https URL"),
    ({"runtime.go.url": "https://x/y.tar.gz"}, "[runtime.go] url: expected no url with source"),
    ({"runtime.go.sha256": "a" * 64}, "[runtime.go] sha256: expected no sha256 with source"),
    (
        {"runtime.postgresql.version": 16},
        '[runtime.postgresql] version: expected 15, which debian-12 has, got 16; [image] family "amazon-linux-2023" or'
        ' "ubuntu-24.04" has it',
    ),
    ({"runtime.packages": ["-y"]}, "[runtime] packages, item 1: expected a list of package names"),
    ({"runtime.packages": ["a b"]}, "[runtime] packages, item 1"),
    ({"app.source": ""}, "[app] source"),
    ({"app.source": "http://github.com/x"}, "[app] source: expected an https://"),
    ({"app.ref": "main"}, "[app] ref: expected no ref with a directory"),
    ({"app.source": "https://x/y.git", "app.ref": "--upload-pack=x"}, "[app] ref"),
    ({"app.user": "root"}, "[app] user: expected a user of its own, not root"),
    ({"app.user": "No One"}, "[app] user: expected a Linux user name"),
    ({"app.directory": "opt/x"}, "[app] directory: expected an absolute path"),
    ({"app.directory": "/"}, "[app] directory"),
    ({"app.directory": "/opt"}, "[app] directory: expected a directory of the application's own"),
    ({"app.directory": "/etc/guestbook"}, "[app] directory: expected a directory of the application's own"),
    ({"app.directory": "/usr/bin/x"}, "[app] directory: expected a directory of the application's own"),
    ({"app.directory": "/opt/../etc"}, "[app] directory"),
    ({"app.directory": "/opt/a b"}, "[app] directory"),
    ({"app.exec": "guestbook"}, "[app] exec: expected a command on one line"),
    ({"app.exec": "/opt/x\n/opt/y"}, "[app] exec"),
    ({"app.exec": "/opt/x \\"}, "[app] exec"),
    ({"tags": {"a\nb": "v"}}, '[tags] "a\\nb": expected a tag name without control characters'),
    ({"tags": {"": "v"}}, '[tags] "": expected a tag name of 1 to 127 characters'),
    ({"app.schema": "/etc/passwd"}, "[app] schema: expected a path within the source"),
    ({"app.schema": "../x.sql"}, "[app] schema"),
    ({"app.port": 0}, "[app] port: expected a number from 1 to 65535, got 0"),
    ({"app.port": 8080.0}, "[app] port"),
    ({"app.health": "health"}, '[app] health: expected a URL path that begins with "/"'),
    ({"app.health": "/a b"}, "[app] health"),
    ({"app.environment": {"1A": "x"}}, "[app.environment] 1A: not a name that is allowed here"),
    ({"app.environment": {"PORT": 8080}}, "[app.environment] PORT: expected a string in quotes"),
    ({"app.environment": {"X": "a\u0000b"}}, "[app.environment] X: expected text without control characters"),
    ({"database.name": "postgres"}, "[database] name: expected a name that PostgreSQL does not use itself"),
    ({"database.user": "Robert'); DROP TABLE"}, "[database] user: expected a lower-case PostgreSQL name"),
    ({"database.password_parameter": "/other"}, "[database] password_parameter: expected the name of one of"),
    (
        {"parameters.0.type": "String", "parameters.0.generate": False},
        'expected a parameter with type = "SecureString"',
    ),
    ({"parameters.0.type": "String"}, "[[parameters]] number 1, generate: expected false"),
    ({"parameters.0.name": "password"}, "[[parameters]] number 1, name: expected a parameter name such as"),
    ({"parameters.0.name": "/aws/x"}, "whose first level does not begin with aws or ssm"),
    ({"parameters.0.name": "/SSM-x"}, "whose first level does not begin with aws or ssm"),
    ({"parameters.0.name": "/a" * 16}, "at most 15 levels"),
    ({"parameters.0.value": "x"}, "[[parameters]] number 1, value: expected no value for a SecureString"),
    ({"parameters": [{"name": "/a"}, {"name": "/a"}]}, "[[parameters]] number 2, name: expected each name once"),
    ({"instance.type": "t3"}, "[instance] type: expected an instance type such as t3.micro"),
    ({"tags": {f"k{n}": "v" for n in range(31)}}, "[tags]: expected at most 30"),
    ({"tags": {"aws:x": "v"}}, "AWS sets this tag itself"),
    ({"tags": {"goldenami:run": "v"}}, "goldenami sets this tag itself"),
    ({"tags": {"k" * 128: "v"}}, "expected a tag name of 1 to 127 characters"),
    ({"tags": {"k": "v" * 257}}, "expected a tag value of at most 256 characters"),
    ({"targets.aws.ssh_cidrs": ["0.0.0.0/0"]}, "[targets.aws] ssh_cidrs, item 1: expected your own networks"),
    ({"targets.aws.ssh_cidrs": ["::/0"]}, "the whole internet"),
    ({"targets.aws.region": "seoul"}, "[targets.aws] region: expected a region such as"),
    ({"targets.aws.subnet_id": "subnet-1"}, "[targets.aws] subnet_id: expected a subnet id"),
    ({"targets.aws.security_group_ids": ["default"]}, "[targets.aws] security_group_ids, item 1"),
    ({"targets.aws.kms_key_id": "my key"}, "[targets.aws] kms_key_id: expected a KMS key id"),
    ({"targets.aws.endpoint_url": "localhost:4566"}, "[targets.aws] endpoint_url: expected an http or https URL"),
    (
        {"targets.aws.kms_key_id": "alias/x", "image.root_volume.encrypted": False},
        "[targets.aws] kms_key_id: expected no key for an image that is not encrypted",
    ),
]


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_recipe_is_valid(changes: dict[str, object]) -> None:
    assert problems(changes) == []


@pytest.mark.parametrize(("changes", "expected"), BAD, ids=[str(changes)[:60] for changes, _ in BAD])
def test_recipe_is_refused(changes: dict[str, object], expected: str) -> None:
    messages = problems(changes)
    assert any(expected in message for message in messages), messages


@pytest.mark.parametrize(
    "instance_type", ["t4g.micro", "m7gd.large", "c7gn.xlarge", "im4gn.large", "a1.medium", "x2gd.large"]
)
def test_is_arm_of_arm_types_is_true(instance_type: str) -> None:
    assert is_arm(instance_type)


@pytest.mark.parametrize(
    "instance_type", ["t3.micro", "t3a.micro", "g4dn.xlarge", "g5.xlarge", "m5.large", "c6i.large"]
)
def test_is_arm_of_x86_types_is_false(instance_type: str) -> None:
    assert not is_arm(instance_type)
