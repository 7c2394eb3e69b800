"""The decoder once more, for processors with bf16: fewer passes over memory than torch makes, the same pictures."""
