"""Frozen data types that several packages share: images, versions, fleet, resources, references, names, prices."""
