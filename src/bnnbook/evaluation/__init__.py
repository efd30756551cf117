"""Scores, coverage and calibration: how good a prediction was, whoever made it."""
