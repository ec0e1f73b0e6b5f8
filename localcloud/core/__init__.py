"""Shared parts of all services: requests, addresses, queues, periodic tasks and faults."""
