"""What `train` and `adapt` do around a run: signals, videos, what a run was begun with."""

import os
import signal
import threading

import numpy as np
import pytest
from PIL import Image

from selfvos import api
from selfvos.errors import Stopped, UsageError
from selfvos.models.weights import load_weights
from selfvos.types import Watching

FEW = (
    *("model.mask_path=none", "clips.crop_px=64", "warmup.steps_per_epoch=2", "warmup.epochs=2"),
    *("warmup.batch_clips=1", "joint.epochs=0", "precision=float32", "checkpoint_steps=100"),
)


@pytest.fixture
def videos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for t in range(8):
            rgb = rng.integers(0, 255, (8, 12, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
            Image.fromarray(rgb).save(tmp_path / "videos" / name / f"{t}.png")
    return tmp_path / "videos"


@pytest.fixture
def config():
    return api.recipe("mask_vos_resnet18_tiny", FEW)


@pytest.fixture
def cached(videos, config, tmp_path):
    return api.open_video_cache(videos, config, cache=tmp_path / "cache")


@pytest.fixture(params=["foreground", "background"])
def started(request):
    """Signals as a shell leaves them to what it starts: in the background Ctrl-C is ignored."""
    ignored = signal.SIG_IGN if request.param == "background" else signal.default_int_handler
    before = signal.signal(signal.SIGINT, ignored)
    yield ignored
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_run_after_a_checkpoint_and_the_handler_is_given_back(
    cached, config, tmp_path, number, status, started
):
    before = signal.getsignal(signal.SIGTERM)
    watch = Watching(lambda *told, **_: told[:2] == ("warmup", 2) and os.kill(os.getpid(), number))
    with pytest.raises(Stopped, match="stopped after 2 steps; go on with --resume --out") as error:
        api.train(config, videos=cached, out=tmp_path / "run", device="cpu", watch=watch)
    assert error.value.exit_status == status
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == (before, started)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-0000002"]


def test_a_run_in_another_thread_is_stopped_by_its_watch(cached, config, tmp_path):
    asked, ended = threading.Event(), []
    watch = Watching(lambda *_, **__: asked.set(), asked.is_set)

    def run():
        try:
            api.train(config, videos=cached, out=tmp_path / "run", device="cpu", watch=watch)
        except Stopped as error:
            ended.append(error.exit_status)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended == [130]
    assert (tmp_path / "run" / "checkpoints" / "step-0000001").is_dir()


def test_a_run_goes_on_with_its_own_videos_alone(videos, cached, config, tmp_path):
    asked = []
    watch = Watching(lambda *_, **__: asked.append(1), lambda: bool(asked))
    with pytest.raises(Stopped):
        api.train(config, videos=cached, out=tmp_path / "run", device="cpu", watch=watch)
    (videos / "b" / "7.png").unlink()
    changed = api.open_video_cache(videos, config, cache=tmp_path / "cache")
    with pytest.raises(UsageError, match=r"run learned from other videos: b has changed; give the same --videos"):
        api.train(config, videos=changed, out=tmp_path / "run", device="cpu", resume=True)
    path = api.train(config, videos=cached, out=tmp_path / "run", device="cpu", resume=True)
    assert load_weights(path)[1].notes.steps == 4
