"""The comparisons of autoencoders that a research note asks for: `latentedge study`."""
