"""husai: which features of a sparse autoencoder come back beyond matched nulls, are true, and matter to the model."""
