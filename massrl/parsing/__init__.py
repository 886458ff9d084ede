"""Settings from a command line, a file or keywords; a wrong one is answered in one line."""

import os

# Lightning 2.6 calls what jsonargparse 4.49 deprecated; read when jsonargparse is imported.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
