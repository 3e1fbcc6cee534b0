"""The configuration: read, checked, and handed out frozen."""
