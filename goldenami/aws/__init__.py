"""AWS through boto3, one module per service; no other package imports boto3."""
