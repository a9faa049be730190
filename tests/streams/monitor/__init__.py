"""Logs to try the core on, and a driver that cuts them into batches anywhere."""
