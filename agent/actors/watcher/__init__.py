"""The directory watcher of one route."""
