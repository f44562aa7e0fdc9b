"""Models that make meshes, and the data they learn from. Importing this loads nothing heavy."""
