"""XLSR: definition, data, training, quantisation, evaluation and the shipped models.

Only ``xlsr_model.weights`` is imported by the stream processor; everything else belongs to the
training side.
"""
