"""Makes uint8 .tflite files: simulated in training, equalised, exported, rewritten."""
