"""Recordings as people have them: made by FFmpeg, upscaled by the command, judged by ffprobe.

Nothing of streamsr is imported: what is right is said here, and measured by FFmpeg's programs.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RATE = 25
NUMBERS, STEP = 23, 9
"""Pictures tell their numbers, modulo the first, by their brightness, in steps of the second."""


class Wrong(Exception):  # noqa: N818 - a verdict, not a fault of this program
    """What came out is not what would be right."""


def expect(true: object, words: str) -> None:
    if not true:
        raise Wrong(words)


def near(value: float, wanted: float, slack: float, what: str) -> None:
    expect(abs(value - wanted) <= slack, f"{what}: {value:.3f} instead of {wanted:.3f}")


def ffmpeg(*words: object, cwd: Path) -> None:
    line = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, words)]
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}: {done.stderr}")


def numbered(seconds: float, size: str = "160x90", rate: int = RATE) -> list[str]:
    """Input words for pictures that tell their number by their brightness."""
    source = (
        f"color=s={size}:r={rate}:d={seconds},format=yuv420p,geq=lum='16+{STEP}*mod(N,{NUMBERS})'"
    )
    return ["-f", "lavfi", "-i", f"{source}:cb=128:cr=128"]


def tone(seconds: float) -> list[str]:
    return ["-f", "lavfi", "-i", f"sine=d={seconds}:r=48000"]


H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-crf", "10"]
BFRAMES = ["-c:v", "libx264", "-bf", "3", "-pix_fmt", "yuv420p", "-g", "25", "-crf", "10"]
AAC = ["-c:a", "aac"]


def clip(path: Path, seconds: float, *words: str, size: str = "160x90", sound: bool = True) -> Path:
    """A recording of this length, in the container that its name says."""
    inputs = numbered(seconds, size) + (tone(seconds) if sound else [])
    codecs = list(words) or BFRAMES + (AAC if sound else [])
    ffmpeg(*inputs, *codecs, path.name, cwd=path.parent)
    return path


def joined(path: Path, *parts: Path, skip: int = 0) -> Path:
    """The bytes of the parts one after the other; all but the first without ``skip`` bytes."""
    contents = [part.read_bytes() for part in parts]
    path.write_bytes(contents[0] + b"".join(content[skip:] for content in contents[1:]))
    return path


@dataclass
class Probed:
    """What ffprobe and FFmpeg's decoders say of a file."""

    path: Path
    streams: list[dict[str, Any]]
    packets: dict[int, list[dict[str, Any]]]
    format: dict[str, Any]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Streams of this kind; covers are none."""
        return [
            stream
            for stream in self.streams
            if stream["codec_type"] == kind and not stream["disposition"].get("attached_pic")
        ]

    @property
    def video(self) -> dict[str, Any]:
        return self.of("video")[0]

    def times(self, index: int, which: str = "pts_time") -> list[float]:
        return [float(packet[which]) for packet in self.packets.get(index, []) if which in packet]

    @property
    def shown(self) -> list[float]:
        """Times of the pictures, in seconds, in the order shown."""
        return sorted(self.times(self.video["index"]))

    @property
    def sounds(self) -> list[list[float]]:
        return [self.times(stream["index"]) for stream in self.of("audio")]

    def numbers(self) -> list[int]:
        """What the pictures say of themselves, in the order shown."""
        line = ["ffmpeg", "-v", "error", "-i", str(self.path), "-map", f"0:{self.video['index']}"]
        line += ["-fps_mode", "passthrough", "-vf", "crop=8:8,extractplanes=y"]
        done = subprocess.run(
            [*line, "-f", "rawvideo", "-"], capture_output=True, check=True, timeout=120
        )
        blocks = [done.stdout[i : i + 64] for i in range(0, len(done.stdout), 64)]
        return [round((sum(block) / 64 - 16) / STEP) for block in blocks]


def probe(path: Path) -> Probed:
    line = ["ffprobe", "-v", "error", "-show_streams", "-show_packets", "-show_format"]
    done = subprocess.run(
        [*line, "-of", "json", str(path.absolute())],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    expect(done.returncode == 0, f"{path.name}: ffprobe cannot read it: {done.stderr.strip()}")
    read = json.loads(done.stdout)
    packets: dict[int, list[dict[str, Any]]] = {}
    for packet in read["packets"]:
        packets.setdefault(packet["stream_index"], []).append(packet)
    return Probed(path, read["streams"], packets, read["format"])


@dataclass
class Run:
    """The command, as it ended."""

    status: int
    said: str
    output: Path

    def right(self, *, says: str | Sequence[str] = ()) -> Probed:
        expect(self.status == 0, f"status {self.status}: {self.said.strip()[-300:]}")
        self.says(says)
        return probe(self.output)

    def refused(self, says: str | Sequence[str]) -> None:
        expect(self.status == 1, f"status {self.status}, not refused: {self.said.strip()[-300:]}")
        expect("Traceback" not in self.said, "a traceback")
        self.says(says)
        expect(not self.output.exists(), "an output is there")

    def says(self, says: str | Sequence[str]) -> None:
        for words in [says] if isinstance(says, str) else says:
            expect(words in self.said, f"does not say {words!r}: {self.said.strip()[-300:]}")


def streamsr(*words: object, cwd: Path, output: str, environment: dict[str, str]) -> Run:
    quick = ["--preset", "ultrafast"] if words[0] == "upscale" and "--encoder" not in words else []
    done = subprocess.run(
        [sys.executable, "-m", "streamsr", *map(str, words), *quick],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    return Run(done.returncode, done.stderr + done.stdout, cwd / output)


@dataclass(frozen=True)
class Situation:
    """One kind of recording: ``make`` writes the input, ``judge`` raises Wrong.

    words   of the command behind ``upscale INPUT -o OUTPUT``
    also    words with which it is done again, and must come out the same: ``--resume``
    """

    kind: str
    name: str
    make: Callable[[Path], Path]
    judge: Callable[[Run], None]
    output: str = "out.mkv"
    words: tuple[str, ...] = ()
    also: tuple[tuple[str, ...], ...] = field(default=())

    def run(self, folder: Path, *more: str, environment: dict[str, str] | None = None) -> Run:
        source = self.make(folder)
        words = ["upscale", source.name, "-o", self.output, *self.words, *more]
        return streamsr(*words, cwd=folder, output=self.output, environment=environment or {})


SITUATIONS: list[Situation] = []


def situation(*values: Any, **more: Any) -> None:
    """One more to try; takes what `Situation` takes."""
    SITUATIONS.append(Situation(*values, **more))


def evenly(times: Sequence[float], step: float, what: str, *, slack: float = 0.021) -> None:
    """Times follow each other by about ``step`` seconds, everywhere."""
    for number, (a, b) in enumerate(itertools.pairwise(times)):
        near(b - a, step, step / 2 + slack, f"{what} {number + 1} comes after")


def follows(run: Run, *, pictures: int, numbers: Sequence[int], seconds: float) -> None:
    """All pictures, one after the other, with the sound beside them, from the beginning."""
    film = run.right()
    expect(len(film.shown) == pictures, f"{len(film.shown)} pictures instead of {pictures}")
    evenly(film.shown, 1 / RATE, "picture")
    near(film.shown[0], 0, 0.1, "the film begins at")
    near(film.shown[-1] + 1 / RATE, seconds, 0.2, "the film ends at")
    seen = film.numbers()
    wrong = [(a, b) for a, b in zip(seen, numbers, strict=True) if a != b % NUMBERS]
    expect(not wrong, f"other pictures: {wrong[:3]}")
    for sound in film.sounds:
        evenly(sound, sound[1] - sound[0], "sound packet", slack=0.1)
        near(sound[0], 0, 0.1, "the sound begins at")
        near(sound[-1], seconds, 0.2, "the sound ends at")


TWICE = [*range(50), *range(50)]


def _joins() -> None:
    """Kind 1: recordings whose clock begins again."""

    def make(name: str, *words: str, sound: bool = True, skip: int = 0) -> Callable[[Path], Path]:
        def made(folder: Path) -> Path:
            one = clip(folder / f"one{Path(name).suffix}", 2, *words, sound=sound)
            return joined(folder / name, one, one, skip=skip)

        return made

    mpeg = ("-c:v", "mpeg2video", "-q:v", "2", "-g", "12", "-bf", "2", "-c:a", "mp2")
    flv = ("-c:v", "flv1", "-q:v", "2", "-c:a", "aac")
    for name, words, sound, skip in (
        ("joined.ts", (), True, 0),
        ("silent.ts", (), False, 0),
        ("joined.vob", mpeg, True, 0),
        ("joined.mpg", mpeg, True, 0),
        ("joined.flv", flv, True, 13),
    ):
        for output in ("out.mkv", "out.mp4"):
            situation(
                "clocks",
                f"{name} to {output}: two recordings in one file",
                make(name, *words, sound=sound, skip=skip),
                lambda run: follows(run, pictures=100, numbers=TWICE, seconds=4),
                output,
                also=(("--resume", "--segment", "1"),) if output == "out.mkv" else (),
            )


def _offsets() -> None:
    """Kind 1: a clock that stands at some hour when the recording begins."""

    def make(name: str, hours: float) -> Callable[[Path], Path]:
        def made(folder: Path) -> Path:
            plain = clip(folder / "plain.mkv", 2)
            ffmpeg(
                "-i",
                plain.name,
                "-c",
                "copy",
                "-output_ts_offset",
                hours * 3600,
                "-avoid_negative_ts",
                "disabled",
                name,
                cwd=folder,
            )
            return folder / name

        return made

    for name, hours, output in (
        ("tv.ts", 11.11, "out.mp4"),
        ("tv.ts", 11.11, "out.mkv"),
        ("tv.ts", 26.5094, "out.mkv"),
        ("late.mkv", 3, "out.mp4"),
        ("plain.ts", 0, "out.mov"),
    ):
        situation(
            "clocks",
            f"{name} to {output}: the clock stands at {hours} hours",
            make(name, hours),
            lambda run: follows(run, pictures=50, numbers=range(50), seconds=2),
            output,
        )


def _equal_times() -> None:
    """Kind 1: packets at one time, or before the one before."""

    def make(rule: str) -> Callable[[Path], Path]:
        def made(folder: Path) -> Path:
            plain = clip(folder / "plain.ts", 2)
            bitstream = f"setts=ts='{rule}'"
            ffmpeg("-i", plain.name, "-c", "copy", "-bsf:a", bitstream, "dup.mkv", cwd=folder)
            return folder / "dup.mkv"

        return made

    def judge(run: Run) -> None:
        film = run.right()
        expect(len(film.shown) == 50, f"{len(film.shown)} pictures")
        (sound,) = film.sounds
        expect(len(sound) >= 93, f"{len(sound)} packets of sound")
        near(sound[-1], 1.99, 0.1, "the sound ends at")

    for rule, words in (
        ("if(eq(N,40),PREV_OUTDTS,TS)", "one packet of sound at the time of the one before"),
        ("if(eq(N,40),PREV_OUTDTS-3,TS)", "one packet of sound before the one before"),
        ("if(between(N,40,44),PREV_OUTDTS,TS)", "five packets of sound at one time"),
    ):
        for output in ("out.mp4", "out.mkv", "out.mov"):
            situation(
                "clocks",
                f"{words}, to {output}",
                make(rule),
                judge,
                output,
                also=(("--resume", "--segment", "1"),) if output == "out.mp4" else (),
            )


def transport_packets(data: bytes) -> list[bytes]:
    return [data[i : i + 188] for i in range(0, len(data), 188)]


def _lost_packets() -> None:
    """Kind 2: what a receiver lost on the way."""

    def pid_of(packet: bytes) -> int:
        return (packet[1] & 31) << 8 | packet[2]

    def make(pid: int, change: Callable[[list[int], list[bytes]], list[bytes]]):  # type: ignore[no-untyped-def]
        def made(folder: Path) -> Path:
            packets = transport_packets(clip(folder / "plain.ts", 4).read_bytes())
            ours = [n for n, packet in enumerate(packets) if pid_of(packet) == pid]
            (folder / "lost.ts").write_bytes(b"".join(change(ours, packets)))
            return folder / "lost.ts"

        return made

    def dropped(ours: list[int], packets: list[bytes]) -> list[bytes]:
        gone = set(ours[len(ours) // 2 :][:3])
        return [packet for n, packet in enumerate(packets) if n not in gone]

    def flipped(ours: list[int], packets: list[bytes]) -> list[bytes]:
        changed = list(packets)
        for n in ours[len(ours) // 2 :][:2]:
            damaged = bytearray(packets[n])
            damaged[40:160] = bytes(b ^ 0x5A for b in damaged[40:160])
            changed[n] = bytes(damaged)
        return changed

    def judge(run: Run) -> None:
        film = run.right()
        expect(len(film.shown) >= 90, f"{len(film.shown)} pictures of 100")
        (sound,) = film.sounds
        near(film.shown[-1], 3.96, 0.15, "the film ends at")
        near(sound[-1], 3.98, 0.15, "the sound ends at")
        expect(len(sound) >= 180, f"{len(sound)} packets of sound of 188")

    for words, change in (("three packets lost", dropped), ("two packets with errors", flipped)):
        for pid, what in ((0x101, "sound"), (0x100, "picture")):
            for output in ("out.mkv", "out.mp4"):
                situation(
                    "damage",
                    f"{what}: {words} of a transport stream, to {output}",
                    make(pid, change),
                    judge,
                    output,
                    also=(("--resume", "--segment", "1"),) if output == "out.mkv" else (),
                )


def _holes() -> None:
    """Kind 2: a hole in the middle, a film that is cut off, one that begins between key frames."""

    def hole(folder: Path) -> Path:
        film = clip(folder / "mid.mp4", 8, *BFRAMES, "-g", "50", sound=False)
        data = bytearray(film.read_bytes())
        start, end = data.find(b"mdat"), data.find(b"moov")
        a, b = start + int((end - start) * 0.4), start + int((end - start) * 0.48)
        data[a:b] = bytes(b - a)
        (folder / "hole.mp4").write_bytes(data)
        return folder / "hole.mp4"

    def judge_hole(run: Run) -> None:
        film = run.right()
        expect(len(film.shown) >= 140, f"{len(film.shown)} pictures of 200")
        near(film.shown[-1], 7.96, 0.05, "the film ends at")

    situation("damage", "0.6 s of zeros in an MP4", hole, judge_hole)
    situation(
        "damage",
        "0.6 s of zeros, --strict",
        hole,
        lambda run: run.refused("cannot be decoded"),
        words=("--strict",),
    )

    def cut_flv(folder: Path) -> Path:
        film = clip(folder / "whole.flv", 3, "-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p")
        (folder / "cut.flv").write_bytes(film.read_bytes()[:-2000])
        return folder / "cut.flv"

    def judge_cut(run: Run) -> None:
        film = run.right()
        whole = probe(run.output.parent / "cut.flv")
        expect(len(film.shown) >= len(whole.shown) - 1, f"{len(film.shown)} of {len(whole.shown)}")

    situation("damage", "an FLV that is cut off", cut_flv, judge_cut)

    def between_keys(folder: Path) -> Path:
        # all in one group of pictures of 10 s, cut in the first one
        words = ["-c:v", "libx264", "-g", "250", "-x264opts", "scenecut=0", "-pix_fmt", "yuv420p"]
        film = clip(folder / "long.ts", 25, *words, sound=False)
        packets = transport_packets(film.read_bytes())
        (folder / "cut.ts").write_bytes(b"".join(packets[len(packets) // 10 :]))
        return folder / "cut.ts"

    def judge_between(run: Run) -> None:
        film = run.right()
        expect(370 <= len(film.shown) <= 380, f"{len(film.shown)} pictures instead of 375")

    situation("damage", "a TS cut between key frames 10 s apart", between_keys, judge_between)


def _spans() -> None:
    """Kind 3: a part of a film, in containers with and without an index."""
    mpeg = ("-c:v", "mpeg2video", "-q:v", "2", "-g", "15", "-bf", "2", "-c:a", "mp2")
    long = (
        "-c:v",
        "libx264",
        "-g",
        "50",
        "-bf",
        "2",
        "-crf",
        "10",
        "-pix_fmt",
        "yuv420p",
        "-x264-params",
        "scenecut=0",
        "-c:a",
        "aac",
    )
    raw = long[:-2]
    asp = ("-c:v", "mpeg4", "-q:v", "2", "-g", "50", "-c:a", "mp2")

    def make(name: str, words: Sequence[str]) -> Callable[[Path], Path]:
        sound = Path(name).suffix not in (".h264", ".m2v")
        return lambda folder: clip(folder / name, 4, *words, sound=sound)

    def judge(start: float) -> Callable[[Run], None]:
        def of(run: Run) -> None:
            film = run.right()
            first = round(start * RATE)
            wanted = [number % NUMBERS for number in range(first, first + 25)]
            expect(film.numbers() == wanted, f"pictures {film.numbers()[:3]}..., not {wanted[:3]}")
            for sound in film.sounds:
                near(sound[0], 0, 0.1, "the sound begins at")

        return of

    for name, words in (
        ("film.ts", long),
        ("film.m2ts", long),
        ("film.vob", mpeg),
        ("film.mpg", mpeg),
        ("film.h264", raw),
        ("film.m2v", mpeg[:-2]),
        ("film.flv", long),
        ("film.mkv", long),
        ("film.mp4", long),
        ("film.avi", asp),
    ):
        for start in (0.6, 1.48, 2.6):
            situation(
                "spans",
                f"{name} from {start} s",
                make(name, words),
                judge(start),
                words=("--start", str(start), "--duration", "1"),
            )


def shown_shape(stream: dict[str, Any]) -> float:
    """Width by height as a player shows it."""
    a, _, b = stream.get("sample_aspect_ratio", "1:1").partition(":")
    sar = int(a) / int(b) if int(a) and int(b) else 1.0
    shape = float(stream["width"] * sar / stream["height"])
    turns = [data.get("rotation", 0) for data in stream.get("side_data_list", [])]
    return 1 / shape if any(int(turn) % 180 for turn in turns) else shape


def _shapes() -> None:
    """Kind 4: sizes of another shape, pixels that are not square, films that are turned."""

    def plain(folder: Path) -> Path:
        return clip(folder / "plain.mp4", 0.4)

    def anamorphic(folder: Path) -> Path:
        words = ["-vf", "setsar=64/45", *H264]
        return clip(folder / "dvd.mkv", 0.4, *words, size="180x144", sound=False)

    def turned(folder: Path) -> Path:
        clip(folder / "flat.mp4", 0.4, size="170x96")
        turn = ("-metadata:s:v", "rotate=90")
        ffmpeg("-i", "flat.mp4", "-c", "copy", *turn, "rot.mp4", cwd=folder)
        return folder / "rot.mp4"

    def judge(shape: float, most: tuple[int, int]) -> Callable[[Run], None]:
        def of(run: Run) -> None:
            stream = run.right().video
            near(shown_shape(stream), shape, shape * 0.02, "the picture's shape")
            size = stream["width"], stream["height"]
            height = size[1]
            a, _, b = stream.get("sample_aspect_ratio", "1:1").partition(":")
            width = size[0] * int(a) / int(b) if int(a) and int(b) else size[0]
            if any(int(d.get("rotation", 0)) % 180 for d in stream.get("side_data_list", [])):
                width, height = height, round(width)
            expect(width <= most[0] + 2 and height <= most[1] + 2, f"{width}x{height} is too large")
            expect(width >= most[0] - 3 or height >= most[1] - 3, f"{width}x{height} does not fill")

        return of

    for name, make, to, shape in (
        ("16:9", plain, (400, 400), 16 / 9),
        ("16:9", plain, (640, 300), 16 / 9),
        ("a DVD's pixels", anamorphic, (512, 288), 16 / 9),
        ("a DVD's pixels", anamorphic, (400, 400), 16 / 9),
        ("a phone held upright", turned, (240, 426), 96 / 170),
        ("a phone held upright", turned, (426, 426), 96 / 170),
    ):
        situation(
            "shape",
            f"{name}, --to {to[0]}x{to[1]}",
            make,
            judge(shape, to),
            words=("--to", f"{to[0]}x{to[1]}"),
        )

    def turning(folder: Path) -> Path:
        parts = []
        for number, size in enumerate(("90x160", "160x90")):
            words = [*numbered(1, size), *H264, "-bf", "0", "-output_ts_offset", number]
            name = f"r{number}.ts"
            ffmpeg(*words, "-muxdelay", "0", "-muxpreload", "0", name, cwd=folder)
            parts.append(folder / name)
        joined(folder / "r.ts", *parts)
        ffmpeg("-i", "r.ts", "-c", "copy", "rot_mid.mkv", cwd=folder)
        return folder / "rot_mid.mkv"

    def growing(folder: Path) -> Path:
        names = []
        for number, size in enumerate(("80x45", "160x90")):
            names.append(f"w{number}.webm")
            ffmpeg(*numbered(1, size), "-c:v", "libvpx", names[-1], cwd=folder)
        (folder / "l.txt").write_text("".join(f"file {name}\n" for name in names))
        ffmpeg("-f", "concat", "-i", "l.txt", "-c", "copy", "adapt.webm", cwd=folder)
        return folder / "adapt.webm"

    def judge_turning(run: Run) -> None:
        film = run.right()
        expect(len(film.shown) == 50, f"{len(film.shown)} pictures instead of 50")
        first, last = corners(run.output, 5), corners(run.output, 45)
        expect(first != last, "no bars: each picture fills the same frame")

    def judge_growing(run: Run) -> None:
        film = run.right()
        expect(len(film.shown) == 50, f"{len(film.shown)} pictures instead of 50")
        size = film.video["width"], film.video["height"]
        expect(size == (480, 270), f"{size[0]}x{size[1]}: smaller than the network makes it")

    situation("shape", "a stream that turns half way", turning, judge_turning)
    situation("shape", "a stream that grows half way", growing, judge_growing)


def corners(path: Path, number: int) -> tuple[bool, ...]:
    """Which of the four edges of a picture are black: left, right, top, bottom."""
    film = probe(path)
    width, height = film.video["width"], film.video["height"]
    line = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", f"select=eq(n\\,{number})"]
    line += ["-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo", "-"]
    done = subprocess.run(line, capture_output=True, check=True, timeout=60).stdout
    middle = height // 2 * width
    edges = done[middle], done[middle + width - 1], done[width // 2], done[-width // 2]
    return tuple(edge < 6 for edge in edges)


def _names() -> None:
    """Kind 5: names that mean something to FFmpeg, and long ones."""

    def named(name: str) -> Callable[[Path], Path]:
        def made(folder: Path) -> Path:
            film = clip(folder / "plain.mp4", 0.4)
            target = folder / name
            target.parent.mkdir(exist_ok=True)
            return film.rename(target)

        return made

    def judge(run: Run) -> None:
        film = run.right()
        expect(len(film.shown) == 10, f"{len(film.shown)} pictures")

    long = "b" * 247 + ".mp4"
    for name, output in (
        ("2024-05-01T10:30:00.mp4", "out.mkv"),
        ("plain.mp4", "10:30.mkv"),
        ("plain.mp4", "10:30.mp4"),
        ("concat:x.mp4", "out.mkv"),
        ("file:y.mp4", "out.mkv"),
        ("%d.mp4", "%03d.mkv"),
        (long, "out.mkv"),
        ("plain.mp4", "b" * 247 + ".mkv"),
        ("\u3042" * 83 + ".mp4", "out.mkv"),
        ("a b'\"$x.mp4", "o u't.mkv"),
    ):
        situation(
            "names",
            f"{name[:24]} to {output[:24]}",
            named(name),
            judge,
            output,
            also=(("--resume", "--segment", "1"),),
        )


def _places() -> None:
    """Kind 5: a song for a film, a directory that is not there yet."""

    def song(folder: Path) -> Path:
        ffmpeg(*numbered(0.04, "64x64"), "-frames:v", "1", "cover.jpg", cwd=folder)
        maps = ["-map", "0", "-map", "1", "-c:a", "aac", "-c:v", "copy"]
        cover = ["-disposition:v:0", "attached_pic", "song.m4a"]
        ffmpeg(*tone(0.4), "-i", "cover.jpg", *maps, *cover, cwd=folder)
        return folder / "song.m4a"

    situation(
        "places",
        "a song with a cover",
        song,
        lambda run: run.refused("has no video stream (only a cover, audio)"),
    )

    def judge_folder(run: Run) -> None:
        expect(run.status == 0, f"status {run.status}: {run.said.strip()[-300:]}")
        expect(len(probe(run.output / "plain.mp4").shown) == 10, "not all pictures")

    situation(
        "places",
        "into a directory that is not there",
        lambda folder: clip(folder / "plain.mp4", 0.4),
        judge_folder,
        "new/directory/",
    )


def _late_sound() -> None:
    """A recording's second sound, which begins long after the picture."""

    def make(folder: Path) -> Path:
        late = ["-itsoffset", "9", *tone(3)]
        maps = ["-map", "0", "-map", "1", "-map", "2", *H264, "-b:v", "1M", "-c:a", "aac"]
        ffmpeg(*numbered(12), *tone(12), *late, *maps, "late.ts", cwd=folder)
        return folder / "late.ts"

    def judge(run: Run) -> None:
        film = run.right()
        expect(len(film.sounds) == 2, f"{len(film.sounds)} sounds")
        near(film.sounds[1][0], 9, 0.1, "the second sound begins at")

    situation(
        "damage",
        "a second sound that begins at 9 s",
        make,
        judge,
        also=(("--resume", "--segment", "3"),),
    )


def _playable() -> None:
    """Kind 7: what phones and browsers want."""

    def screen(folder: Path) -> Path:
        ffmpeg(*numbered(0.4), "-c:v", "libx264rgb", "rgb.mkv", cwd=folder)
        return folder / "rgb.mkv"

    def webcam(folder: Path) -> Path:
        ffmpeg(*numbered(0.4), "-c:v", "mjpeg", "-pix_fmt", "yuvj422p", "cam.avi", cwd=folder)
        return folder / "cam.avi"

    def judge_playable(run: Run) -> None:
        film = run.right()
        video = film.video
        expect(video["pix_fmt"] == "yuv420p", f"{video['pix_fmt']} instead of yuv420p")
        expect(video["color_range"] == "tv", f"range {video['color_range']}")
        expect(film.numbers() == list(range(10)), f"pictures {film.numbers()}")

    for name, make in (("RGB of a screen", screen), ("4:2:2 of a webcam", webcam)):
        situation(
            "playable",
            f"{name}, --pixel-format yuv420p",
            make,
            judge_playable,
            "out.mp4",
            words=("--pixel-format", "yuv420p"),
        )
        situation(
            "playable",
            f"{name}, as it is",
            make,
            lambda run: run.right(says="--pixel-format yuv420p makes what they play") and None,
            "out.mp4",
        )

    def judge_tag(run: Run) -> None:
        tag = run.right().video["codec_tag_string"]
        expect(tag == "hvc1", f"tag {tag}")

    def judge_front(run: Run) -> None:
        run.right()
        data = run.output.read_bytes()
        expect(data.find(b"moov") < data.find(b"mdat"), "the index stands behind the pictures")

    def plain(folder: Path) -> Path:
        return clip(folder / "plain.mkv", 0.4)

    for output in ("out.mp4", "out.mov"):
        situation(
            "playable",
            f"HEVC to {output}",
            plain,
            judge_tag,
            output,
            words=("--codec", "hevc"),
            also=(("--resume", "--segment", "1"),),
        )
        situation(
            "playable",
            f"the index in front, {output}",
            plain,
            judge_front,
            output,
            also=(("--resume", "--segment", "1"),),
        )

    def of_the_web(folder: Path) -> Path:
        return clip(folder / "plain.mkv", 0.4, *BFRAMES, "-c:a", "libopus")

    def judge_codec(name: str) -> Callable[[Run], None]:
        def of(run: Run) -> None:
            film = run.right()
            found = film.video["codec_name"]
            expect(found == name, f"{found} instead of {name}")
            expect(len(film.shown) == 10, f"{len(film.shown)} pictures")
            evenly(film.shown, 1 / RATE, "picture")

        return of

    for encoder, codec, make, output, option in (
        ("libvpx-vp9", "vp9", of_the_web, "out.webm", "cpu-used=8"),
        ("prores_ks", "prores", plain, "out.mov", "profile=0"),
    ):
        situation(
            "playable",
            f"--encoder {encoder}",
            make,
            judge_codec(codec),
            output,
            words=("--encoder", encoder, "--encoder-option", option),
            also=(("--resume", "--segment", "1"),),
        )

    def covered(folder: Path) -> Path:
        ffmpeg(*numbered(0.04, "64x64"), "-frames:v", "1", "cover.jpg", cwd=folder)
        clip(folder / "film.mp4", 0.4)
        maps = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:1", "attached_pic"]
        ffmpeg("-i", "film.mp4", "-i", "cover.jpg", *maps, "covered.mp4", cwd=folder)
        return folder / "covered.mp4"

    def judge_cover(run: Run) -> None:
        run.says("mov cannot hold")
        film = probe(run.output.with_suffix(".mkv"))
        covers = [s for s in film.streams if s["disposition"].get("attached_pic")]
        expect(len(covers) == 1, f"{len(covers)} covers")

    situation("playable", "a cover to out.mov", covered, judge_cover, "out.mov")
    situation(
        "playable",
        "a cover to out.mov, --strict",
        covered,
        lambda run: run.refused("mov cannot hold"),
        "out.mov",
        words=("--strict",),
    )


for _each in (
    _shapes,
    _names,
    _places,
    _late_sound,
    _playable,
    _joins,
    _offsets,
    _equal_times,
    _lost_packets,
    _holes,
    _spans,
):
    _each()


def main() -> None:
    """Try all situations whose name has the words given, and say what came out."""
    import tempfile

    wrong = 0
    for situation in SITUATIONS:
        if not all(word in f"{situation.kind} {situation.name}" for word in sys.argv[1:]):
            continue
        for more in ((), *situation.also):
            with tempfile.TemporaryDirectory() as name:
                run = situation.run(Path(name), *more)
                try:
                    situation.judge(run)
                    verdict = "right"
                except Wrong as error:
                    verdict, wrong = f"WRONG  {error}", wrong + 1
            print(f"{situation.kind:8} {situation.name} {' '.join(more)}: {verdict}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
