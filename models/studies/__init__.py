"""Comparisons of autoencoders, to answer the questions of a research note: `latentedge study`."""
