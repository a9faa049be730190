"""A real year of flights, a small model, and the traffic they make."""
