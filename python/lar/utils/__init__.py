"""What every package here may use: files replaced in one step, paths, options, logging, progress, processes."""
