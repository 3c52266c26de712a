"""bpnet: train, prune, quantise and deploy multi-person 2D pose networks."""

__version__ = "0.1.0"
