"""Monthly cost of the fleet, and cost of operations."""
