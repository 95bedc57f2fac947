"""The IR of each loop and of what it calls, by the loop's name."""

from streamsr.native import (
    compare_ir,
    consistent_ir,
    detail_ir,
    from_rgb_ir,
    sharpen_ir,
    to_rgb_ir,
)

SMALL_MINMAX = [
    *(f"declare i16 @llvm.{which}.i16(i16, i16)" for which in ("smin", "smax")),
    *(f"declare i8 @llvm.{which}.i8(i8, i8)" for which in ("umin", "umax")),
]


def module(name: str) -> str:
    """IR of one loop and what it calls.

    ``name`` is ``compare``, ``detail``, ``blend`` or ``sharpen``; ``consistent`` with a scale; or
    ``to_rgb`` or ``from_rgb`` with the bits that it reads and writes, such as ``to_rgb_8_16``.
    """
    minmax = [
        f"declare i{n} @llvm.{m}.i{n}(i{n}, i{n})" for n in (32, 64) for m in ("smin", "smax")
    ]
    kind, *bits = name.rsplit("_", 2)
    if kind == "to_rgb":
        read, write = map(int, bits)
        parts = [
            to_rgb_ir.widen(read),
            to_rgb_ir.mix(read, write),
            to_rgb_ir.pack(write),
            to_rgb_ir.to_rgb(read, write),
        ]
    elif kind == "from_rgb":
        read, write = map(int, bits)
        parts = [
            from_rgb_ir.unpack(read),
            from_rgb_ir.weigh(read, write),
            from_rgb_ir.accumulate(read),
            from_rgb_ir.subsample(write),
            from_rgb_ir.from_rgb(read, write),
        ]
    elif kind == "compare":
        parts = [compare_ir.compare()]
    elif kind == "consistent":
        scale = int(bits[0])
        parts = [
            *SMALL_MINMAX,
            consistent_ir.lost(scale),
            consistent_ir.across(),
            consistent_ir.down(),
            consistent_ir.between(),
            consistent_ir.spread(scale),
            consistent_ir.add(),
            consistent_ir.consistent(scale),
        ]
    elif kind == "blend":
        parts = [sharpen_ir.blend()]
    elif kind == "sharpen":
        parts = [
            *SMALL_MINMAX,
            "declare float @llvm.sqrt.f32(float)",
            from_rgb_ir.unpack(8),
            to_rgb_ir.pack(8),
            sharpen_ir.luma(),
            sharpen_ir.change(),
            sharpen_ir.limited(),
            sharpen_ir.sharpen(),
        ]
    else:
        parts = ["declare i32 @llvm.abs.i32(i32, i1)", detail_ir.detail()]
    return "\n".join([*minmax, *parts])
