"""Writes the measured parts of docs/quality.md; how every page with such parts is filled in."""
