"""Long runs of NUTS on networks, kept with the book: what other methods are held against.

A page cannot wait an hour, so the draws that it compares with are made once, by
``nox -s references``, and stored: ``recipes`` says of what and how, ``run`` makes them, ``store``
gives them out with their diagnostics, after a check that recipe and data are still the same.
"""
