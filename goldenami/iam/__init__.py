"""Least-privilege IAM policies: one module per subject, and the policy of each task."""
