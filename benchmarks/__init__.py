"""What `make bench` runs: each figure stands beside a peer or a limit that was measured in the same run.

Belongs here: one module per question, each with a `TITLE` and a `run` that returns rows, and what they share
(`report`, `servers`). Does not belong here: tests; nothing fails because a machine is slow. The ratios carry from
one machine to another, the figures do not. Servers run in processes of their own, so that they do not share the
interpreter lock with what is measured.
"""
