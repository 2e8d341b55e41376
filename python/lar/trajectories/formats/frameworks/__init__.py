"""Runs of agent frameworks."""
