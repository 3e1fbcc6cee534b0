"""Requests to worker processes and their replies. No behaviour.

A request is answered by any number of streamed replies and one last one, or by a Fault.
Paths are relative to the root beside them, with "/" between folders and surrogates for undecodable bytes.
"""
