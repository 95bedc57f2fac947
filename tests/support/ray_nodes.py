"""A Ray cluster of several nodes on this machine, in a process of its own: pytest makes errors of
Ray's many warnings.

Says the address on standard error; then takes ``add`` or ``remove`` (a kill) of a node of one core
on standard input, a line each, and answers with a line; stops at its end.
"""

import sys

from ray.cluster_utils import Cluster

STORE_BYTES = 80 << 20  # about the least that Ray takes


def main() -> None:
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        },
    )
    nodes = []
    print("address", cluster.address, file=sys.stderr, flush=True)
    for line in sys.stdin:
        if line.strip() == "add":
            nodes.append(cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES))
        elif line.strip() == "remove":
            cluster.remove_node(nodes.pop(0), allow_graceful=False)
        print("nodes", len(nodes), file=sys.stderr, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
