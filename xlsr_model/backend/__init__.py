"""Parts of a training step: forward pass, gradient, worker processes, optimiser, checkpoint."""
