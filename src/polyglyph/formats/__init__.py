"""Bytes to numpy arrays and back, one file per format. Never torch."""
