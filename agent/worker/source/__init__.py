"""The source side: scan and examine files, watch for events, open a file unchanged, remove it."""
