"""AMIs that exist: catalog, diff, copy, retire, prune, and unused launch template versions."""
