"""The fleet's AWS resources: describe and create network, role, load balancer and Auto Scaling group."""
