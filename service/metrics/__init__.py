"""What the edge counts and times, and the values of the labels."""
