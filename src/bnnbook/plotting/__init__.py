"""One style for every figure, light and dark."""
