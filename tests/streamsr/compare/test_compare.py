"""``streamsr compare`` from end to end: what its sheets show is what `upscale` makes."""

import base64
import io
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from streamsr import Upscaler
from tests.support.command import Command, Result, started
from tests.support.command import streamsr as streamsr_line
from tests.support.engine import EXACT
from tests.support.media import HELD_UPRIGHT, make_video, noise
from tests.support.processes import limited
from tests.support.processes import run as run_program

Picture = NDArray[np.uint8]


@pytest.fixture
def compare(streamsr: Command) -> Command:
    """Run ``streamsr compare`` on the exact engine, with a fast encoder."""

    def run(film: Path, *args: object) -> Result:
        return streamsr("compare", film, "--engine", EXACT, "--preset", "ultrafast", *args)

    return run


class Page(HTMLParser):
    """A sheet: its pictures by what they show, its text, and all addresses in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.pictures: dict[str, Picture] = {}
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        self.addresses += [values[name] or "" for name in ("src", "href") if name in values]
        if tag == "img":
            content = base64.b64decode((values["src"] or "").partition(",")[2])
            with Pillow.open(io.BytesIO(content)) as image:
                self.pictures[values["alt"] or ""] = np.asarray(image.convert("RGB"))

    def handle_data(self, data: str) -> None:
        self.text += data


def found(part: Picture, sheet: Picture) -> bool:
    """Whether a picture stands somewhere in another, pixel for pixel."""
    height, width = part.shape[:2]
    rows, columns = sheet.shape[0] - height + 1, sheet.shape[1] - width + 1
    same = np.ones((rows, columns), bool)
    for y, x in ((0, 0), (0, width - 1), (height - 1, 0), (height // 2, width // 2)):
        same &= (sheet[y : y + rows, x : x + columns] == part[y, x]).all(axis=2)
    return any(
        np.array_equal(sheet[y : y + height, x : x + width], part) for y, x in np.argwhere(same)
    )


def place_of(words: str) -> tuple[int, int, int, int]:
    """x, y, width and height of a part, from the words about it."""
    match = re.search(r"(\d+)x(\d+) at (\d+), (\d+)", words)
    assert match is not None, words
    width, height, x, y = map(int, match.groups())
    return x, y, width, height


def lossless(path: Path, size: tuple[int, int] = (96, 64), **how: Any) -> Path:
    """A film in RGB: other programs decode it to the same pixels."""
    return make_video(path, size=size, codec="png", pix_fmt="rgb24", **how)


def decoded(path: Path, number: int) -> Picture:
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    return frames[number]


def test_a_sheet_shows_what_upscaling_gives(compare: Command, tmp_path: Path) -> None:
    film = lossless(tmp_path / "film.mov")
    result = compare(film, "--at", "0.2", "-o", tmp_path / "sheet.html", "--crop", "120x90")
    assert result.status == 0, result.err
    compare(film, "--at", "0.2", "-o", tmp_path / "sheet.png", "--crop", "120x90")
    with Pillow.open(tmp_path / "sheet.png") as image:
        whole = np.asarray(image.convert("RGB"))
    frame = decoded(film, 5)
    choices = {
        "bicubic": {"model": "clean", "strength": 0.0},
        "clean, quality lite": {"model": "clean", "quality": "lite"},
        "clean": {"model": "clean"},
        "video": {"model": "video"},
        "clean, sharpen 0.5": {"model": "clean", "sharpen": 0.5},
        "clean, strength 0.5": {"model": "clean", "strength": 0.5},
    }
    pictures = Page(tmp_path / "sheet.html").pictures
    assert {words.rpartition(", 0:")[0] for words in pictures} == set(choices)
    for words, picture in pictures.items():
        x, y, width, height = (3 * side for side in place_of(words))
        assert (width, height) == (120, 90)
        with Upscaler(**choices[words.rpartition(", 0:")[0]], scale=3, engine=EXACT) as upscaler:
            expected = upscaler(frame)[y : y + height, x : x + width]
        assert np.array_equal(picture, expected), words
        assert found(expected, whole), words
    smooth = next(picture for words, picture in pictures.items() if words.startswith("bicubic"))
    x, y, width, height = (3 * side for side in place_of(next(iter(pictures))))
    large = cv2.resize(frame, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(smooth, large[y : y + height, x : x + width])


def test_its_commands_give_what_it_shows(
    compare: Command, streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film as films are, through the whole command: within what its encoding to YUV changes."""
    monkeypatch.chdir(tmp_path)
    make_video(Path("film.mkv"), size=(96, 64), options={"crf": "30"})
    result = compare(Path("film.mkv"), "--at", "0:00.2", "-o", "sheet.html", "--crop", "288x192")
    lines = result.out.splitlines()
    assert len(lines) == 6, result.out
    pictures = Page(Path("sheet.html")).pictures
    for line in lines:
        label, command = line.split("  ")[0], line[line.index("streamsr upscale") :]
        _, _, film, _, target, *options = command.split()
        assert streamsr("upscale", film, "-o", target, *options, "--crf", 0).status == 0
        seen = next(p for words, p in pictures.items() if words.startswith(f"{label}, 0:"))
        made = decoded(Path(target), 5)
        assert made.shape == seen.shape
        assert np.abs(made.astype(int) - seen).mean() < 3, label
        Path(target).unlink()


def test_a_turned_film_of_wide_pixels_is_shown_as_players_do(
    compare: Command, tmp_path: Path
) -> None:
    def prepare(_container: Any, stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio = 2
        stream.set_display_matrix(HELD_UPRIGHT)

    film = lossless(tmp_path / "film.mov", prepare=prepare)
    result = compare(
        film,
        "--at",
        "0.2",
        "-o",
        tmp_path / "s.html",
        "--crop",
        "90x120",
        "--choice",
        "model=clean",
    )
    assert result.status == 0, result.err
    for words, picture in Page(tmp_path / "s.html").pictures.items():
        x, y, width, height = (3 * side for side in place_of(words))
        strength = 0.0 if words.startswith("bicubic") else 1.0
        with Upscaler("clean", strength=strength, engine=EXACT) as upscaler:
            part = upscaler(decoded(film, 5))[y : y + height, x : x + width]
        wide = cv2.resize(part, (2 * width, height), interpolation=cv2.INTER_CUBIC)
        assert np.array_equal(picture, np.rot90(wide, -1)), words
        assert picture.shape[:2] == (120, 90)


def make_gif(path: Path) -> None:
    pages = [Pillow.fromarray(noise(40, 30, seed)) for seed in range(4)]
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=100)


def cut_off(path: Path) -> None:
    """The header says 40 frames; the last half of them is noise."""
    make_video(path, size=(96, 64), pts=range(40), options={"g": "4", "crf": "1"})
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : len(content) * 9 // 10] = os.urandom(len(content) * 9 // 10 - half)
    path.write_bytes(content)


def written_png(path: Path, size: tuple[int, int]) -> None:
    Pillow.fromarray(noise(*size)).save(path)


FILMS: dict[str, Callable[[Path], object]] = {
    "tiny.mkv": lambda path: make_video(path, size=(16, 16)),
    "one.mp4": lambda path: make_video(path, pts=[0]),
    "portrait.mp4": lambda path: make_video(path, size=(36, 120)),
    "bare.h264": lambda path: make_video(path),
    "packets.ts": lambda path: make_video(path, pts=range(90), options={"g": "10"}),
    "late.mkv": lambda path: make_video(path, pts=range(5000, 5030)),
    "still.mkv": lambda path: make_video(path, pts=[*range(20), 5000, 5001]),
    "damaged.mkv": cut_off,
    "photo.png": lambda path: written_png(path, (300, 200)),
    "dot.png": lambda path: written_png(path, (1, 1)),
    "moving.gif": make_gif,
    "hdr.mkv": lambda path: make_video(
        path,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"x265-params": "log-level=none:transfer=16:colorprim=9:colormatrix=9"},
    ),
    "<b>&'\" $(id) \udcff.mkv": make_video,
    "-o.mkv": make_video,
}


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("ending", [".png", ".html"])
def test_every_kind_of_film_gets_a_sheet(
    compare: Command, tmp_path: Path, name: str, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = Path("made" + Path(name).suffix)
    FILMS[name](made)
    made.rename(name)
    before = set(os.listdir())
    result = compare("--overwrite", "-o", f"sheet{ending}", "--choice", "model=clean", "--", name)
    assert result.status == 0, result.err
    assert set(os.listdir()) == before | {f"sheet{ending}"}
    assert [line.split("  ")[0] for line in result.out.splitlines()] == ["bicubic", "model=clean"]
    if ending == ".png":
        with Pillow.open("sheet.png") as image:
            assert image.format == "PNG"
            image.load()
    else:
        page = Page(Path("sheet.html"))
        assert "b" not in page.tags
        assert all(address.startswith("data:") for address in page.addresses)
        assert len(page.pictures) >= 2
        assert ("pale" in page.text) == (name == "hdr.mkv")


def test_no_sheet_takes_the_place_of_another(compare: Command, tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mkv")
    for _ in range(2):
        assert compare(film, "--choice", "sharpen=1").status == 0
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["film.mkv", "film_compare.png", "film_compare_2.png"]
    first = (tmp_path / "film_compare.png").read_bytes()
    refused = compare(film, "-o", tmp_path / "film_compare.png")
    assert refused.status == 1
    assert "exists already" in refused.err
    assert (tmp_path / "film_compare.png").read_bytes() == first
    onto_itself = compare(film, "-o", film.rename(tmp_path / "film.png"), "--overwrite")
    assert onto_itself.status == 1


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (["--at", "99"], "no frame could be decoded at 99 s; it is 0:00:00 long", 1),
        (["--at", "1,x"], "'x' is not a time", 2),
        (["--at", ",".join("1" * 13)], "at most 12", 2),
        (["-o", "sheet.jpg"], ".png", 2),
        (["--choice", "modell=clean"], "'modell' is not one of", 2),
        (["--choice", "sharpen"], "takes a value", 2),
        (["--choice", "consistency=1"], "takes no value", 2),
        (["--choice", "sharpen=2"], "sharpen=2", 2),
        (["--choice", "codec=ffv1,crf=3"], "lossless", 2),
        (["--choice", "model=nothing.tflite"], "nothing.tflite", 1),
        (["--choice", "encoder=nothing"], "nothing", 1),
        (["--crop", "9999x9"], "at most", 2),
        (["--scale", "2", "--to", "1080p"], "exclude", 2),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(
    compare: Command, tmp_path: Path, words: list[str], said: str, status: int
) -> None:
    film = make_video(tmp_path / "film.mkv")
    result = compare(film, *words)
    assert result.status == status, result.err
    assert said in result.err
    assert os.listdir(tmp_path) == ["film.mkv"]


@pytest.mark.parametrize("name", ["gone.mkv", "words.mkv", "words.png"])
def test_what_is_no_film_is_said(compare: Command, tmp_path: Path, name: str) -> None:
    if name != "gone.mkv":
        (tmp_path / name).write_text("words")
    result = compare(tmp_path / name)
    assert result.status == 1
    assert len(result.lines) == 1
    assert name in result.err
    assert os.listdir(tmp_path) == ([] if name == "gone.mkv" else [name])


def test_choices_are_upscales_options(compare: Command, tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mkv")
    result = compare(
        film,
        *("--scale", "2", "--codec", "hevc", "--crf", "33"),
        *("--choice", "no-consistency,model=clean", "--choice", "strength=0", "-o"),
        tmp_path / "sheet.html",
    )
    assert result.status == 0, result.err
    ends = [line.partition("_x2.mkv ")[2] for line in result.out.splitlines()]
    common = f"--scale 2 --engine {EXACT} --codec hevc --crf 33 --preset ultrafast"
    assert ends == [f"{common} --no-consistency --model clean", f"{common} --strength 0"]


def test_a_size_is_that_of_the_result(compare: Command, tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mkv", size=(96, 64))
    result = compare(film, "--to", "240x160", "-o", tmp_path / "t.html", "--crop", "1000x1000")
    assert result.status == 0, result.err
    shapes = {picture.shape for picture in Page(tmp_path / "t.html").pictures.values()}
    assert shapes == {(160, 240, 3)}


def test_the_size_is_about_what_the_whole_film_gets(
    compare: Command, streamsr: Command, tmp_path: Path
) -> None:
    """Of a film whose frames are all alike; times are the machine's, and not judged."""
    film = make_video(tmp_path / "film.mkv", size=(160, 96), pts=range(200))
    words = ("--crf", 18, "--model", "clean")
    result = compare(film, *words, "-o", tmp_path / "s.png", "--choice", "sharpen=1")
    said = re.findall(r"([\d.]+) (KB|MB)  streamsr", result.out)
    estimated = float(said[-1][0]) * {"KB": 1e3, "MB": 1e6}[said[-1][1]]
    streamsr(
        *("upscale", film, "-o", tmp_path / "o.mkv", *words, "--sharpen", 1),
        *("--preset", "ultrafast"),
    )
    with av.open(str(tmp_path / "o.mkv")) as made:
        actual = sum(packet.size for packet in made.demux(video=0))
    assert 0.7 < estimated / actual < 1.4, (estimated, actual)


@given(name=st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=20))
def test_a_shell_takes_the_commands_names_for_what_they_are(name: str) -> None:
    from streamsr.compare.choices import command

    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    source = Path(os.fsdecode(name.encode("utf-8", "surrogatepass")) + ".mkv")
    line = command(source, (), 3)
    assert line.isprintable()
    script = f'streamsr() {{ printf "%s\\0" "$@"; }}; {line}'
    seen = subprocess.run([bash, "-c", script], capture_output=True, check=True).stdout.split(b"\0")
    assert os.fsencode(source) in (seen[1], seen[1].removeprefix(b"./"))
    assert not seen[1].startswith(b"-")
    assert seen[2] == b"-o"
    assert len(seen) == 5


@pytest.mark.parametrize("at", ["places", "stretch"])
def test_a_sheet_that_is_stopped_leaves_nothing(tmp_path: Path, at: str) -> None:
    film = make_video(tmp_path / "film.mkv", size=(320, 180), pts=range(100))
    folder = tmp_path / "temporary"
    folder.mkdir()
    env = {**os.environ, "TMPDIR": str(folder)}
    with started("compare", film, "--preset", "veryslow", env=env) as process:
        process.says("places")
        if at == "stretch":
            process.until(lambda: list(folder.glob("*/.stretch.mkv*")))
        process.send(signal.SIGINT)
        assert process.ended() == 130
    assert sorted(os.listdir(tmp_path)) == ["film.mkv", "temporary"]
    assert os.listdir(folder) == []


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """As a limit on files, which is met like the end of a disk."""
    film = make_video(tmp_path / "film.mkv", size=(160, 96))
    words = limited(streamsr_line("compare", film, "-o", tmp_path / "s.html"), file_bytes=1 << 15)
    done = run_program(words)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["film.mkv"]
