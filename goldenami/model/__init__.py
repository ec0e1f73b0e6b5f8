"""Frozen nouns that several subjects share: images, versions, the fleet, resources, references, names, prices."""
