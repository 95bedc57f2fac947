"""What the documents say is so: their commands and programs run, their site builds, their links
lead somewhere."""

import ast
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from streamsr.cli import cli
from streamsr.cli.pipeline_file import COMMANDS, read_pipeline
from tests.conftest import ROOT
from tests.support.command import Command
from tests.support.markdown import Snippet, commands_of, run_script, snippets, words_of
from tests.support.processes import run
from tools.pages import benchmarks, budget, fidelity, newcomer, scaling, streams
from xlsr_model.__main__ import app as trainer
from xlsr_model.report.page import filled

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "samples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

ELSEWHERE = {
    "docs/ffmpeg.md": "whole/test_ffmpeg_recipes.py",
    "docs/gstreamer.md": "gstreamer/test_gstreamer.py",
    "docs/recipes.md": "whole/test_recipes.py",
    "docs/vapoursynth.md": "test_vapoursynth.py",
}
"""Whose commands and programs a test of their own runs, with all they need."""

RUN_ELSEWHERE = {"sh", "python", "ini", "dockerfile"}

SHOWN = {"html", "promql", "text"}
"""What programs print, drawings, Prometheus's expressions (test_metrics.py reads these), pages
(test_hls_page.py opens it): nothing to
be run."""

NEEDS = {
    "--metrics": ("prometheus_client", "metrics"),
    "web": ("uvicorn", "web"),
    "--cluster": ("ray", "cluster"),
}
"""What an option, or its value, needs that may not be installed."""

MOST_PICTURE_BYTES = 100_000
"""Every version of a picture stays in the repository for good."""

TRAINER = ["python", "-m", "xlsr_model"]

FILM = "testsrc2=size=160x90:rate=6:duration=2"
SOUND = "sine=frequency=440:duration=2"


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the documents name, each of two seconds."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    folder = tmp_path_factory.mktemp("prepared")
    for name in ("larger", "samples", "old", "pictures"):
        (folder / name).mkdir()
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    for script in (ROOT / "samples").glob("*.py"):
        shutil.copy(script, folder / "samples")
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        FILM,
        "-f",
        "lavfi",
        "-i",
        SOUND,
        "-pix_fmt",
        "yuv420p",
        folder / "film.mkv",
    )
    ffmpeg("-i", folder / "film.mkv", "-frames:v", 1, folder / "photo.jpg")
    ffmpeg("-i", folder / "film.mkv", "-frames:v", 4, folder / "pictures" / "%03d.png")
    for name in ("film.mp4", "in.mp4", "old/a.mp4", "old/b.mp4", "samples/bbb_640x360.mp4"):
        ffmpeg("-i", folder / "film.mkv", "-c", "copy", folder / name)
    return folder


def ffmpeg(*words: object) -> None:
    run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *words], check=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_snippet_runs(
    document: Path,
    prepared: Path,
    streamsr: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In order, in one folder, as someone who follows the page would."""
    folder = tmp_path / "here"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # as all tests of the trainer
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    for snippet in snippets(document, ROOT):
        if name_of(document) in ELSEWHERE and snippet.kind in RUN_ELSEWHERE:
            test = (ROOT / "tests" / "streamsr" / ELSEWHERE[name_of(document)]).read_text()
            assert f'"{document.name}"' in test
        elif snippet.excuse is not None:
            check_options(snippet, folder)
        elif snippet.kind in ("sh", "bash"):
            run_shell(snippet, folder, streamsr)
        elif snippet.kind == "python":
            exec(compile(snippet.text, snippet.where, "exec"), {"__name__": "__main__"})
        elif snippet.kind == "toml":
            check_pipeline(snippet, folder)
        elif snippet.kind == "yaml":
            pytest.importorskip("yaml").safe_load(snippet.text)
        elif snippet.kind == "json":
            json.loads(snippet.text)
        else:
            assert snippet.kind in SHOWN, (
                f"{snippet.where}: what is a block of {snippet.kind or 'nothing'}?"
            )
            assert not re.search(r"^\s*(\$|streamsr|python|pip) ", snippet.text, re.M), (
                f"{snippet.where}: is a command"
            )


def run_shell(snippet: Snippet, folder: Path, streamsr: Command) -> None:
    """In this process where it is nothing but our own commands, which saves a second each, and
    TensorFlow's ten."""
    parts = [words_of(line, folder) or [] for line in commands_of(snippet.text)]
    if all(words[:1] == ["streamsr"] or words[:3] == TRAINER for words in parts):
        for words in parts:
            if words[:1] == ["streamsr"]:
                for option, (package, extra) in NEEDS.items():
                    if option in words:
                        pytest.importorskip(
                            package, reason=f"{snippet.where} needs the {extra} extra"
                        )
                # A port of its own: the usual one may be taken here.
                result = streamsr(*("0" if word == "9464" else word for word in words[1:]))
                assert result.status == 0, f"{snippet.where}: {words}\n{result.err}"
            else:
                pytest.importorskip("tensorflow", reason="needs the train extra")
                trainer.main(words[3:], standalone_mode=False)
    else:
        done = run_script(snippet.text, folder)
        assert done.returncode == 0, (
            f"{snippet.where}: {snippet.text}\n{done.stdout}\n{done.stderr}"
        )


def check_options(snippet: Snippet, folder: Path) -> None:
    """Our commands in it are right as far as can be seen without running them."""
    for line in commands_of(snippet.text) if snippet.kind in ("sh", "bash") else []:
        words = words_of(line, folder) or []
        if words[:1] == ["streamsr"] and words[1:2] != ["run"]:
            with cli.commands[words[1]].make_context("streamsr", words[2:]):
                pass


def check_pipeline(snippet: Snippet, folder: Path) -> None:
    assert "command" in tomllib.loads(snippet.text)
    path = folder / "snippet.toml"
    path.write_text(snippet.text)
    with read_pipeline(path, {name: cli.commands[name] for name in COMMANDS}).context():
        pass


def test_what_no_test_runs_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    found = [snippet for document in DOCUMENTS for snippet in snippets(document, ROOT)]
    excused = [snippet for snippet in found if snippet.excuse is not None]
    with capsys.disabled():
        print(
            f"\n{len(found)} snippets in {len(DOCUMENTS)} documents, {len(excused)} of them not "
            f"run:"
        )
        for snippet in excused:
            print(f"  {snippet.where}: {snippet.excuse}")
    assert len(excused) < len(found) / 4


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_option_in_the_text_exists(document: Path) -> None:
    commands = [*cli.commands.values(), *trainer.commands.values()]
    known = {
        name
        for command in commands
        for param in command.params
        for name in (*param.opts, *param.secondary_opts)
    }
    text = re.sub(
        r"^ *```.*?^ *```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for span in re.findall(r"`((?:--|streamsr |python -m xlsr_model )[^`\n]+)`", text):
        named = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", span))
        assert named <= known | {"--help", "--version"}, span


class Links(HTMLParser):
    """Where a page leads, what it fetches, and the anchors it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.fetches: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.leads.append(values["href"])
        elif tag == "link" and values.get("rel") != "canonical" and "href" in values:
            self.fetches.append(values["href"])
        elif "src" in values:
            self.fetches.append(values["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of mkdocs is an error (but none is one with --quiet)."""
    pytest.importorskip("mkdocs", reason="needs the docs extra")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    run(words, cwd=ROOT, timeout_s=200, check=True)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    return {page: Links(page) for page in site.rglob("*.html")}


def test_every_page_is_in_the_site_and_its_menu(site: Path, pages: dict[Path, Links]) -> None:
    menu = {
        (site / link).resolve()
        for link in pages[site / "index.html"].leads
        if not urlsplit(link).scheme
    }
    for document in (ROOT / "docs").rglob("*.md"):
        page = site / document.relative_to(ROOT / "docs").with_suffix(".html")
        assert page.resolve() in menu, f"{document} is not in the nav of mkdocs.yml"


def test_links_and_anchors_inside_the_site_lead_somewhere(
    site: Path, pages: dict[Path, Links]
) -> None:
    for page, links in pages.items():
        for link in links.leads + links.fetches:
            parts = urlsplit(link)
            if (
                parts.scheme or parts.netloc or page.name == "404.html"
            ):  # that one is for a server's root
                continue
            target = (page.parent / parts.path).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{page.relative_to(site)}: {link}"
            if parts.fragment and target in pages:
                assert parts.fragment in pages[target].anchors | {"__top"}, (
                    f"{page.relative_to(site)}: {link}"
                )


def test_the_site_fetches_nothing_from_elsewhere(site: Path, pages: dict[Path, Links]) -> None:
    for page, links in pages.items():
        foreign = [link for link in links.fetches if urlsplit(link).netloc]
        assert not foreign, f"{page.relative_to(site)}: {foreign}"
    for style in site.rglob("*.css"):
        assert not re.search(
            r"(url\(|@import )['\"]?(https?:)?//", style.read_text(encoding="utf-8")
        ), style


def test_the_command_reference_has_every_option(site: Path) -> None:
    text = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for name, command in cli.commands.items():
        assert (f"streamsr {name}" in text) != command.hidden
        if command.hidden:
            continue
        for option in (
            option for param in command.params for option in param.opts if option.startswith("--")
        ):
            assert option in text


def test_the_library_reference_has_every_public_name(site: Path) -> None:
    import streamsr

    text = (site / "reference" / "library.html").read_text(encoding="utf-8")
    for name in streamsr.__all__:
        assert re.search(rf"\b{name}\b", text), name


def test_the_budget_pictures_are_of_this_policy() -> None:
    """Else: python -m tools.pages.budget."""
    for name, content in budget.contents().items():
        image = (budget.IMAGES / f"{name}.png").read_bytes()
        assert budget.digest(content).encode() in image, f"{name}.png shows another policy"


@pytest.mark.parametrize(
    "maker",
    [benchmarks, fidelity, newcomer, scaling, streams],
    ids=lambda maker: str(maker.PAGE.stem),
)
def test_a_page_shows_what_was_measured(maker: ModuleType) -> None:
    """Else: python -m tools.pages.NAME."""
    text = maker.PAGE.read_text(encoding="utf-8")
    parts = maker.parts()
    assert set(re.findall(r"<!-- begin: (\S+) -->", text)) == set(parts)
    assert filled(text, parts) == text


def test_pictures_of_the_pages_are_small() -> None:
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < MOST_PICTURE_BYTES, picture


def test_troubleshooting_has_the_messages_of_the_program() -> None:
    said = "\n".join(constants())
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = [
        message
        for row in re.findall(r"^\| (`.*?`) \|", text, re.M)
        for message in re.findall(r"`(.+?)`", row)
    ]
    assert len(messages) > 30
    for message in messages:
        for part in message.split("..."):
            assert part.strip(" :") in said, f"no message has {part!r}"


def constants() -> Iterator[str]:
    """Every text in the sources, and what the system says of errors."""
    for package in ("streamsr", "xlsr_model"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(
                    node, ast.JoinedStr
                ):  # a gap for each value, so that no part joins across one
                    yield "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "\0"
                        for part in node.values
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
    yield from (os.strerror(number) for number in range(1, 130))
