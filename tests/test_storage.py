import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfvos.errors import DataError, OutOfSpace, UsageError
from selfvos.storage import atomic_folder, atomic_path, exclusive, sha256, write_bytes, write_text


def _fail(error):
    def fail(*_args, **_kwargs):
        raise error

    return fail


def test_a_new_file_appears_whole_with_its_folders(tmp_path):
    final = tmp_path / "a" / "b" / "note.txt"
    write_text(final, "Größe")
    assert final.read_bytes() == "Größe".encode()
    assert os.listdir(final.parent) == ["note.txt"]


def test_the_lent_path_has_the_same_folder_and_suffix_and_a_hidden_name(tmp_path):
    with atomic_path(tmp_path / "clip.mp4") as path:
        path.touch()
        assert (path.parent, path.suffix) == (tmp_path, ".mp4")
        assert path.name.startswith(".")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(old=st.binary(max_size=200), new=st.binary(max_size=200))
def test_any_content_replaces_any_content(tmp_path, old, new):
    final = tmp_path / "file.bin"
    write_bytes(final, old)
    write_bytes(final, new)
    assert final.read_bytes() == new


@pytest.mark.parametrize("error", [RuntimeError("bug"), DataError("bad frame"), KeyboardInterrupt()])
def test_a_failure_keeps_the_old_file_and_passes_through(tmp_path, error):
    final = tmp_path / "mask.png"
    write_bytes(final, b"old")

    def write_half():
        with atomic_path(final) as path:
            path.write_bytes(b"half of the n")
            raise error

    with pytest.raises(type(error)) as caught:
        write_half()
    assert caught.value is error
    assert final.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["mask.png"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file_and_says_what_to_do(tmp_path, monkeypatch, number, step):
    final = tmp_path / "weights.safetensors"
    write_bytes(final, b"old")
    monkeypatch.setattr(os, step, _fail(OSError(number, os.strerror(number))))
    with pytest.raises(OutOfSpace, match=r"disk full while writing .*weights\.safetensors: free some space") as caught:
        write_bytes(final, b"new")
    monkeypatch.undo()
    assert caught.value.exit_status == 4
    assert final.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.safetensors"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError("Not enough free space to write 80000000 bytes after offset 128"),
    ],
    ids=["safetensors", "numpy"],
)
def test_a_full_disk_is_understood_in_the_words_of_other_libraries(tmp_path, error):
    with pytest.raises(OutOfSpace), atomic_path(tmp_path / "file.bin"):
        raise error
    assert os.listdir(tmp_path) == []


def test_a_failure_on_a_full_disk_is_the_disks_fault_whatever_it_says(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    # What torch.save raises when its file cannot grow.
    with pytest.raises(OutOfSpace), atomic_path(tmp_path / "state.pt"):
        raise RuntimeError("[enforce fail at inline_container.cc] . unexpected pos 576 vs 534")


def test_a_broken_input_stays_a_broken_input_on_a_full_disk(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(DataError), atomic_path(tmp_path / "state.pt"):
        raise DataError("no frames")


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    final = tmp_path / "checkpoint.pt"
    write_bytes(final, b"old")
    program = textwrap.dedent(
        """
        import sys, time
        from selfvos.storage import atomic_path
        with atomic_path(sys.argv[1]) as path, open(path, "wb") as file:
            file.write(b"new" * 100_000)
            file.flush()
            print("half way", flush=True)
            time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", program, final], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half way\n"
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(timeout=10) == -signal.SIGKILL
    assert final.read_bytes() == b"old"
    left = [name for name in os.listdir(tmp_path) if name != "checkpoint.pt"]
    assert all(name.startswith(".") for name in left)
    write_bytes(final, b"new")
    assert final.read_bytes() == b"new"


def test_a_file_where_a_folder_should_be_is_a_usage_error(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match=r"cannot write .*out/a\.png: .*; choose another folder") as caught:
        write_bytes(tmp_path / "out" / "a.png", b"x")
    assert caught.value.exit_status == 2
    assert (tmp_path / "out").read_text() == "a file"


def test_a_folder_that_is_not_writable_is_a_usage_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", _fail(PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(UsageError, match="Permission denied"):
        write_bytes(tmp_path / "a.png", b"x")


def test_a_folder_that_vanishes_meanwhile_is_a_usage_error(tmp_path):
    def write():
        with atomic_path(tmp_path / "out" / "a.png") as path:
            shutil.rmtree(tmp_path / "out")
            path.write_bytes(b"x")

    with pytest.raises(UsageError, match="cannot write"):
        write()


@pytest.mark.parametrize("name", ["folder", "/dev/null"])
def test_only_a_regular_file_is_replaced(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="something else than a file"):
        write_bytes(tmp_path / name, b"x")
    assert (tmp_path / "folder").is_dir()
    assert not os.path.isfile("/dev/null")


def test_a_name_of_the_longest_length_can_be_written_and_a_longer_one_is_a_usage_error(tmp_path):
    write_bytes(tmp_path / ("ü" * 120 + ".png"), b"x")
    assert len(os.listdir(tmp_path)) == 1
    with pytest.raises(UsageError, match="cannot write"):
        write_bytes(tmp_path / ("n" * 300), b"x")


def test_an_unreadable_input_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.png"):
        (tmp_path / "missing.png").read_bytes()


def test_sha256_of_a_known_text(tmp_path):
    write_bytes(tmp_path / "abc", b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_is_lent_to_one_process_at_a_time_and_free_when_that_is_killed(tmp_path):
    program = """
        import sys, time
        from pathlib import Path
        from selfvos.storage import exclusive
        with exclusive(Path(sys.argv[1])):
            print("mine", flush=True)
            time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(UsageError, match="another process works on"), exclusive(tmp_path / "run"):
            pass
        holder.kill()
    with exclusive(tmp_path / "run"):
        pass


def test_a_folder_that_cannot_be_made_cannot_be_lent(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"), exclusive(tmp_path / "file" / "run"):
        pass


def test_a_folder_takes_its_name_when_it_is_whole(tmp_path):
    with atomic_folder(tmp_path / "deep" / "out") as folder:
        (folder / "a").write_text("new")
        assert folder.parent == tmp_path / "deep"
        assert not (tmp_path / "deep" / "out").exists()
    assert (tmp_path / "deep" / "out" / "a").read_text() == "new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_a_folder_that_fails_leaves_the_old_one_as_it_was(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("old")
    with pytest.raises(KeyError), atomic_folder(tmp_path / "out", replace=True) as folder:
        (folder / "a").write_text({}["nothing to write"])
    assert (tmp_path / "out" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_is_replaced_only_when_told(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("old")
    with pytest.raises(UsageError, match="is there already"), atomic_folder(tmp_path / "out"):
        pass
    with atomic_folder(tmp_path / "out", replace=True) as folder:
        (folder / "b").write_text("new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
