"""The command line, a room for each subject: a task parses, composes, calls a flow and prints; there is no logic here.

The package is imported inside the tasks, so that `--list` and `--help` answer at once.
"""
