"""What the cloud keeps on the disk: state, base image, disks, S3 bodies."""
