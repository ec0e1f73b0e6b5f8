"""Development: doctor, linters and tests, generated docs."""
