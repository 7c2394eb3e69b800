"""The metrics of an edge: counters, gauges, histograms and timers, and the values of their labels."""
