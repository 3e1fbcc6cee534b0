"""The actors: each folder has `actor.py`, which receives and sends, beside pure files that decide."""
