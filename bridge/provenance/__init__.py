"""Where a model file comes from, what its makers say of it, what is in it, and who signed it."""
