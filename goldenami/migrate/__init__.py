"""Move the database between storage modes (db.migrate)."""
