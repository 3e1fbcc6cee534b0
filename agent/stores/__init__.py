"""Stores: blocking code that touches the world; no event loop. It runs inside workers and threads."""
