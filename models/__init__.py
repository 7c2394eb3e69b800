"""The codec of latentedge: tensors and bytes. Knows nothing of HTTP or of the store; importing it imports no torch."""
