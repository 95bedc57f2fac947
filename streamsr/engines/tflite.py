"""Reads the graph in a .tflite file, within bounds, and computes its receptive radius.

The bounds keep the work for a strange file far below what its size allows: all operations may share
one long vector.
"""

from dataclasses import dataclass

from streamsr.engines.flatbuffer import Damaged, Table, Tables
from streamsr.errors import ModelError
from streamsr.model import ModelFile

MOST_OPERATIONS = 1024
"""More than any super-resolution network for real time has: XLSR 15, FSRCNN about as many."""

MOST_OPERANDS = 64
"""Inputs or outputs of one operation."""

MOST_DIMENSIONS = 8

CONCATENATION, CONV, DEPTHWISE_CONV, DEPTH_TO_SPACE, QUANTIZE = 2, 3, 4, 5, 114

POINTWISE = {
    0: "ADD",
    CONCATENATION: "CONCATENATION",
    DEPTH_TO_SPACE: "DEPTH_TO_SPACE",
    18: "MUL",
    19: "RELU",
    21: "RELU6",
    54: "PRELU",
    55: "MAXIMUM",
    57: "MINIMUM",
    QUANTIZE: "QUANTIZE",
}
"""Operations whose output pixel sees that one pixel of each input."""

NAMES = {
    **POINTWISE,
    CONV: "CONV_2D",
    DEPTHWISE_CONV: "DEPTHWISE_CONV_2D",
    1: "AVERAGE_POOL_2D",
    6: "DEQUANTIZE",
    9: "FULLY_CONNECTED",
    17: "MAX_POOL_2D",
    22: "RESHAPE",
    23: "RESIZE_BILINEAR",
    25: "SOFTMAX",
    26: "SPACE_TO_DEPTH",
    32: "CUSTOM",
    34: "PAD",
    39: "TRANSPOSE",
    40: "MEAN",
    45: "STRIDED_SLICE",
    67: "TRANSPOSE_CONV",
    97: "RESIZE_NEAREST_NEIGHBOR",
}
"""For messages; another operation is named by its number."""


@dataclass(frozen=True, slots=True)
class Op:
    """An operation.

    code     its builtin code
    inputs   numbers of the tensors that it takes, -1 for none
    outputs  numbers of the tensors that it makes
    options  its options table
    """

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None

    @property
    def name(self) -> str:
        return NAMES.get(self.code, f"operation {self.code}")

    def number(self, field: int, kind: str = "<i", default: int = 0) -> int:
        return default if self.options is None else self.options.number(field, kind, default)


@dataclass(frozen=True, slots=True)
class Graph:
    """The only graph of a file; ``ops`` are in the order in which they run."""

    tensors: Tables
    buffers: Tables
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def tensor(self, index: int) -> Table:
        if not 0 <= index < len(self.tensors):
            raise Damaged(f"tensor {index}")
        return self.tensors[index]

    def shape(self, index: int) -> tuple[int, ...]:
        return self.tensor(index).ints(0, MOST_DIMENSIONS)

    def content(self, index: int, most: int) -> bytes:
        """Read what is stored for a tensor, at most ``most`` bytes; nothing for a computed one."""
        return self._buffer(index).bytes(0, 1, most)

    def is_stored(self, index: int) -> bool:
        return self._buffer(index).length(0, 1) > 0

    def _buffer(self, index: int) -> Table:
        buffer = self.tensor(index).number(2, "<I")
        if buffer >= len(self.buffers):
            raise Damaged(f"buffer {buffer}")
        return self.buffers[buffer]


def read_graph(data: bytes, *, most_operations: int = MOST_OPERATIONS) -> Graph:
    """Read the graph of a .tflite file. Raises ModelError for anything else, for several graphs and
    for more operations; Damaged for a broken file."""
    if data[4:8] != b"TFL3":
        raise ModelError("not a .tflite file")
    model = Table.root(data)
    graphs, codes = model.tables(2), model.tables(1)
    if len(graphs) != 1:
        raise ModelError(f"expected one graph, got {len(graphs)}")
    graph = graphs[0]
    listed = graph.tables(3)
    if len(listed) > most_operations:
        raise ModelError(f"expected at most {most_operations} operations, got {len(listed)}")
    ops = []
    for op in listed:
        code = op.number(0, "<I")
        if code >= len(codes):
            raise Damaged(f"operation of kind {code}")
        # Codes up to 127 stand in the older field, of one byte; a file may leave either at 0.
        kind = max(codes[code].number(0, "<b"), codes[code].number(3, "<i"))
        operands = op.ints(1, MOST_OPERANDS), op.ints(2, MOST_OPERANDS)
        ops.append(Op(kind, *operands, op.table(4) if op.number(3, "<B") else None))
    ends = graph.ints(1, MOST_OPERANDS), graph.ints(2, MOST_OPERANDS)
    return Graph(graph.tables(0), model.tables(4), tuple(ops), *ends)


def receptive_radius(model: ModelFile) -> int:
    """Compute how far, in LR pixels, an output pixel sees at most: along the longest path of the
    graph.

    A k x k convolution adds half of dilation * (k - 1), rounded up. Raises ModelError, in one line,
    for a graph whose radius is not known or that samples its input (a stride), since parts of such
    a picture would show seams.
    """
    try:
        return _radius(read_graph(model.content))
    except ValueError as error:
        problem = "not a super-resolution model that can be computed in parts"
        raise ModelError(f"{model.path}: {problem}: {error}") from None
    except Damaged as error:
        raise ModelError(f"{model.path}: the model file is damaged ({error})") from error
    except ModelError as error:
        raise ModelError(f"{model.path}: {error}") from None


def _radius(graph: Graph) -> int:
    """The receptive radius. Raises ValueError saying why it is not known, Damaged for a graph that
    does not hang together."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ValueError(f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs")
    seen = {graph.inputs[0]: 0}
    for op in graph.ops:
        for index in op.inputs:
            if index >= 0 and index not in seen and not graph.is_stored(index):
                raise Damaged(f"{op.name} takes tensor {index} before it is made")
        far = max((seen.get(index, 0) for index in op.inputs), default=0)
        seen |= dict.fromkeys(op.outputs, far + _own_radius(graph, op))
    if graph.outputs[0] not in seen:
        raise Damaged("nothing makes the output")
    return seen[graph.outputs[0]]


def _own_radius(graph: Graph, op: Op) -> int:
    """What one operation adds to the radius. Raises ValueError saying why that is not known."""
    if op.code in POINTWISE:
        return 0
    if op.code not in (CONV, DEPTHWISE_CONV):
        raise ValueError(f"it has {op.name}")
    if len(op.inputs) < 2 or op.inputs[1] < 0 or not graph.is_stored(op.inputs[1]):
        raise ValueError(f"it has {op.name} without stored weights")
    shape = graph.shape(op.inputs[1])
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"it has {op.name} with weights {list(shape)}")
    strides = op.number(1), op.number(2)
    if strides != (1, 1):
        raise ValueError(f"it has {op.name} with stride {max(strides)}")
    first = 4 if op.code == CONV else 5  # DEPTHWISE_CONV_2D has its multiplier before these
    dilations = op.number(first, default=1), op.number(first + 1, default=1)
    if min(dilations) < 1:
        raise ValueError(f"it has {op.name} with dilation {min(dilations)}")
    _, height, width, _ = shape
    # Padding is more on one side where the window's size is even.
    return max(-(-dilations[1] * (height - 1) // 2), -(-dilations[0] * (width - 1) // 2))
