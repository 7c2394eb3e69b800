"""The commands of `latentedge`. Each module builds the objects that its command needs, and prints the result."""
