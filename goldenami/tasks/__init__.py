"""Command line: a module per subject. A task parses its options, calls one operation and prints its report.

Tasks import the package inside their bodies, so that `--list` and `--help` are fast.
"""
