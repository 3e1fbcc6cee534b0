"""transfer-agent: safe delivery of media files."""

__version__ = "0.1.0"
