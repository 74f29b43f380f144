"""What lists, pages, exports, stories and run metadata read: queries and plain values, no writing.

Belongs here: every SELECT that answers a person's question, whoever shows it (web, shell, Dagster). Does not belong
here: how it is shown, and what a stage reads to do its work (`pipeline`).
"""
