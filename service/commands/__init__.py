"""What the commands do. Part of the command line: it builds what it needs and reports to a person."""
