"""What SAEs do to activations and to the model that made them."""
