"""Metrics: counters, timers and the values of their labels."""
