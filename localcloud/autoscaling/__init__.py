"""Auto Scaling: groups, instances, instance refresh."""
