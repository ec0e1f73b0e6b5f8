"""goldenami: one recipe becomes a verified golden AMI and is carried safely to the fleet that runs it."""
