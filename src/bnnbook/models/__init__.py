"""NumPyro models, written once and used by every method."""
