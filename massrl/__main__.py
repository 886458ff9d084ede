"""`python -m massrl` is the `massrl` command."""

import sys

from massrl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
