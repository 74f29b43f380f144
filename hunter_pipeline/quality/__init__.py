"""Whether the data can be trusted: gates that stop a run, claims that warn, alerts that tell somebody.

Belongs here: rules about what is in the tables, each judged by a pure function, and the messages about what broke.
Does not belong here: mending it, and Dagster's checks, which only render a verdict (`orchestration.checks`).
"""
