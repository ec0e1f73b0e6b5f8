"""Flows: what an operator asks for, one file each, read from top to bottom like a runbook."""
