"""Trained weights: one `.safetensors` file and one `.json` card a model."""
