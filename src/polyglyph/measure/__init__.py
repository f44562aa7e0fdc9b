"""How good the shapes are. Every number comes with its protocol."""
