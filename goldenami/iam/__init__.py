"""Least-privilege IAM policies of tasks and roles, one module per subject."""
