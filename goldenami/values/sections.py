"""The sections of the recipe, each key with its meaning, its rule and an example (the reference is made from these)."""

from __future__ import annotations

from typing import Annotated, Literal

from goldenami.values.families import FAMILIES, Architecture, Family, FamilyName
from goldenami.values.kinds import (
    AmiId,
    Command,
    DatabaseName,
    Directory,
    Environment,
    Frozen,
    GoVersion,
    HealthPath,
    HttpsUrl,
    ImageName,
    InnerPath,
    InstanceType,
    PackageName,
    ParameterName,
    Ref,
    Section,
    Sha256,
    Text,
    UserName,
    VariableName,
    key,
)


class RootVolume(Section):
    """The root volume of the image."""

    size_gib: int = key(8, means="Its size.", expected="a number of GiB from 2 to 16384", example=8, ge=2, le=16384)
    type: Literal["gp3", "gp2"] = key("gp3", means="Its EBS type.", expected='"gp3" or "gp2"', example="gp3")
    iops: int = key(
        3000,
        means="Operations a second (gp3 only; 3000 are included in its price).",
        expected="a number from 3000 to 16000",
        example=3000,
        ge=3000,
        le=16000,
    )
    throughput: int = key(
        125,
        means="MiB a second (gp3 only; 125 are included in its price).",
        expected="a number from 125 to 1000",
        example=125,
        ge=125,
        le=1000,
    )
    encrypted: bool = key(True, means="Whether the image is encrypted.", expected="true or false", example=True)


class Image(Section):
    """What is baked."""

    name: ImageName = key(
        means="The name of the image, of its service and of its AMIs (`NAME-golden-v1.0`).",
        expected="a lower-case name of 1 to 40 letters, digits and hyphens, beginning with a letter",
        example="guestbook",
    )
    family: FamilyName = key(
        "debian-12",
        means="The operating system it builds on.",
        expected='"amazon-linux-2023", "debian-12" or "ubuntu-24.04"',
        example="debian-12",
    )
    architecture: Architecture = key(
        "x86_64", means="The processor it runs on.", expected='"x86_64" or "arm64"', example="x86_64"
    )
    environment: Environment = key(
        "production",
        means="The environment it is for; becomes a tag.",
        expected="a word of at most 32 letters, digits and hyphens",
        example="production",
    )
    version_policy: Literal["minor", "major", "patch", "month"] = key(
        "minor",
        means="Which part of the version a bake raises: v1.0 to v1.1, v2.0 or v1.0.1; `month` counts as v1.202510.",
        expected='"minor", "major", "patch" or "month"',
        example="minor",
    )
    source_ami: AmiId = key(
        "",
        means="The AMI to start from; empty takes the newest that the family's vendor publishes.",
        expected="an AMI id such as ami-0123456789abcdef0",
        example="ami-0123456789abcdef0",
    )
    root_volume: RootVolume = key(RootVolume(), means="The root volume.", example={})

    @property
    def os(self) -> Family:
        """What the operating-system family brings along."""
        return FAMILIES[self.family]


class Go(Section):
    """The Go toolchain that builds the application."""

    version: GoVersion = key(
        means="Its version: MAJOR.MINOR from the distribution, all of it from go.dev.",
        expected="a Go version such as 1.19 or 1.23.0",
        example="1.19",
    )
    source: Literal["distribution", "go.dev"] = key(
        "distribution",
        means="Where it comes from: the distribution's package, or the tarball of go.dev.",
        expected='"distribution" or "go.dev"',
        example="distribution",
    )
    sha256: Sha256 = key(
        "",
        means="The tarball's SHA-256 (go.dev only), as https://go.dev/dl/ lists it.",
        expected="64 lower-case hexadecimal digits",
        example="905a297f19ead44780548933e0ff1a1b86e8327bb459e92f9c0012569f76f5e3",
    )
    url: HttpsUrl = key(
        "",
        means="Another place of the tarball (go.dev only), such as a mirror of your own.",
        expected="an https URL",
        example="https://mirror.example/go1.23.0.linux-amd64.tar.gz",
    )


class PostgreSQL(Section):
    """The database server in the image."""

    version: int = key(
        means="Its major version, one that the family has.", expected="a major version such as 15", example=15, ge=9
    )


class Runtime(Section):
    """What the application needs to be built and run."""

    go: Go = key(means="The Go toolchain.", example={})
    postgresql: PostgreSQL = key(means="The database server.", example={})
    packages: Annotated[tuple[PackageName, ...], Frozen] = key(
        (),
        means="Further packages of the distribution.",
        expected="a list of package names",
        example=["golang-github-lib-pq-dev"],
    )


class App(Section):
    """The application, built in the image and run there as a service."""

    source: Text = key(
        means="Where its source is: a directory, seen from the recipe, or a git URL without credentials.",
        expected="a directory or a git URL (https://, ssh://, git@host:path)",
        example="examples/guestbook",
        min_length=1,
    )
    ref: Ref = key(
        "main",
        means="The branch, tag or commit of a git source.",
        expected="a git branch, tag or commit",
        example="v1.4.2",
    )
    build: Text = key(
        means="The command that builds it, run by bash in `directory` as `user`.",
        expected="a shell command",
        example="go build -o guestbook ./cmd/server",
        min_length=1,
    )
    user: UserName = key(
        "app",
        means="The user it runs as; made if missing.",
        expected="a Linux user name",
        example="app",
    )
    directory: Directory = key(
        means="Where it is installed.", expected="an absolute path such as /opt/guestbook", example="/opt/guestbook"
    )
    exec: Command = key(
        means="What the service runs, with its arguments (systemd's ExecStart=; a % stands for itself).",
        expected="a command on one line that begins with an absolute path",
        example="/opt/guestbook/guestbook",
    )
    schema_file: InnerPath = key(
        "",
        alias="schema",
        means="The SQL or shell script within the source that initialises the database; empty for none.",
        expected="a path within the source",
        example="schema.sql",
    )
    port: int = key(
        8080,
        means="The TCP port that it answers on.",
        expected="a number from 1 to 65535",
        example=8080,
        ge=1,
        le=65535,
    )
    health: HealthPath = key(
        "/health",
        means="The path that answers 200 when it is well.",
        expected='a URL path that begins with "/"',
        example="/health",
    )
    environment: dict[VariableName, Text] = key(
        {},
        means="Environment variables of the service. No secrets: those are parameters.",
        expected="variables (letters, digits and _) with strings as values",
        example={"USE_AWS_PARAMS": "true"},
    )

    @property
    def is_git(self) -> bool:
        """Whether the source is a git URL (else it is a directory)."""
        return "://" in self.source or (self.source.startswith("git@") and ":" in self.source)


class Database(Section):
    """The application's database, made at the first boot with a password from Parameter Store."""

    name: DatabaseName = key(means="Its name.", expected="a lower-case PostgreSQL name", example="guestbook")
    user: DatabaseName = key(means="The role that owns it.", expected="a lower-case PostgreSQL name", example="guestbook")
    password_parameter: ParameterName = key(
        means="The parameter that holds the role's password, one of `[[parameters]]`.",
        expected='a parameter name such as "/guestbook/production/db/password"',
        example="/guestbook/production/db/password",
    )


class Parameter(Section):
    """A parameter of Parameter Store that the application reads. Secrets never stand in the recipe."""

    name: ParameterName = key(
        means="Its name.",
        expected='a parameter name such as "/guestbook/production/db/password"',
        example="/guestbook/production/db/password",
    )
    type: Literal["String", "StringList", "SecureString"] = key(
        "String",
        means="Its type; a SecureString is encrypted.",
        expected='"String", "StringList" or "SecureString"',
        example="SecureString",
    )
    generate: bool = key(
        False,
        means="Make it once, at random, when it is missing (SecureString only).",
        expected="true or false",
        example=True,
    )
    value: str | None = key(
        None,
        means="Its value when it is missing (not for a SecureString). Without `value` and `generate` it must exist.",
        expected="a string of 1 to 4096 characters",
        example="guestbook.example.com",
        min_length=1,
        max_length=4096,
    )


class Instance(Section):
    """What the image runs on."""

    type: InstanceType = key(
        "t3.micro",
        means="The instance type of the fleet, and of the builder unless its target says otherwise.",
        expected="an instance type such as t3.micro",
        example="t3.micro",
    )
