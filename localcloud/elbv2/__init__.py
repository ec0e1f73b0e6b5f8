"""Elastic Load Balancing: load balancers, targets and health checks on HAProxy."""
