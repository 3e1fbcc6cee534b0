"""The destinations: one contract, a folder and an S3 bucket behind it."""
