"""Closed forms and grids: the answers that approximations are scored against."""
