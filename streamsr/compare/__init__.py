"""Makes a sheet on which a film's choices can be seen side by side, with what each would cost."""
