"""RDS: DB instances as PostgreSQL servers."""
