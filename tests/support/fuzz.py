"""Fuzzing guided by coverage, with libFuzzer's options after the parser's name; needs ``pip install
atheris``.

python -m tests.support.fuzz y4m -max_total_time=60
"""

import sys

import atheris  # type: ignore[import-not-found]  # a tool, not a dependency

OURS = [
    "streamsr.sources.y4m",
    "streamsr.segments.ledger",
    "streamsr.cli.pipeline_file",
    "streamsr.engines",
]
with atheris.instrument_imports(include=OURS):
    from tests.support.parsers import PARSERS

atheris.Setup(sys.argv, PARSERS[sys.argv.pop(1)])
atheris.Fuzz()
