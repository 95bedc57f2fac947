from dataclasses import dataclass
import numpy as np
@dataclass
class Conv:
    weights: object
    bias: object
    scale: object
    groups: int
    in_zero: int
    out_zero: int
    out_low: int
    out_high: int
@dataclass
class Network:
    scale: int
    stem: Conv
    point: Conv
    blocks: tuple
    side: Conv
    join: Conv
    head: Conv
