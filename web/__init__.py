"""The web face of the agent: it knows the desk and nothing else."""
