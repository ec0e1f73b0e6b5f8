"""The database of a fleet: backup, restore, switchover between instances, data volumes, RDS."""
