"""The recipe's sections [database] and [backup]: storage mode, names, and the backup bucket."""

from __future__ import annotations

from typing import Literal

from goldenami.recipe.fields import (
    BucketName,
    DatabaseClass,
    DatabaseName,
    ParameterName,
    ParameterNameOrNone,
    Section,
    field,
    flag,
    number,
)


class DataVolume(Section):
    """The EBS volume of mode `volume`: always encrypted, with the target's `kms_key_id`."""

    size_gib: int = number(
        20, 1, 16384, "Size. The next `fleet.create` grows the volume to a larger value; it never shrinks.", unit="GiB"
    )
    type: Literal["gp3", "gp2"] = field("gp3", description="EBS volume type.", expected='"gp3" or "gp2"', example="gp3")


class RdsInstance(Section):
    """The DB instance that `db.migrate --to rds --create` creates: encrypted, private, with deletion protection."""

    instance_class: DatabaseClass = field(
        "db.t4g.micro",
        description="DB instance class.",
        expected='an RDS instance class such as "db.t4g.micro"',
        example="db.t4g.small",
    )
    storage_gib: int = number(20, 20, 65536, "Allocated storage (gp3).", unit="GiB")
    multi_az: bool = flag(False, "Run a standby in another Availability Zone, at twice the price.")
    backup_retention_days: int = number(
        7, 1, 35, "Days that RDS keeps its automated backups, for point-in-time recovery.", unit="days"
    )


class Database(Section):
    """The application's database: its names, its password from Parameter Store, and its storage mode.

    `mode` decides what preserves the data when an instance is replaced. docs/data.md explains the choice.
    """

    mode: Literal["rds", "volume", "instance"] = field(
        "instance",
        description="Storage mode of the data. `rds`: an external database, for any number of instances. `volume`: an EBS"
        " volume that is attached to the fleet's one instance. `instance`: the root volume of the fleet's one"
        " instance; the data is transferred when the instance is replaced.",
        expected='"rds", "volume" or "instance"',
        example="instance",
    )
    name: DatabaseName = field(
        description="Name of the database.", expected="a lower-case PostgreSQL name", example="guestbook"
    )
    user: DatabaseName = field(
        description="PostgreSQL role that owns the database.",
        expected="a lower-case PostgreSQL name",
        example="guestbook",
    )
    password_parameter: ParameterName = field(
        description="Parameter with the role's password, one of `[[parameters]]`.",
        expected='a parameter name such as "/guestbook/production/db/password"',
        example="/guestbook/production/db/password",
    )
    host_parameter: ParameterNameOrNone = field(
        "",
        description="Parameter with the server's host name, one of `[[parameters]]` (`rds` only).",
        expected='a parameter name such as "/guestbook/production/db/host"',
        example="/guestbook/production/db/host",
    )
    port: int = number(5432, 1, 65535, "TCP port of the server (`rds` only).")
    sslmode: Literal["require", "disable"] = field(
        "require",
        description="Encryption of the connection, as in libpq's `sslmode` (`rds` only; the application reads it from"
        " DB_SSLMODE).",
        expected='"require" or "disable"',
        example="require",
    )
    volume: DataVolume = field(DataVolume(), description="EBS volume of the data (`volume` only).", example={})
    rds: RdsInstance = field(
        RdsInstance(), description="DB instance that `db.migrate --create` creates (`rds` only).", example={}
    )

    @property
    def on_instance(self) -> bool:
        """True if the PostgreSQL server runs on the fleet's one instance."""
        return self.mode != "rds"

    @property
    def on_volume(self) -> bool:
        """True if the data is on an EBS volume of its own."""
        return self.mode == "volume"


class Backup(Section):
    """The backup bucket: an S3 bucket of the account, private, encrypted and versioned."""

    bucket: BucketName = field(
        "",
        description="Name of the bucket, created if it does not exist; empty means `goldenami-NAME-ACCOUNT-REGION`. The"
        " settings of a bucket that exists are kept.",
        expected="a bucket name of 3 to 63 lower-case letters, digits, dots and hyphens",
        example="guestbook-backups",
    )
    retention_days: int = number(35, 1, 3650, "Days after which a backup is deleted.", unit="days")
