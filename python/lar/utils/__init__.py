"""Helpers for all packages: files replaced in one step, progress, processes."""
