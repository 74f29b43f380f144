"""The PostgreSQL server that Hunter brings along, for when no server is configured.

Belongs here: its files and programs (`server`), the account it runs under (`account`), and who uses it (`users`,
which the rest of the product calls). Does not belong here: the databases inside, which are made as on any server
(`store.engine`).
"""
