"""The fast decoder of a CPU: the same pictures with fewer passes over memory than torch makes."""
