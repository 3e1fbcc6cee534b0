"""The source side: scan, examine, watch for events, remove."""
