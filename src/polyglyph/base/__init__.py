"""What every room stands on: errors, strict configs, progress, atomic writes. Never torch."""
