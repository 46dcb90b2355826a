"""Classical models: their trees in one operator, and their comparison with the object they were read from, on
records made of what it knows."""
