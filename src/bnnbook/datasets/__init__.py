"""One module a data set, each with a ``load`` or a ``simulate``."""
