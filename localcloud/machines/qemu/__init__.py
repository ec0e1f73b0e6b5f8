"""Machines as QEMU virtual machines."""
