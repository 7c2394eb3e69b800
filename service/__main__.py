"""`python -m service` is `latentedge`."""

from service.cli import main

main()
