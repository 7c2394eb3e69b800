"""Fetch pictures from the origin and the parent. Stores nothing."""
