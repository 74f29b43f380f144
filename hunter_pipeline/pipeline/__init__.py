"""One module per stage: what to select, which pure function to call, what to write.

Each stage is one function of a `StageContext` and its inputs that returns frozen counts. It is
incremental and idempotent: it takes what is not yet done at its current code version, so a killed run is
healed by the next. No Dagster here.
"""
