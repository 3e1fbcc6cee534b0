"""Actors: receive, ask a rule, send. The only room, with app.py, that awaits."""
