"""Meshes in, pictures out: import, procedural shapes, rendering, splits and reading. Loads nothing heavy."""
