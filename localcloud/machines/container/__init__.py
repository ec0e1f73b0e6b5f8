"""Machines as systemd-nspawn containers."""
