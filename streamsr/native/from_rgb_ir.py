"""The loop from RGB pixels to YUV planes, as LLVM IR.

Each function here emits one IR function and names its twin in `reference`, which computes the same
bytes in NumPy. Rows of luma and RGB are samples of 8 or 16 bits; rows of sums, from which chroma is
made, are float32 and have one sample more in front and behind.
"""

from streamsr.native.rows import LANES, PLANES_AND_PIXELS, RowFunction

POINTERS = ["rgb", "y", "u", "v", "scratch", "k"]
SIZES = [
    *("y_stride", "c_stride", "rgb_stride"),
    *("width", "height", "columns", "lines", "half", "rows"),
    *("sub_x", "sub_y"),
]
"""int64 words of a call: addresses of the pixels, of the planes, of scratch rows and of the
constants ``k``; then strides in bytes and sizes in samples: ``width`` x ``height`` of the picture,
``columns`` x ``lines`` of luma, ``half`` x ``rows`` of chroma. ``sub_x`` and ``sub_y`` are 1 where
chroma has half the samples."""

ENCODE = [
    *("yr", "yg", "yb"),
    *("ur", "ug", "ub"),
    *("vr", "vg", "vb"),
    *("y_zero", "c_zero", "top", "scale", "before", "middle"),
]
"""float32 constants of a call, see `picture.yuv.Converter`; ``top`` is the highest level
written."""

_RGB = "ptr noalias %r, ptr noalias %g, ptr noalias %b, i64 %width, float %cr, float %cg, float %cb"


def unpack(bits: int) -> str:
    """Emit ``unpack_8`` or ``unpack_16``: RGB pixels become rows of R, G and B, as in
    `to_rgb_ir.pack`.

    Twin: `reference.unpack`. The loop over whole vectors of 8 bits::

        %v6 = getelementptr i8, ptr %rgb, i64 %v5
        %v7 = load <96 x i8>, ptr %v6, align 1
        %v8 = shufflevector <96 x i8> %v7, <96 x i8> %v7, <32 x i32> <i32 0, i32 3, i32 6, ...>
        %v9 = getelementptr i8, ptr %r, i64 %v4
        store <32 x i8> %v8, ptr %v9, align 1
        %v10 = shufflevector <96 x i8> %v7, <96 x i8> %v7, <32 x i32> <i32 1, i32 4, i32 7, ...>
        %v11 = getelementptr i8, ptr %g, i64 %v4
        store <32 x i8> %v10, ptr %v11, align 1
        %v12 = shufflevector <96 x i8> %v7, <96 x i8> %v7, <32 x i32> <i32 2, i32 5, i32 8, ...>
        %v13 = getelementptr i8, ptr %b, i64 %v4
        store <32 x i8> %v12, ptr %v13, align 1
    """
    f = RowFunction(f"unpack_{bits}", PLANES_AND_PIXELS)
    planes = ["%r", "%g", "%b"]
    size = bits // 8
    one = f"i{bits}"
    n = LANES
    whole = f(f"and i64 %width, {-n}")
    with f.loop(0, whole, n) as x:
        at = f.mul(x, size)
        rgb = f.load(f"<{3 * n} x {one}>", "%rgb", f.mul(x, 3 * size))
        for i, plane in enumerate(planes):
            channel = f.pick(3 * n, one, rgb, rgb, range(i, 3 * n, 3))
            f.store(f"<{n} x {one}>", channel, plane, at)
    with f.loop(whole, "%width") as x:
        at = f.mul(x, size)
        pixel = f.mul(x, 3 * size)
        for i, plane in enumerate(planes):
            f.store(one, f.load(one, "%rgb", f.add(pixel, i * size)), plane, at)
    return f.text()


def _weighted(f: RowFunction, bits: int, start: str, x: str) -> str:
    """``start + cr * r[x] + cg * g[x] + cb * b[x]``, from left to right."""
    for plane in "rgb":
        start = f.multiply_add(start, f.load_sample(bits, f"%{plane}", x), f"%c{plane}")
    return start


def weigh(read: int, write: int) -> str:
    """Emit ``weigh_READ_WRITE``: one row of luma, its last sample repeated up to ``columns``.

    Twin: `reference.weigh`. The middle of its first loop from 8 bits::

        %v6 = uitofp i8 %v5 to float
        %v7 = fmul nnan nsz float %v6, %cr
        %v8 = fadd nnan nsz float %zero, %v7
        ...
        %v13 = fmul nnan nsz float %v12, %cg
        %v14 = fadd nnan nsz float %v8, %v13
        ...
        %v19 = fmul nnan nsz float %v18, %cb
        %v20 = fadd nnan nsz float %v14, %v19
        %v21 = fptosi float %v20 to i32
        %v22 = fptosi float %top to i32
        %v23 = call i32 @llvm.smin.i32(i32 %v21, i32 %v22)
        %v24 = call i32 @llvm.smax.i32(i32 %v23, i32 0)
    """
    params = f"{_RGB}, float %zero, float %top, ptr noalias %out, i64 %columns"
    f = RowFunction(f"weigh_{read}_{write}", params)
    with f.loop(0, "%width") as x:
        f.store_sample(write, _weighted(f, read, "%zero", x), "%top", "%out", x)
    size = write // 8
    last = f.load(f"i{write}", "%out", f.mul(f.add("%width", -1), size))
    with f.loop("%width", "%columns") as x:
        f.store(f"i{write}", last, "%out", f.mul(x, size))
    return f.text()


def accumulate(bits: int) -> str:
    """Emit ``add_8`` or ``add_16``: ``row[x + 1] = row[x + 1] * kept + weighted sum``.

    Twin: `reference.accumulate`. The ends of its loop from 8 bits::

        %v3 = add i64 %i1, 1
        %v4 = mul i64 %v3, 4
        %v5 = getelementptr i8, ptr %row, i64 %v4
        %v6 = load float, ptr %v5, align 1
        %v7 = fmul nnan nsz float %v6, %kept
        ...
        %v12 = fmul nnan nsz float %v11, %cr
        %v13 = fadd nnan nsz float %v7, %v12
        ...
        %v25 = fadd nnan nsz float %v19, %v24
        %v26 = add i64 %i1, 1
        %v27 = mul i64 %v26, 4
        %v28 = getelementptr i8, ptr %row, i64 %v27
        store float %v25, ptr %v28, align 1
    """
    f = RowFunction(f"add_{bits}", f"{_RGB}, float %kept, ptr noalias %row")
    with f.loop(0, "%width") as x:
        before = f.op("mul", f.load_float("%row", f.add(x, 1)), "%kept")
        f.store_float(_weighted(f, bits, before, x), "%row", f.add(x, 1))
    return f.text()


def subsample(bits: int) -> str:
    """Emit ``subsample_8`` or ``subsample_16``: one row of chroma from sums at luma's width.

    Twin: `reference.subsample`. The middle of the loop where columns are halved, with ``c_zero`` in
    %v2, ``scale`` in %v6, ``before`` in %v8 and ``middle`` in %v10::

        %v18 = load float, ptr %v17, align 1
        %v19 = fmul nnan nsz float %v18, %v8
        %v20 = getelementptr i8, ptr %v16, i64 4
        %v21 = load float, ptr %v20, align 1
        %v22 = fmul nnan nsz float %v21, %v10
        %v23 = fadd nnan nsz float %v19, %v22
        %v24 = getelementptr i8, ptr %v16, i64 8
        %v25 = load float, ptr %v24, align 1
        %v26 = fadd nnan nsz float %v23, %v25
        %v27 = fmul nnan nsz float %v26, %v6
        %v28 = fadd nnan nsz float %v2, %v27
        %v29 = fptosi float %v28 to i32
    """
    params = "ptr noalias %row, ptr noalias %out, i64 %half, i64 %sub, ptr %k"
    f = RowFunction(f"subsample_{bits}", params)
    zero, top, scale, before, middle = f.constants(
        ENCODE, "c_zero", "top", "scale", "before", "middle"
    )
    halved = f.is_nonzero("%sub")
    with f.when(halved), f.loop(0, "%half") as x:
        at = f.at("%row", f.mul(x, 8))
        total = f.op("mul", f.load_float(at, 0), before)
        total = f.multiply_add(total, f.load_float(at, 1), middle)
        total = f.op("add", total, f.load_float(at, 2))
        f.store_sample(bits, f.multiply_add(zero, total, scale), top, "%out", x)
    with f.when(f.negated(halved)), f.loop(0, "%half") as x:
        total = f.load_float("%row", f.add(x, 1))
        f.store_sample(bits, f.multiply_add(zero, total, scale), top, "%out", x)
    return f.text()


def from_rgb(read: int, write: int) -> str:
    """Emit ``from_rgb_READ_WRITE``: RGB pixels of READ bits to planes of WRITE bits, row by row.

    Twin: `reference.from_rgb`. Calls the functions above for each row of chroma and the one or two
    rows of luma that share it; scratch holds two rows of sums and a row each of R, G and B. Of the
    inner loop, where %v39 and %v75 are the sums and %v97 is 0 for the first row, 1 for the
    second::

        call void @unpack_8(ptr %v78, ptr %v80, ptr %v82, ptr %v92, i64 %v20)
        %v93 = icmp slt i64 %v88, %v26
        br i1 %v93, label %then94, label %done94
        then94:
        %v95 = mul i64 %v88, %v14
        %v96 = getelementptr i8, ptr %v36, i64 %v95
        call void @weigh_8_8(ptr %v78, ptr %v80, ptr %v82, i64 %v20, ..., i64 %v24)
        br label %done94
        done94:
        %v97 = uitofp i64 %i85 to float
        call void @add_8(ptr %v78, ptr %v80, ptr %v82, i64 %v20, ..., float %v97, ptr %v39)
        call void @add_8(ptr %v78, ptr %v80, ptr %v82, i64 %v20, ..., float %v97, ptr %v75)
    """
    f = RowFunction(f"from_rgb_{read}_{write}", "ptr %call", linkage="")
    w = f.words(POINTERS, SIZES)
    f.do(f"%k = getelementptr i8, ptr {w['k']}, i64 0")
    k = dict(zip(ENCODE, f.constants(ENCODE, *ENCODE), strict=True))
    last = f.add(w["height"], -1)
    together = f.add(w["sub_y"], 1)
    sums = [w["scratch"], f.at(w["scratch"], f.mul(f.add(w["columns"], 4), 4))]
    red = f.at(sums[1], f.mul(f.add(w["columns"], 4), 4))
    row_bytes = f.mul(w["width"], read // 8)
    planes = ", ".join(
        f"ptr {p}" for p in (red, f.at(red, row_bytes), f.at(red, f.mul(row_bytes, 2)))
    )

    def weights(output: str) -> str:
        return ", ".join(f"float {k[output + plane]}" for plane in "rgb")

    with f.loop(0, w["rows"]) as c:
        with f.loop(0, together) as n:
            j = f.add(f.mul(c, together), n)
            source = f.at(w["rgb"], f.mul(f.clamp(j, last), w["rgb_stride"]))
            f.do(f"call void @unpack_{read}({planes}, ptr {source}, i64 {w['width']})")
            with f.when(f(f"icmp slt i64 {j}, {w['lines']}")):
                out = f.at(w["y"], f.mul(j, w["y_stride"]))
                numbers = f"{weights('y')}, float {k['y_zero']}, float {k['top']}"
                call = f"{planes}, i64 {w['width']}, {numbers}, ptr {out}, i64 {w['columns']}"
                f.do(f"call void @weigh_{read}_{write}({call})")
            kept = f(f"uitofp i64 {n} to float")  # 0 for the first row, 1 for the second
            for name, row in zip("uv", sums, strict=True):
                numbers = f"{weights(name)}, float {kept}"
                call = f"{planes}, i64 {w['width']}, {numbers}, ptr {row}"
                f.do(f"call void @add_{read}({call})")
        for name, row in zip("uv", sums, strict=True):
            f.store_float(f.load_float(row, 1), row, 0)
            end = f.load_float(row, w["width"])
            with f.loop(f.add(w["width"], 1), f.add(w["columns"], 3)) as x:
                f.store_float(end, row, x)
            out = f.at(w[name], f.mul(c, w["c_stride"]))
            call = f"ptr {row}, ptr {out}, i64 {w['half']}, i64 {w['sub_x']}, ptr %k"
            f.do(f"call void @subsample_{write}({call})")
    return f.text()
