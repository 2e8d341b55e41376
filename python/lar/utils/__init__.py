"""What every package here may use: files replaced in one step, progress, processes."""
