"""The server elsewhere: what it is, and what RDS is asked for when it is to be made: private, encrypted, backed up, protected
from deletion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from goldenami.model.names import Names
from goldenami.recipe.recipe import Recipe


@dataclass(frozen=True)
class Server:
    """A DB instance.

    Attributes:
        endpoint: `NAME:PORT`; empty until it has one.
        kind: Its class.
        storage: In GiB.
        storage_type: `gp3`, …
        version: PostgreSQL's, as RDS says it: `15.4`.
        multi_az: Whether a second one in another zone stands by.
    """

    name: str
    status: str
    endpoint: str = ""
    encrypted: bool = True
    public: bool = False
    kind: str = ""
    storage: int = 0
    storage_type: str = ""
    version: str = ""
    multi_az: bool = False

    @property
    def detail(self) -> str:
        """All of it on a line."""
        zones = "two zones" if self.multi_az else "one zone"
        told = f"{self.kind}, {self.storage} GiB {self.storage_type}, PostgreSQL {self.version}, {zones}, {self.status}"
        return f"{told}, {self.endpoint}" if self.endpoint else told


def request(recipe: Recipe, names: Names, security: str, key: str) -> dict[str, Any]:
    """The DB instance, without its password.

    Its master user is the role that the application comes in as: on RDS that one is no superuser.

    Args:
        recipe: What it says of the database.
        names: What the parts of the fleet are called.
        security: The security group that lets the fleet in.
        key: The KMS key; the account's own for RDS when empty.
    """
    database, server = recipe.database, recipe.database.server
    return {
        "DBInstanceIdentifier": names.data,
        "DBInstanceClass": server.instance_class,
        "Engine": "postgres",
        "EngineVersion": str(recipe.runtime.postgresql.version),  # RDS takes its newest of that major version
        "AllocatedStorage": server.storage_gib,
        "StorageType": "gp3",
        "StorageEncrypted": True,
        **({"KmsKeyId": key} if key else {}),
        "MasterUsername": database.user,
        "DBName": database.name,
        "Port": database.port,
        "VpcSecurityGroupIds": [security],
        "DBSubnetGroupName": names.data,
        "MultiAZ": server.multi_az,
        "PubliclyAccessible": False,
        "BackupRetentionPeriod": server.backup_days,
        "DeletionProtection": True,
        "CopyTagsToSnapshot": True,
        "AutoMinorVersionUpgrade": True,
    }
