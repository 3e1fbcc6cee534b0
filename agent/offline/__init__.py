"""Verbs that need no running agent: verify and dry run."""
