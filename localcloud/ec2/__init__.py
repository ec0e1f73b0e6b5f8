"""EC2: images, instances, volumes, launch templates, the metadata service."""
