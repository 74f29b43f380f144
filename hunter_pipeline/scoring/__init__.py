"""From signals to a score that explains itself: the rules file, its checks, and the pure scorer.

Nothing here asks DNS or a database. Numbers live in `rules.yaml`, never in code.
"""
