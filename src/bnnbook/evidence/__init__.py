"""Estimators of the model evidence, one module each, all with the same record."""
