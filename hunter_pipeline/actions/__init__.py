"""Acting on referrals at Partner Center: the one place from which the product writes there.

Belongs here: asking for a change, sending it, finding out what became of it, and the book of every attempt. Does not
belong here: what may be changed (`partner_center.changes`), and how it is asked for on a page or in a shell, which
both come through `act`. Off by default: without HUNTER_PARTNER_CENTER_WRITE_ENABLED nothing here is reached.
"""
