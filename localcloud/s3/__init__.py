"""S3 requests that moto answers otherwise than AWS."""
