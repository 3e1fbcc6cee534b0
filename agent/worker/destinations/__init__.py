"""The destinations: one contract (`base`), implemented by a folder and by an S3 bucket."""
