"""From float weights to uint8 .tflite files: simulated in training, equalized, exported, rewritten.
"""
