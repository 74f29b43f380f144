"""The only package that imports Dagster: assets, checks, jobs, schedules, sensors, resources.

Bodies are thin: they call one `pipeline` function and turn its report into metadata.
"""
