"""What a domain's public records say: DNS look-ups, e-mail security, mailbox provider, registration.

Look-ups return facts with their status; meaning is derived by pure functions, so that better rules can
re-read old replies. Nothing here knows referrals, scores or tables.
"""
