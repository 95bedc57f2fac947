import av
import numpy as np
import pytest

from xlsr_model.evaluation.evaluate import bicubic
from xlsr_model.evaluation.video import FRAMES, SKIPPED, compare_on_video, read_frames


@pytest.fixture
def clip(tmp_path):
    """A moving ramp of 40 frames, 98x66."""
    file = tmp_path / "clip.mp4"
    ramp = np.linspace(20, 235, 196).astype(np.uint8)
    with av.open(str(file), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, width=98, height=66, options={"crf": "10"}
        )
        for n in range(SKIPPED + FRAMES + 4):
            image = np.broadcast_to(ramp[n : n + 98, None], (66, 98, 3))
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                )
            )
        container.mux(stream.encode(None))
    return file


def test_frames_are_cut_to_a_multiple_of_the_scale(clip):
    frames = read_frames(clip, 4)
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * FRAMES
    assert not np.array_equal(frames[0], frames[-1])


def test_a_coarser_encoding_is_measured_as_worse(clip):
    fine, coarse = (
        compare_on_video(clip, [bicubic(3)], codec="libx264", crf=crf)["bicubic"]
        for crf in (10, 45)
    )
    assert fine > coarse + 1


def test_a_clip_that_is_too_short_is_refused(clip, tmp_path):
    short = tmp_path / "short.mp4"
    with av.open(str(clip)) as source, av.open(str(short), "w") as target:
        stream = target.add_stream("libx264", rate=25, width=98, height=66)
        for frame in list(source.decode(video=0))[:5]:
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r"short\.mp4: expected 36 frames"):
        read_frames(short, 3)
