"""The main file of a driver pod: what `python -m headrace_spark` runs, as a file that spark-submit can be given."""

from __future__ import annotations

import sys

from headrace_spark.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
