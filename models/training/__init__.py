"""Training and evaluation of the codec. Nothing of the service imports this but the command line, inside its commands."""
