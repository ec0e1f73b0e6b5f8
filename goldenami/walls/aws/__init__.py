"""The only door to AWS (boto3): one module a subject, functions that take a connection."""
