"""The origin of a model file, its makers' card, its bill of materials, and its signature."""
