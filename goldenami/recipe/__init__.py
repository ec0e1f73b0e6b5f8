"""The recipe (golden.toml): its fields, its sections, the rules between keys, and how it is read."""
