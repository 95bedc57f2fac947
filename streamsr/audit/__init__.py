"""Compares an output with its input: `streamsr.audit.compare.audit`."""
