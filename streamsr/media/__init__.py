"""Reading and writing media files through FFmpeg (PyAV): streams, frames, containers, codecs."""
