"""The GStreamer element ``streamsr``; it lies in ``python/``, where GStreamer's loader looks. See
docs/gstreamer.md."""
