"""Training of the codec. Only the command line imports this, inside its commands."""
