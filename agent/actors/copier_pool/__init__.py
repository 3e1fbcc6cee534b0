"""The copier pool of one destination."""
