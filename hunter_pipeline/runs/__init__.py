"""How a run is asked for and told to be alive, whoever asks: schedule, shell or web server.

Belongs here: names and tags of a sync's run, and its sign of life in PostgreSQL. Does not belong here: Dagster,
which carries runs out (`orchestration`), and the books of a sync (`pipeline.sync_runs`).
"""
