"""Requests and replies of model interfaces."""
