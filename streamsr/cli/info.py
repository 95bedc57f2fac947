"""``streamsr info``: this machine, its engines and models, or a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamsr.cli.errors import mended
from streamsr.engines import Engine
from streamsr.engines.choose import open_engine
from streamsr.errors import ModelError, SinkError, first_line
from streamsr.machine import processor_name, usable_cores, versions
from streamsr.model import find_model
from streamsr.options import ENGINES, EngineChoice
from xlsr_model import weights


def describe(what: str | None) -> Iterator[str]:
    """Describe the machine, a media file or a model, line by line. Raises StreamsrError when it
    cannot be read."""
    if what is None:
        return _machine()
    if what in weights.names() or Path(what).suffix == ".tflite":
        return _model(what)
    return _media(Path(what))


def _machine() -> Iterator[str]:
    yield f"machine   {processor_name()}, {usable_cores()} usable cores"
    yield "versions  " + ", ".join(f"{name} {version}" for name, version in versions().items())
    for name in ENGINES:
        try:
            engine, why = open_engine(find_model(), EngineChoice(name))
            with engine:
                if name == "auto":
                    yield from _realtime(engine)
                    found = f" takes {engine.name}, {engine.threads} threads ({why})"
                else:
                    found = _works(engine)
        except ModelError as error:
            found = f" does not run here: {error}"
        yield f"engine    {name}{found}"
    for name in weights.names():
        yield f"model     {name}{_quality(name)}"


def _realtime(engine: Engine) -> Iterator[str]:
    """The instructions of the engine that is taken, and what it can do with them."""
    kind = getattr(engine, "kind", None)
    yield f"kind      {f'{kind} instructions' if kind else f'chosen by {engine.name}'}"
    try:
        from streamsr.bench.quick import estimate  # OpenCV's, which a server may lack

        found = f"estimated: {estimate(engine).line()}"
    except ImportError as error:
        found = f"not known: {mended(first_line(error))}"
    except (SinkError, OSError) as error:  # no place for the encoder's file
        found = f"not known: {first_line(error)}"
    yield f"realtime  {found}"


def _works(engine: Engine) -> str:
    """Say that an engine runs, and how far its test pictures were from LiteRT's."""
    tested = getattr(engine, "difference", None)
    return (
        " runs here" if tested is None else f" runs here as {engine.name}, against LiteRT: {tested}"
    )


def _quality(name: str) -> str:
    measured = _card(name).get("measured", {})
    parts = [
        f"{data} {values['psnr_y']:.2f} dB"
        for data, values in measured.items()
        if "psnr_y" in values
    ]
    return f" (Y-PSNR {', '.join(parts)})" if parts else ""


def _card(model: str | Path) -> dict[str, Any]:  # a card may say anything
    try:
        return weights.card(model)
    except (OSError, ValueError) as error:
        raise ModelError(str(error)) from error


def _model(what: str) -> Iterator[str]:
    model = find_model(what)
    engine, why = open_engine(model, EngineChoice(threads=1))
    with engine:
        yield f"model     {model.path}"
        yield f"scale     {engine.scale}"
        yield f"reach     {engine.halo} pixels"
        yield f"shown     {'consistent with the source' if model.consistent else 'as it is'}"
        yield f"sha256    {model.sha256}"
        yield f"engine    {engine.name}: {why}"
    for key, value in _card(model.path).items():
        if key not in ("sha256", "scale"):
            yield f"{key:<9} {value}"


def _media(path: Path) -> Iterator[str]:
    import av

    from streamsr.media.input import main_video, open_input

    with open_input(path) as container:
        length = f", {container.duration / av.time_base:.2f} s" if container.duration else ""
        yield f"{path}: {container.format.long_name}{length}"
        main = main_video(container)
        for stream in container.streams:
            codec = stream.codec_context.name if stream.codec_context else "unknown codec"
            line = f"  {stream.index}  {stream.type:<10} {codec}"
            if stream.language and stream.language != "und":
                line += f" [{stream.language}]"
            if stream in container.streams.video:
                # The same stream, typed as video.
                video = container.streams.video[container.streams.video.index(stream)]
                rate = (
                    f"{float(video.average_rate):.3f} fps"
                    if video.average_rate
                    else "variable rate"
                )
                line += (
                    f", {video.width}x{video.height} {video.pix_fmt}, {rate}, time base "
                    f"{video.time_base}"
                )
                line += "  <- is upscaled" if stream is main else ""
            yield line
        for chapter in container.chapters():
            title = chapter["metadata"].get("title", "")
            yield (
                f"  chapter at {float(chapter['start'] * (chapter['time_base'] or 0)):.2f} s "
                f"{title}"
            )
