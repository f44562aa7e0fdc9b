"""Differentiable operations, one folder each: façade, `reference.py`, `vectorised.py`."""
