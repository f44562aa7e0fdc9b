"""What every training shares: devices, run and model folders, checkpoints, moving averages."""
