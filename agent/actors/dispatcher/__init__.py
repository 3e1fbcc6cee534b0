"""The dispatcher: which file is copied next, and what becomes of one that did not arrive."""
