"""The ids of the screen mode, in place of those of weights and heads. Standard library only."""

SCREEN_STREAM_ID = b"scr1"
"""The stream id of a screen stream, which needs no weights. It changes with the coder.

A release that does not know it treats such a record as one of other weights, which is a miss.
"""
SCREEN_HEAD_ID = b"scr1"
"""Stands for the head of a screen stream in entity tags. Change it whenever decoded pixels may change."""
