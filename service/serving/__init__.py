"""Build, start, supervise and stop the processes of an edge."""
