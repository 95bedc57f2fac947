"""A queue of files to upscale that outlives its program, a page for it, and folders that are
watched."""
