"""The records of pictures in the store: their formats, and the rules for reading, writing and purging them."""
