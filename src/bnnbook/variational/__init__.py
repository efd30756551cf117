"""Variational inference: the member of a family that is nearest to a posterior."""
