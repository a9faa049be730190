"""Honest numbers: traffic at full speed, peers in the same run, ratios instead of seconds."""
