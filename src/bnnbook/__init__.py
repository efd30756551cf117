"""The tested package behind "From Least Squares to Bayesian Neural Networks"."""
