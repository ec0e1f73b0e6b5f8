"""S3 requests that moto and AWS answer differently."""
