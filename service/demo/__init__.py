"""The demonstration: an origin, an edge and a load generator on one machine. Part of the command line."""
