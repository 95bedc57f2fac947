"""What a training step is made of: forward pass, gradient, worker processes, optimizer, checkpoint.
"""
