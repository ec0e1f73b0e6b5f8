"""Bake layers into AMIs: preflight, plan, render, build, verify, and clean up after runs."""
