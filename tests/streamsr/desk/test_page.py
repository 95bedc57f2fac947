"""The desk's page in Chromium, as a user has it: with the mouse, with the keyboard alone, on a
phone, in dark and light, for who does not see it, and over a kill of the program.

The pictures of docs/desk.md come from here: ``STREAMSR_TEST_PICTURES=docs/images``.
"""

import base64
import json
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.streamsr.desk.serving import Desk, serving
from tests.support.browser import Page, chromium
from tests.support.command import started
from tests.support.media import look as media_in
from tests.support.servers import free_port, web_server
from tests.support.until import until

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
pytest.importorskip("starlette", reason="the extra [web] is not installed")

SAMPLE = ROOT / "samples" / "bbb_640x360.mp4"
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = os.environ.get("STREAMSR_TEST_PICTURES")
WIDE, PHONE = (1100, 900), (390, 844)

PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
STATES = "JSON.stringify([...document.querySelectorAll('.state')].map(s => s.textContent))"
FOCUSED = "document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowRight": 39, "Escape": 27}


def states(page: Page) -> list[str]:
    return list(json.loads(page.value(STATES)))


def until_states(page: Page, *wanted: str) -> None:
    page.until(f"{STATES} === {json.dumps(json.dumps(list(wanted), separators=(',', ':')))}")


def clicked(page: Page, label: str) -> None:
    """Click the button of this name, where a user sees it."""
    find = (
        "[...document.querySelectorAll('button, a')].find(b => b.checkVisibility() && "
        f"(b.ariaLabel || b.innerText).split(/[\\n/]$|\\n/)[0] === {json.dumps(label)})"
    )
    page.until(f"{find} !== undefined")
    page.value(f"{find}.scrollIntoView({{block: 'center'}})")
    page.value(PAINTED)
    box = json.loads(page.value(f"JSON.stringify({find}.getBoundingClientRect())"))
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind in ("mousePressed", "mouseReleased"):
        page.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def dropped(page: Page, *files: Path) -> None:
    """Drop files on the page, as a file manager does."""
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.do("Input.dispatchDragEvent", type=kind, x=300, y=150, data=data)


def pressed(page: Page, key: str, times: int = 1) -> None:
    code = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
    text = {"Enter": "\r", " ": " "}.get(key, "")
    for _ in range(times):
        page.do("Input.dispatchKeyEvent", type="keyDown", text=text, **code)
        page.do("Input.dispatchKeyEvent", type="keyUp", **code)


def tabbed_to(page: Page, label: str) -> None:
    """Press Tab until what has this name has the focus."""
    seen = []
    for _ in range(60):
        seen.append(page.value(FOCUSED) or "")
        if seen[-1].strip().startswith(label):
            return
        pressed(page, "Tab")
    raise AssertionError(f"no Tab reaches {label!r}, but {seen}")


def shown_as(page: Page, size: tuple[int, int], scheme: str = "light") -> None:
    """A screen of this size that prefers this colour scheme."""
    page.do(
        "Emulation.setDeviceMetricsOverride",
        width=size[0], height=size[1], deviceScaleFactor=1, mobile=size == PHONE,
    )  # fmt: skip
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.do("Emulation.setEmulatedMedia", features=features)


def pictured(page: Page, name: str, folder: Path) -> None:
    """The page as a picture: kept for the documents where that is asked for, which must have one
    of its size anyway."""
    page.value("element('output').textContent = '/home/you/Videos/streamsr'")
    taken = page.do("Page.captureScreenshot", format="webp", quality=70)["data"]
    content = base64.b64decode(taken)
    (folder / f"{name}.webp").write_bytes(content)
    if PICTURES:
        (ROOT / PICTURES / f"{name}.webp").write_bytes(content)
    kept = (ROOT / "docs" / "images" / f"{name}.webp").read_bytes()
    assert webp_size(kept) == webp_size(content)


def webp_size(content: bytes) -> tuple[int, int]:
    """Of a lossy one; RFC 9649, section 2.5."""
    at = content.index(b"VP8 ") + 14
    width, height = struct.unpack("<HH", content[at : at + 4])
    return width & 0x3FFF, height & 0x3FFF


def findings(page: Page) -> list[str]:
    """What axe finds serious; empty too where it is not installed, which another test says."""
    if not AXE.exists():
        return []
    page.value(AXE.read_text(encoding="utf-8"))
    found = page.value(
        "axe.run().then(r => JSON.stringify(r.violations.map(v => "
        "[v.impact, v.id, v.nodes.map(n => n.html.slice(0, 100))])))"
    )
    return [str(each) for each in json.loads(found)]


def fits(page: Page, size: tuple[int, int]) -> bool:
    """Whether nothing is wider than the screen; a phone makes its page as wide as what is in it."""
    return bool(page.value(f"document.documentElement.scrollWidth <= {size[0]}"))


def test_axe_is_there() -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm install --no-save axe-core@4")


def test_drop_choose_run_pause_kill_start_finish_play(tmp_path: Path) -> None:
    port = free_port()
    words = ("-o", tmp_path / "out", "--state", tmp_path / "state", "--port", port)
    film = tmp_path / "bunny.mp4"
    shutil.copy(SAMPLE, film)
    with started("desk", *words) as first:
        url = first.says(r"open (http\S+)")[1]
        with chromium(
            tmp_path / "profile", url, "--autoplay-policy=no-user-gesture-required"
        ) as page:
            shown_as(page, WIDE)
            page.until("desk !== null")
            dropped(page, film)
            page.until("document.body.dataset.looks === '1'")
            assert page.value("element('chosen').textContent") == "bunny.mp4"
            # The divider: each end shows one picture alone.
            whole = "element('picture').toDataURL()"
            move = "element('divider').value = {}; divide()"
            sides = [page.value(f"{move.format(at)}; {whole}") for at in (0, 500, 1000)]
            assert len(set(sides)) == 3
            # Other choices, another picture; the same again, the same one.
            page.value(
                "element('sharpen').value = 0.5; element('at').value = 2; "
                "element('sharpen').dispatchEvent(new Event('input', {bubbles: true}))"
            )
            page.until("document.body.dataset.looks === '2'")
            sharpened = [page.value(f"{move.format(at)}; {whole}") for at in (0, 1000)]
            assert not set(sharpened) & set(sides)
            page.value(f"{move.format(500)}")
            page.value("element('choose').scrollIntoView()")
            assert findings(page) == []
            pictured(page, "desk_choose", tmp_path)
            clicked(page, "Start")
            clicked(page, "Pause: bunny.mp4")  # without delay, for a fast machine
            until_states(page, "paused")
            clicked(page, "Go on: bunny.mp4")
            until_states(page, "running")
            first.kill()
            page.until("element('state').textContent.startsWith('streamsr is not running')")
            with started("desk", *words) as second:  # the page that was left open goes on
                until_states(page, "done")
                assert page.value("document.querySelector('#finished .quiet').textContent") == (
                    "--scale=3 --sharpen=0.5"
                )
                clicked(page, "Play: bunny.mp4")
                page.until("after?.readyState > 2 && before?.readyState > 2")
                assert page.value("after.videoWidth === 3 * before.videoWidth")
                clicked(page, "Play")
                page.until("after.currentTime > 1.5")
                assert page.value("Math.abs(after.currentTime - before.currentTime) < 1")
                clicked(page, "Pause")
                page.until("after.paused && before.paused")
                page.value("after.currentTime = 3")
                page.until(
                    "!after.seeking && !before.seeking && Math.abs(before.currentTime - 3) < 0.1"
                )
                assert findings(page) == []
                pictured(page, "desk_play", tmp_path)
                pressed(page, "Escape")
                page.until("!element('player').open && after === null")
                clicked(page, "Remove: bunny.mp4")
                until_states(page)
                assert second.running
    assert media_in(tmp_path / "out" / "bunny.mp4").size == (1920, 1080)
    assert os.listdir(tmp_path / "state" / "dropped") == []  # the copy goes with its job


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """One whose queue has something of everything, its program being the test's."""
    with serving(tmp_path / "desk") as served:
        for name in ("birthday.mp4", "failing tape.avi"):
            served.until(served.add(name), "done" if name.startswith("b") else "failed")
        served.add("slow train.mp4", options={"scale": 2})
        for name in ("garden.mkv", "<b>&amp;\nnew line.mp4"):
            served.add(name)
        yield served
        (served.root / "release").touch()


def address(desk: Desk) -> str:
    return f"http://127.0.0.1:{desk.port}/?token={desk.token}"


ALL = ("failed", "running", "waiting", "waiting", "done")


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [("light", WIDE, "light"), ("dark", WIDE, "dark"), ("phone", PHONE, "dark")],
)
def test_everybody_can_read_it(
    tmp_path: Path, desk: Desk, name: str, size: tuple[int, int], scheme: str
) -> None:
    shutil.copy(SAMPLE, desk.root / "bunny.mp4")
    with chromium(tmp_path / "profile", address(desk)) as page:
        shown_as(page, size, scheme)
        until_states(page, *ALL)
        rates = "[...document.querySelectorAll('#queue .rate')].map(rate => rate.textContent)"
        page.until(f"{rates}[1] === '20 of 100 frames, 20.0 a second, 0:04 left'")
        assert findings(page) == []
        assert fits(page, size)
        dark = page.value("getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(20, 23, 26)") == (scheme == "dark")
        names = page.value(
            "JSON.stringify([...document.querySelectorAll('.name')].map(n => n.textContent))"
        )
        assert "<b>&amp;\\nnew line.mp4" in json.loads(names)
        assert page.value("document.querySelector('b') === null")
        page.value("element('queue-title').scrollIntoView()")
        pictured(page, f"desk_queue_{name}", tmp_path)
        clicked(page, str(desk.root))
        clicked(page, "bunny.mp4")
        page.until("document.body.dataset.looks === '1'")
        assert findings(page) == []
        assert fits(page, size)


def test_all_of_it_goes_by_keyboard(tmp_path: Path, desk: Desk) -> None:
    shutil.copy(SAMPLE, desk.root / "bunny.mp4")
    with chromium(tmp_path / "profile", address(desk)) as page:
        shown_as(page, WIDE)
        until_states(page, *ALL)
        tabbed_to(page, str(desk.root))
        pressed(page, "Enter")
        page.until(f"{FOCUSED}.trim() === 'Back'")
        tabbed_to(page, "bunny.mp4")
        pressed(page, "Enter")
        page.until("document.body.dataset.looks === '1'")
        assert page.value(FOCUSED) == "bunny.mp4"  # the heading of the part that has appeared
        tabbed_to(page, "line between before and after")
        before = page.value("element('picture').toDataURL()")
        pressed(page, "ArrowLeft", 40)
        assert page.value("element('picture').toDataURL()") != before
        tabbed_to(page, "Start")
        pressed(page, "Enter")
        until_states(page, "failed", "running", "waiting", "waiting", "waiting", "done")
        tabbed_to(page, "Earlier: bunny.mp4")
        pressed(page, " ")
        names = "[...document.querySelectorAll('#queue .name')].map(name => name.textContent)"
        page.until(f"{names}.indexOf('bunny.mp4') === 3")
        assert page.value(FOCUSED) == "Earlier: bunny.mp4"  # the focus stays with the job
        tabbed_to(page, "Remove: bunny.mp4")
        pressed(page, "Enter")
        until_states(page, *ALL)


def test_errors_are_said_as_the_command_says_them(tmp_path: Path, desk: Desk) -> None:
    (desk.root / "bad.mp4").write_bytes(b"no film")
    with chromium(tmp_path / "profile", address(desk)) as page:
        until_states(page, *ALL)
        said = page.value("document.querySelector('#queue .error').textContent")
        assert said == "streamsr: it cannot be read"
        clicked(page, str(desk.root))
        clicked(page, "bad.mp4")
        page.until("element('about').textContent.endsWith('not a media file, or damaged')")
        (desk.root / "bad.mp4").unlink()
        clicked(page, "Start")
        page.until("element('about').textContent.endsWith('bad.mp4: No such file or directory')")
        clicked(page, "Not this one")
        dropped(page, ROOT / "README.md")
        page.until("element('state').textContent.includes('README.md: is not the name of a film')")
        (desk.root / "mended").touch()
        clicked(page, "Try again: failing tape.avi")
        until_states(page, "waiting", "running", "waiting", "waiting", "done")


def test_a_page_whose_address_is_no_longer_right_says_so(tmp_path: Path, desk: Desk) -> None:
    with chromium(tmp_path / "profile", address(desk)) as page:
        until_states(page, *ALL)
        page.value("fetch = (real => (url, ...how) => real(url.split('?')[0], ...how))(fetch)")
        page.until("element('state').textContent.includes('open the one that streamsr printed')")


def test_two_pages_agree(tmp_path: Path, desk: Desk) -> None:
    with (
        chromium(tmp_path / "one", address(desk)) as one,
        chromium(tmp_path / "other", address(desk)) as other,
    ):
        for page in (one, other):
            until_states(page, *ALL)
        clicked(one, "Remove: garden.mkv")
        fewer = ("failed", "running", "waiting", "done")
        until_states(other, *fewer)
        clicked(other, "Pause: slow train.mp4")
        until_states(one, "failed", "paused", "done", "done")


def test_a_hostile_page_in_the_same_browser_does_nothing(tmp_path: Path, desk: Desk) -> None:
    """It knows the port, and even the number of a job; what it lacks is the token."""
    base = f"http://127.0.0.1:{desk.port}"
    attack = f"""
    const tries = [
      fetch("{base}/api/jobs", {{mode: "no-cors", credentials: "include"}}),
      fetch("{base}/api/jobs", {{method: "POST", mode: "no-cors", body: '{{"path": "/etc"}}'}}),
      fetch("{base}/api/jobs/3", {{method: "DELETE"}}),
      fetch("{base}/api/jobs/3?token={desk.token}", {{method: "DELETE"}}),
    ];
    for (const path of ["/?token={desk.token}", "/api/jobs/1/before?token={desk.token}"]) {{
      const frame = document.createElement("iframe");
      frame.src = "{base}" + path;
      document.body.append(frame);
    }}
    Promise.allSettled(tries).then(r => r.map(t => t.status + (t.value?.type || "")).join())
    """
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "index.html").write_text("<body>evil</body>")
    with web_server(evil) as site, chromium(tmp_path / "profile", site) as page:
        page.until("document.body?.innerText === 'evil'")
        said = page.value(attack)
        assert said == "fulfilledopaque,fulfilledopaque,rejected,rejected", said

        def refused() -> list[str]:
            frames = page.do("Page.getFrameTree")["frameTree"].get("childFrames", [])
            return [each["frame"].get("unreachableUrl", "") for each in frames]

        until(lambda: [url.startswith(base) for url in refused()] == [True, True], seen=refused)
    numbers = [job.number for job in desk.runner.jobs]
    assert numbers == [1, 2, 3, 4, 5]
