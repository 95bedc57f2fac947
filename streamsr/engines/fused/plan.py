"""Arranges a network for a kind of kernels."""

from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.graph import Network
from streamsr.engines.fused.plan_blocks import plan_blocks
from streamsr.engines.fused.plan_rows import plan_rows
from streamsr.engines.fused.taps import Plan


def plan(network: Network, isa: Isa) -> Plan:
    """Lay ``network`` out for ``isa``."""
    return (plan_blocks if isa.by_blocks else plan_rows)(network, isa)
