"""`python -m latentedge` is `latentedge`."""

from service.cli import main

main()
