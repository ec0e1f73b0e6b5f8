"""The AWS wall: boto3 is imported in this package and nowhere else."""
