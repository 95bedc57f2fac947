"""Measures how fast this machine upscales; `streamsr bench` prints the report."""

from streamsr.bench.measure import FRAMES, measure
from streamsr.bench.report import Report

__all__ = ["FRAMES", "Report", "measure"]
