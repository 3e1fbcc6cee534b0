"""The journal: what was done and what is half done, in SQLite."""
