"""The request that creates a DB instance."""

from __future__ import annotations

from typing import Any

from goldenami.model.names import ResourceNames
from goldenami.recipe.recipe import Recipe


def db_instance_request(recipe: Recipe, names: ResourceNames, security_group: str, key: str) -> dict[str, Any]:
    """Return the CreateDBInstance request, without the password.

    The master user is the application's role; on RDS it is not a superuser.

    Args:
        key: KMS key; the account's default key for RDS if empty.
    """
    database, server = recipe.database, recipe.database.rds
    return {
        "DBInstanceIdentifier": names.database,
        "DBInstanceClass": server.instance_class,
        "Engine": "postgres",
        "EngineVersion": str(recipe.runtime.postgresql.version),  # RDS uses the newest minor version
        "AllocatedStorage": server.storage_gib,
        "StorageType": "gp3",
        "StorageEncrypted": True,
        **({"KmsKeyId": key} if key else {}),
        "MasterUsername": database.user,
        "DBName": database.name,
        "Port": database.port,
        "VpcSecurityGroupIds": [security_group],
        "DBSubnetGroupName": names.database,
        "MultiAZ": server.multi_az,
        "PubliclyAccessible": False,
        "BackupRetentionPeriod": server.backup_retention_days,
        "DeletionProtection": True,
        "CopyTagsToSnapshot": True,
        "AutoMinorVersionUpgrade": True,
    }
