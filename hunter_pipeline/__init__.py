"""Hunter turns Microsoft Partner Center referrals into scored, explained sales leads.

Pure packages do the work (`partner_center`, `domains`, `scan`, `scoring`, `store`), `pipeline` joins
them stage by stage, and `orchestration`, `web` and `cli` are the three ways in. Nothing happens at import.
"""
