"""Upscaling under a latency budget: `budget` decides, `stage` does it, `capacity` says what fits."""
