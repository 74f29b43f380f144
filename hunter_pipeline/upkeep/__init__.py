"""What keeps old data from growing wrong or large: retention and rescans.

Belongs here: work on a rhythm of its own that no sync waits for. Does not belong here: the rhythm, which is
Dagster's (`orchestration.upkeep`), and the stages of a sync (`pipeline`).
"""
