"""Files of the cloud: API state, base image, disks and bodies of S3 objects."""
