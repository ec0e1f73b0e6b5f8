"""State between commands: the lock in Parameter Store, records, and the run folders under build/."""
