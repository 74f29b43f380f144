"""The stages of a sync with their books: what to select, which pure function to call, what to write.

Each stage is one function of a `StageContext` and its inputs that returns frozen counts. It is
incremental and idempotent: it takes what is not yet done at its current code version, so a killed run is
healed by the next. No Dagster here. What people read of the tables is in `readers`, what judges them in `quality`,
and what looks after them in `upkeep`.
"""
