"""The loop from YUV planes to RGB pixels, as LLVM IR.

Each function here emits one IR function and names its twin in `reference`, which computes the same
bytes in NumPy. Rows of luma and RGB are samples of 8 or 16 bits; rows of chroma are float32 and
have one sample more in front and behind.
"""

from streamsr.native.rows import LANES, PLANES_AND_PIXELS, RowFunction, number

POINTERS = ["y", "u", "v", "rgb", "scratch", "k"]
SIZES = ["y_stride", "c_stride", "rgb_stride", "width", "height", "half", "rows", "sub_x", "sub_y"]
"""int64 words of a call: addresses of the planes, of the pixels, of scratch rows and of the
constants ``k``; then strides in bytes and sizes in samples: ``width`` x ``height`` of the picture,
``half`` x ``rows`` of chroma. ``sub_x`` and ``sub_y`` are 1 where chroma has half the samples."""

DECODE = ["ky", "rv", "gu", "gv", "bu", "y_zero", "c_zero", "top", "even", "odd"]
"""float32 constants of a call, see `picture.yuv.Converter`; ``top`` is the highest level
written."""


def widen(bits: int) -> str:
    """Emit ``widen_8`` or ``widen_16``: the chroma of one luma row, less its zero.

    Twin: `reference.widen`. The first loop blends the near and the far row of chroma, three parts
    to one; the second blends columns, where they are halved; otherwise a third copies them. The
    body of the first, of 8 bits, where %v2 is ``c_zero``::

        %v9 = mul i64 %i7, 1
        %v10 = getelementptr i8, ptr %near, i64 %v9
        %v11 = load i8, ptr %v10, align 1
        %v12 = uitofp i8 %v11 to float
        %v13 = fmul nnan nsz float %v12, 0x3FE8000000000000
        ...
        %v18 = fmul nnan nsz float %v17, 0x3FD0000000000000
        %v19 = fadd nnan nsz float %v13, %v18
        %v20 = fsub nnan nsz float %v19, %v2
        %v21 = add i64 %i7, 1
        %v22 = mul i64 %v21, 4
        %v23 = getelementptr i8, ptr %row, i64 %v22
        store float %v20, ptr %v23, align 1
    """
    params = (
        "ptr noalias %near, ptr noalias %far, ptr noalias %row, ptr noalias %wide, i64 %half, i64 "
        "%sub, ptr %k"
    )
    f = RowFunction(f"widen_{bits}", params)
    zero, even, odd = f.constants(DECODE, "c_zero", "even", "odd")
    with f.loop(0, "%half") as x:
        near = f.op("mul", f.load_sample(bits, "%near", x), number(0.75))
        far = f.op("mul", f.load_sample(bits, "%far", x), number(0.25))
        f.store_float(f.op("sub", f.op("add", near, far), zero), "%row", f.add(x, 1))
    f.store_float(f.load_float("%row", 1), "%row", 0)
    f.store_float(f.load_float("%row", "%half"), "%row", f.add("%half", 1))
    halved = f.is_nonzero("%sub")
    rest_even = f.op("sub", number(1), even)
    rest_odd = f.op("sub", number(1), odd)
    with f.when(halved), f.loop(0, "%half") as x:
        at = f.at("%row", f.mul(x, 4))
        out = f.at("%wide", f.mul(x, 8))
        left, here, right = (f.load_float(at, i) for i in range(3))
        f.store_float(f.multiply_add(f.op("mul", here, even), left, rest_even), out, 0)
        f.store_float(f.multiply_add(f.op("mul", here, odd), right, rest_odd), out, 1)
    with f.when(f.negated(halved)), f.loop(0, "%half") as x:
        f.store_float(f.load_float("%row", f.add(x, 1)), "%wide", x)
    return f.text()


def mix(read: int, write: int) -> str:
    """Emit ``mix_READ_WRITE``: one row of R, G or B from luma and two rows of wide chroma.

    Twin: `reference.mix`. The middle of its loop from 8 bits, where %v2, %v4 are ``ky`` and
    ``y_zero`` and %cu, %cv what the colour takes of U and V::

        %v12 = uitofp i8 %v11 to float
        %v13 = fsub nnan nsz float %v12, %v4
        %v14 = fmul nnan nsz float %v13, %v2
        %v15 = fadd nnan nsz float 0x3FE0000000000000, %v14
        ...
        %v19 = fmul nnan nsz float %v18, %cu
        %v20 = fadd nnan nsz float %v15, %v19
        ...
        %v24 = fmul nnan nsz float %v23, %cv
        %v25 = fadd nnan nsz float %v20, %v24
        %v26 = fptosi float %v25 to i32
        %v27 = fptosi float %v6 to i32
        %v28 = call i32 @llvm.smin.i32(i32 %v26, i32 %v27)
        %v29 = call i32 @llvm.smax.i32(i32 %v28, i32 0)
    """
    params = (
        "ptr noalias %y, ptr noalias %u, ptr noalias %v, ptr noalias %out, i64 %width, ptr %k, "
        "float %cu, float %cv"
    )
    f = RowFunction(f"mix_{read}_{write}", params)
    ky, zero, top = f.constants(DECODE, "ky", "y_zero", "top")
    with f.loop(0, "%width") as x:
        luma = f.op("sub", f.load_sample(read, "%y", x), zero)
        value = f.multiply_add(number(0.5), luma, ky)
        value = f.multiply_add(value, f.load_float("%u", x), "%cu")
        value = f.multiply_add(value, f.load_float("%v", x), "%cv")
        f.store_sample(write, value, top, "%out", x)
    return f.text()


def pack(bits: int) -> str:
    """Emit ``pack_8`` or ``pack_16``: rows of R, G and B become RGB pixels.

    Twin: `reference.pack`. LLVM leaves such loops scalar, 20 times slower, so vectors of LANES
    samples are shuffled here. The loop over whole vectors of 8 bits::

        %v7 = load <32 x i8>, ptr %v6, align 1
        %v8 = getelementptr i8, ptr %g, i64 %v4
        %v9 = load <32 x i8>, ptr %v8, align 1
        %v10 = getelementptr i8, ptr %b, i64 %v4
        %v11 = load <32 x i8>, ptr %v10, align 1
        %v12 = shufflevector <32 x i8> %v7, <32 x i8> %v9, <64 x i32> <i32 0, i32 1, ...>
        %v13 = shufflevector <32 x i8> %v11, <32 x i8> %v11, <64 x i32> <i32 0, ...>
        %v14 = shufflevector <64 x i8> %v12, <64 x i8> %v13, <96 x i32> <i32 0, i32 32, i32 64, ...>
        %v15 = getelementptr i8, ptr %rgb, i64 %v5
        store <96 x i8> %v14, ptr %v15, align 1
    """
    f = RowFunction(f"pack_{bits}", PLANES_AND_PIXELS)
    planes = ["%r", "%g", "%b"]
    size = bits // 8
    one = f"i{bits}"
    n = LANES
    whole = f(f"and i64 %width, {-n}")
    with f.loop(0, whole, n) as x:
        at = f.mul(x, size)
        pixel = f.mul(x, 3 * size)
        r, g, b = (f.load(f"<{n} x {one}>", plane, at) for plane in planes)
        red_green = f.pick(n, one, r, g, range(2 * n))
        blue = f.pick(n, one, b, b, [*range(n), *range(n)])
        order = [i // 3 + (0, n, 2 * n)[i % 3] for i in range(3 * n)]
        rgb = f.pick(2 * n, one, red_green, blue, order)
        f.store(f"<{3 * n} x {one}>", rgb, "%rgb", pixel)
    with f.loop(whole, "%width") as x:
        at = f.mul(x, size)
        pixel = f.mul(x, 3 * size)
        for i, plane in enumerate(planes):
            channel = f.add(pixel, i * size)
            f.store(one, f.load(one, plane, at), "%rgb", channel)
    return f.text()


def to_rgb(read: int, write: int) -> str:
    """Emit ``to_rgb_READ_WRITE``: planes of READ bits to RGB pixels of WRITE bits, row by row.

    Twin: `reference.to_rgb`. Calls the functions above for each row; scratch holds a row of chroma,
    two wide ones, and a row each of R, G and B. From its loop, where %v47 and %v49 are wide U and
    V::

        call void @widen_8(ptr %v70, ptr %v71, ptr %v35, ptr %v47, i64 %v24, i64 %v28, ptr %k)
        %v72 = getelementptr i8, ptr %v33, i64 %v68
        %v73 = getelementptr i8, ptr %v33, i64 %v69
        call void @widen_8(ptr %v72, ptr %v73, ptr %v35, ptr %v49, i64 %v24, i64 %v28, ptr %k)
        ...
        call void @mix_8_8(ptr %v75, ptr %v47, ptr %v49, ptr %v54, i64 %v20, ptr %k, ...)
        call void @mix_8_8(ptr %v75, ptr %v47, ptr %v49, ptr %v55, i64 %v20, ptr %k, ...)
        call void @mix_8_8(ptr %v75, ptr %v47, ptr %v49, ptr %v57, i64 %v20, ptr %k, ...)
        call void @pack_8(ptr %v54, ptr %v55, ptr %v57, ptr %v77, i64 %v20)
    """
    f = RowFunction(f"to_rgb_{read}_{write}", "ptr %call", linkage="")
    w = f.words(POINTERS, SIZES)
    f.do(f"%k = getelementptr i8, ptr {w['k']}, i64 0")
    rv, gu, gv, bu = f.constants(DECODE, "rv", "gu", "gv", "bu")
    wide_u = f.at(w["scratch"], f.mul(f.add(w["half"], 2), 4))
    wide_v = f.at(wide_u, f.mul(w["half"], 8))
    row_bytes = f.mul(w["width"], write // 8)
    last = f.add(w["rows"], -1)
    halved = f.is_nonzero(w["sub_y"])
    red = f.at(wide_v, f.mul(w["half"], 8))
    planes = [red, f.at(red, row_bytes), f.at(red, f.mul(row_bytes, 2))]
    shares = (number(0), rv), (gu, gv), (bu, number(0))
    with f.loop(0, w["height"]) as j:
        # Rows 2c and 2c+1 lie a quarter above and below chroma row c.
        near = f(f"lshr i64 {j}, {w['sub_y']}")
        far = f.add(f.add(near, -1), f.mul(f(f"and i64 {j}, 1"), 2))
        far = f.select(halved, f.clamp(far, last), near)
        near = f.mul(near, w["c_stride"])
        far = f.mul(far, w["c_stride"])
        for chroma, wide in ((w["u"], wide_u), (w["v"], wide_v)):
            rows = (
                f"ptr {f.at(chroma, near)}, ptr {f.at(chroma, far)}, ptr {w['scratch']}, ptr {wide}"
            )
            f.do(f"call void @widen_{read}({rows}, i64 {w['half']}, i64 {w['sub_x']}, ptr %k)")
        luma = f.at(w["y"], f.mul(j, w["y_stride"]))
        target = f.at(w["rgb"], f.mul(j, w["rgb_stride"]))
        for out, (cu, cv) in zip(planes, shares, strict=True):
            rows = f"ptr {luma}, ptr {wide_u}, ptr {wide_v}, ptr {out}, i64 {w['width']}"
            f.do(f"call void @mix_{read}_{write}({rows}, ptr %k, float {cu}, float {cv})")
        rows = ", ".join(f"ptr {row}" for row in (*planes, target))
        f.do(f"call void @pack_{write}({rows}, i64 {w['width']})")
    return f.text()
