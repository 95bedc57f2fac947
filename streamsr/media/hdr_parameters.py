"""HDR metadata as parameters of the encoders that take it, empty for none."""

from streamsr.frame import CHROMATICITY, LUMINANCE, HdrMetadata


def x265_hdr(hdr: HdrMetadata) -> str:
    """For x265; begins with a colon."""
    parameters = ""
    if hdr.mastering is not None:
        rx, ry, gx, gy, bx, by, wx, wy, low, high = hdr.mastering
        parameters += (
            f":master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"
        )
    if hdr.light is not None:
        parameters += f":max-cll={hdr.light[0]},{hdr.light[1]}"
    return parameters


def x264_hdr(hdr: HdrMetadata) -> str:
    """For x264."""
    return (
        x265_hdr(hdr)
        .replace("master-display", "mastering-display")
        .replace("max-cll", "cll")
        .strip(":")
    )


def svt_hdr(hdr: HdrMetadata) -> str:
    """For SVT-AV1, in whole units; begins with a colon."""
    parameters = ""
    if hdr.mastering is not None:
        rx, ry, gx, gy, bx, by, wx, wy = (f"{n / CHROMATICITY:.5f}" for n in hdr.mastering[:8])
        low, high = (f"{n / LUMINANCE:.4f}" for n in hdr.mastering[8:])
        parameters += (
            f":mastering-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"
        )
    if hdr.light is not None:
        parameters += f":content-light={hdr.light[0]},{hdr.light[1]}"
    return parameters
