"""The code that runs inside a worker process, the only one that touches a source or a destination."""
