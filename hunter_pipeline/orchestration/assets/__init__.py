"""The assets, grouped as in the UI: `referrals` (from the API to leads) and `scoring` (from domain to score)."""
