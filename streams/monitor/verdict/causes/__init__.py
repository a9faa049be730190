"""What an incident looks like: a cause is a file here, and a line of the registry."""
