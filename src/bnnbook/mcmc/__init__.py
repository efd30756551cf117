"""Markov chain Monte Carlo: samplers whose draws all end in one container."""
