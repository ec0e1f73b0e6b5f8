"""Walls: each thing from outside (Packer, Jinja, HCL, the shell, AWS) enters through one module here."""
