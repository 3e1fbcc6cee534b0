"""A destination in an object store that speaks S3. Imported only where one is used: boto3 takes 1.5 s."""
