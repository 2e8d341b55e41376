"""What every package here may use: files, paths, options as keywords, progress, processes."""
