"""Promote, deploy and roll back: request, plan, blockers, apply, history."""
