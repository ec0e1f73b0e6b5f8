"""What the fleet costs a month, and what an operation adds."""
