"""Replace instances: instance refresh, traffic shift, or one instance at a time, under a health gate."""
