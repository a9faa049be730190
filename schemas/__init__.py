"""What travels on the topics: rows and frames in, alerts and retraining events out, control."""
