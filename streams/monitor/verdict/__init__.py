"""From a closed window to alerts."""
