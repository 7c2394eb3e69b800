"""Training of the codec. The commands `latentedge train` and `latentedge pack` import it, a running edge does not."""
