"""Run the command line as a child process that ends with its parent: `python -m service.child_entry PID ARGUMENTS`."""

import sys

from service.cli import main
from service.render.parent_death import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv.pop(1)))
    main()
