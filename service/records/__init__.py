"""What the store holds of pictures, and who may change it."""
