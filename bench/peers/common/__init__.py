"""What the cases of the PyTorch side share."""
