"""A destination in an S3 bucket. It is imported only where one is configured: boto3 takes half a second to load."""
