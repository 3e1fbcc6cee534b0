"""The stability tracker of one route."""
