"""State between commands: lock and records in Parameter Store, run folders under build/."""
