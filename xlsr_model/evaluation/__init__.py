"""Measures .tflite files on pictures and on video, and writes the result into model cards."""
