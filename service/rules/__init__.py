"""The rules of HTTP as pure functions: no I/O, no clock. The only library used here parses structured fields."""
