"""The HTTP front of the cloud: the process and the gateway to moto."""
