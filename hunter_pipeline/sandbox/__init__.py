"""A local stand-in for what cannot be had on a laptop: Partner Center, its identity provider, a DNS zone.

Speaks the documented protocols over real HTTPS, UDP and TCP on loopback. The product's code never knows
that it is there: only settings point at it.
"""
