"""The protocol between the agent and its worker processes: requests and replies, without behaviour.

A worker answers a request with any number of streamed replies, then one last reply or a Fault. Paths are
relative to the root beside them, with "/" between folders and surrogates for undecodable bytes (PEP 383).
"""
