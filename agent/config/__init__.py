"""The configuration: loaded, checked, and passed on as frozen values."""
