"""Arranges a network for a kind of kernels."""

from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.graph import Network
from streamsr.engines.fused.taps import Plan, padded, shape_of


def plan(network: Network, isa: Isa) -> Plan:
    """Lay ``network`` out for ``isa``."""
    shape, network = shape_of(network), padded(network)
    # Imported here, as in `library`: what another kind needs would take 10 ms at every start.
    if isa.by_blocks:
        from streamsr.engines.fused.plan_blocks import plan_blocks

        return plan_blocks(network, shape, isa)
    from streamsr.engines.fused.plan_rows import plan_rows

    return plan_rows(network, shape, isa)
