"""The sections of the recipe about data: where the database lives, and where its backups go."""

from __future__ import annotations

from typing import Annotated, Literal

from goldenami.recipe.fields import (
    BucketName,
    DatabaseClass,
    DatabaseName,
    Frozen,
    ParameterName,
    ParameterNameOrNone,
    Section,
    TableName,
    field,
)


class DataVolume(Section):
    """The volume that holds PostgreSQL's data (`volume` only): always encrypted, with the target's `kms_key_id`."""

    size_gib: int = field(
        20,
        description="Its size. A larger number makes it grow with the next `fleet.create`; it never shrinks.",
        expected="a number of GiB from 1 to 16384",
        example=20,
        ge=1,
        le=16384,
    )
    type: Literal["gp3", "gp2"] = field("gp3", description="Its EBS type.", expected='"gp3" or "gp2"', example="gp3")


class DatabaseServer(Section):
    """The RDS server that `db.migrate --to rds --create` makes (`rds` only): encrypted, private, protected from deletion."""

    instance_class: DatabaseClass = field(
        "db.t4g.micro",
        description="Its instance class.",
        expected='an RDS instance class such as "db.t4g.micro"',
        example="db.t4g.small",
    )
    storage_gib: int = field(
        20,
        description="Its storage (gp3).",
        expected="a number of GiB from 20 to 65536",
        example=20,
        ge=20,
        le=65536,
    )
    multi_az: bool = field(
        False,
        description="Whether a second server in another zone stands by, at twice the price.",
        expected="true or false",
        example=True,
    )
    backup_days: int = field(
        7,
        description="Days that RDS keeps its own backups, from which it goes back to any second of them.",
        expected="a number of days from 1 to 35",
        example=7,
        ge=1,
        le=35,
    )


class Database(Section):
    """The application's database: its names, its password from Parameter Store, and where it lives.

    Instances come and go with every image, and data must not: `mode` says what outlives them. docs/data.md explains the
    choice.
    """

    mode: Literal["rds", "volume", "instance"] = field(
        "instance",
        description="Where data lives: `rds` outside the instances, so that there may be many; `volume` on an EBS volume of its"
        " own, which goes from the one instance to the next; `instance` on the root disk of the one instance, whose rows are"
        " carried over whenever it is replaced.",
        expected='"rds", "volume" or "instance"',
        example="instance",
    )
    name: DatabaseName = field(description="Its name.", expected="a lower-case PostgreSQL name", example="guestbook")
    user: DatabaseName = field(
        description="The role that owns it.", expected="a lower-case PostgreSQL name", example="guestbook"
    )
    password_parameter: ParameterName = field(
        description="The parameter that holds the role's password, one of `[[parameters]]`.",
        expected='a parameter name such as "/guestbook/production/db/password"',
        example="/guestbook/production/db/password",
    )
    host_parameter: ParameterNameOrNone = field(
        "",
        description="The parameter that holds the server's host name, one of `[[parameters]]` (`rds` only).",
        expected='a parameter name such as "/guestbook/production/db/host"',
        example="/guestbook/production/db/host",
    )
    port: int = field(
        5432,
        description="The server's TCP port.",
        expected="a number from 1 to 65535",
        example=5432,
        ge=1,
        le=65535,
    )
    tls: Literal["require", "disable"] = field(
        "require",
        description="Whether the connection to the server is encrypted (`rds` only; the application finds it as DB_SSLMODE).",
        expected='"require" or "disable"',
        example="require",
    )
    seeded: Annotated[tuple[TableName, ...], Frozen] = field(
        (),
        description="Tables that the schema itself fills. Any other table with rows in it fails the image.",
        expected='a list of table names such as "countries" or "app.countries"',
        example=["countries"],
    )

    volume: DataVolume = field(DataVolume(), description="The volume that holds the data (`volume` only).", example={})
    server: DatabaseServer = field(
        DatabaseServer(), description="The server that db.migrate can make (`rds` only).", example={}
    )

    @property
    def on_instance(self) -> bool:
        """Whether the server runs on the instance, which then is the only one."""
        return self.mode != "rds"

    @property
    def on_volume(self) -> bool:
        """Whether its data is on a volume that outlives the instance."""
        return self.mode == "volume"


class Backup(Section):
    """Where backups go: an S3 bucket of the account, private, encrypted and versioned."""

    bucket: BucketName = field(
        "",
        description="The bucket; empty takes `goldenami-NAME-ACCOUNT-REGION`, which is made when it is missing.",
        expected="a bucket name of 3 to 63 lower-case letters, digits, dots and hyphens",
        example="guestbook-backups",
    )
    keep_days: int = field(
        35,
        description="Days after which a backup is removed.",
        expected="a number of days from 1 to 3650",
        example=35,
        ge=1,
        le=3650,
    )
