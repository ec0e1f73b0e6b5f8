"""Checks of this machine and this checkout: doctor, linters and tests, generated docs."""
