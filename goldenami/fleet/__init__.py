"""Create, show, update and delete the fleet; its instances."""
