"""Measure the codec against other formats: figures, tables and plots."""
