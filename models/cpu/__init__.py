"""The fast decoder for a CPU: it decodes as the torch modules do, with fewer passes over memory."""
