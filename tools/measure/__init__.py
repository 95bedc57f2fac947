"""Measurements of minutes, for a quiet machine; each writes a file of docs/data.

``python -m tools.measure.NAME``
"""
