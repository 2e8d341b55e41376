"""Helpers for all packages: files replaced in one step, paths, options as keywords, progress, processes."""
