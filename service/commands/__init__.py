"""The commands of the command line. Each builds the objects that it needs, and prints its result."""
