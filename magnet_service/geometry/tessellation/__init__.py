"""The exact tessellation of a slice of the latent space."""
