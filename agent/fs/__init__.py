"""The operating system's file calls, blocking; they belong into worker processes."""
