"""XLSR: network, training, quantisation, evaluation and the shipped models.

The stream processor imports `weights`, `files` and `inputs` alone; the rest is for training.
"""
