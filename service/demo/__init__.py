"""The demonstration: an origin, an edge and a load on one machine, and what it came to. Part of the command line."""
