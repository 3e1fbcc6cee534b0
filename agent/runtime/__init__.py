"""The process: every nursery and channel, restarts, signals, start and stop."""
