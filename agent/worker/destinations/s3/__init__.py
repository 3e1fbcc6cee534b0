"""A destination in an S3 bucket. Imported only where one is configured: boto3 takes half a second to load."""
