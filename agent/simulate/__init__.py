"""The growth simulator writes files the way recorders, encoders, copiers and network clients do.

It is no part of the service. The steps are planned first, without touching the file system:

- `containers` lays out a container as its writers leave it, `WriterOptions` say how a writer behaves, and a
  `Profile` is a known pair of both.
- A `Run` turns them into steps in the order of time.
- A `Player` performs the steps in a folder. It computes the expected content of each file from the steps
  alone, so the result holds even if a file has been moved meanwhile.
"""
