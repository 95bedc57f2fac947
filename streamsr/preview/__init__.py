"""Live previews: a window and a web page. `streamsr.preview.preview.Preview` is their contract."""
