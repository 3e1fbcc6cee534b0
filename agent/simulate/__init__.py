"""Growth simulator: writes files the way recorders, encoders, copiers and network clients do.

It is no part of the service. What is written is decided first, without touching anything: a form lays a
container out as its writers leave it (`forms`), habits say how a writer behaves (`habits`), a manner is a
known pair of both (`manners`), and a `Run` turns them into steps in the order of time. `Player` carries the
steps out on a folder, and knows by itself what must stand there in the end, whatever has become of it since.
"""
