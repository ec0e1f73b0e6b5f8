"""The monthly rebuild: check what is due, rebuild, report, notify; its schedule on systemd and on AWS."""
