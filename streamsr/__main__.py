"""``python -m streamsr``: the command line."""

from streamsr.cli import main

main()
