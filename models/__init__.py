"""The codec of latentedge: tensors and bytes, without HTTP and without the store.

Importing this package does not import torch.
"""
