"""PostgreSQL: tables, migrations, connections, and the embedded server.

Knows how rows are kept, not what they mean. No other package writes connection code.
"""
