"""The decoder once more, for processors: fewer passes over memory than torch makes, the same pictures."""
