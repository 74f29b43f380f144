"""Microsoft Partner Center: sign-in, token cache, referrals API and the shape of a referral.

Knows Microsoft's protocols and nothing of domains, scores, tables or Dagster.
Whatever the API may send is kept; only what Hunter uses is read out of it.
"""
