"""The broadcaster: the read model of all files and routes, and its subscribers."""
