"""Spans, traces and gateways: logs of single model calls."""
