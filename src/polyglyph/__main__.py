"""`python -m polyglyph VERB ...`, which is how launchers such as torchrun start it."""

import sys

from polyglyph.cli import main

if __name__ == "__main__":
    sys.exit(main())
