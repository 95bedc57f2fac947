"""Real-time video upscaling with XLSR."""

__version__ = "0.1.0"
