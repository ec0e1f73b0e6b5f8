"""Third-party libraries and other programs, each used in one module only."""
