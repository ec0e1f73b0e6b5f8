"""The server process of the cloud, and its HTTP gateway to moto."""
