"""Upscaling under a latency budget: `budget` decides, `stage` does it; `capacity` names what
fits."""
