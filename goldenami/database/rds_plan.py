"""The request that creates a DB instance."""

from __future__ import annotations

from typing import Any

from goldenami.model.names import ResourceNames
from goldenami.recipe.recipe import Recipe


def db_instance_request(recipe: Recipe, names: ResourceNames, security: str, key: str) -> dict[str, Any]:
    """The DB instance, without its password.

    Its master user is the role that the application comes in as: on RDS that one is no superuser.

    Args:
        recipe: What it says of the database.
        names: What the parts of the fleet are called.
        security: The security group that lets the fleet in.
        key: The KMS key; the account's own for RDS when empty.
    """
    database, server = recipe.database, recipe.database.rds
    return {
        "DBInstanceIdentifier": names.database,
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
        "DBSubnetGroupName": names.database,
        "MultiAZ": server.multi_az,
        "PubliclyAccessible": False,
        "BackupRetentionPeriod": server.backup_retention_days,
        "DeletionProtection": True,
        "CopyTagsToSnapshot": True,
        "AutoMinorVersionUpgrade": True,
    }
