"""The processes of an edge: how they are built, started, watched and ended."""
