"""The command `demo`: run an origin, an edge and a load generator on one machine, and show the figures."""
