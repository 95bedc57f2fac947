"""``python -m streamsr.cli``, as `python -m streamsr`."""

from streamsr.cli import main

main()
