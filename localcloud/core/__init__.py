"""What every service of the cloud shares: requests, addresses, queues, periodic tasks, faults."""
