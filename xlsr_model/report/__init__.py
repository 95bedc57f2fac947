"""Writes the measured part of docs/quality.md."""
