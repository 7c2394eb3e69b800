"""Pictures of an edge under load, to look at: `python -m tests.pictures`."""
