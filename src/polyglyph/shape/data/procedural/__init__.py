"""Parametric textured meshes with part labels and captions: data that needs no download."""
