"""Weights on a hub: a double of the hub's package, and its own package against a server on this machine."""

import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from selfvos import api, cli
from selfvos.api.hub import HubAddress, parse_address, write_for_hub
from selfvos.errors import MissingExtra, ResourceError, UsageError, WeightsMismatch
from selfvos.models.weights import save_weights
from selfvos.models.weights_notes import Quality, WeightsNotes

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HfHubHTTPError(OSError):
    def __init__(self, status):
        super().__init__(f"status {status}\nwith a second line")
        self.response = SimpleNamespace(status_code=status)


class RepositoryNotFoundError(HfHubHTTPError):
    pass


class Hub:
    """What is used of `huggingface_hub`, over a folder."""

    def __init__(self, folder):
        self.folder, self.calls, self.broken = folder, [], None
        kinds = {"HfHubHTTPError": HfHubHTTPError, "RepositoryNotFoundError": RepositoryNotFoundError}
        others = {name: type(name, (Exception,), {}) for name in ("RevisionNotFoundError", "RemoteEntryNotFoundError")}
        self.errors = SimpleNamespace(**kinds, **others)

    def hf_hub_download(self, repo, file, *, revision, library_name):
        self.calls.append((repo, file, revision, library_name))
        if self.broken:
            raise self.broken
        if not (self.folder / repo / file).is_file():
            raise RepositoryNotFoundError(404)
        return str(self.folder / repo / file)

    def HfApi(self, library_name):  # noqa: N802
        assert library_name == "selfvos"
        return self

    def create_repo(self, repo, *, private, exist_ok):
        if self.broken:
            raise self.broken
        self.calls.append((repo, private))
        assert exist_ok

    def upload_folder(self, *, repo_id, folder_path, revision, commit_message):
        assert (revision, commit_message) == (None, "Add weights of selfvos")
        shutil.copytree(folder_path, self.folder / repo_id)
        return SimpleNamespace(repo_url=f"https://hub/{repo_id}")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    hub = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", hub.errors)
    return hub


@pytest.fixture
def weights(tmp_path):
    way = Quality(track={"match": {"top_k": 3}}, accuracy=12.5, measured="on nothing | much")
    notes = WeightsNotes(
        recipe={"seed": 4, "joint": {"epochs": 2}, "true_masks": "/home/me", "wandb": "mine"},
        steps=7,
        track={"refine": {"rounds": 0}},
        quality={"fast": way},
    )
    path = tmp_path / "mine.safetensors"
    save_weights(path, api.load("lab-patches", device="cpu"), notes=notes)
    return path


def test_addresses_say_where():
    assert parse_address("hf://org/name") == HubAddress("org/name")
    assert parse_address("hf://org/na.me@v1/x") == HubAddress("org/na.me", revision="v1/x")
    assert parse_address("hf://o/n/sub/a.safetensors@main") == HubAddress("o/n", "sub/a.safetensors", "main")
    for wrong in ("hf://org", "hf://", "hf:///name", "hf://a/b/../c", "hf://a b/c", "https://x/y", "hf://a/b@"):
        with pytest.raises(UsageError, match="no address"):
            parse_address(wrong)


def test_what_is_pushed_is_loaded_again_with_its_notes(hub, weights):
    page = api.push_weights(weights, "hf://org/name", private=True, license="apache-2.0")
    assert page == "https://hub/org/name"
    assert hub.calls[0] == ("org/name", True)
    assert sorted(path.name for path in (hub.folder / "org/name").iterdir()) == ["README.md", "weights.safetensors"]
    model = api.load("hf://org/name@main", device="cpu")
    assert (model.name, model.notes.steps) == ("hf://org/name@main", 7)
    assert api.weights_digest(model) == api.weights_digest(api.load(weights, device="cpu"))
    assert hub.calls[-1] == ("org/name", "weights.safetensors", "main", "selfvos")


def test_the_card_says_what_the_notes_say_and_no_more(weights, tmp_path):
    folder = write_for_hub(weights, tmp_path / "out", name="org/name", license="mit")
    text = (folder / "README.md").read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header["license"] == "mit"
    assert "self-supervised" in header["tags"]
    assert 'selfvos.load("hf://org/name")' in text
    assert "| fast | 12.5 | not measured | on nothing | much |" in text.replace("\\|", "|")
    assert "| `joint.epochs` | 2 |" in text
    assert "7 updates" in text
    assert "/home/me" not in text
    assert "mine" not in text
    assert api.weights_digest(api.load(weights, device="cpu")) in text
    with pytest.raises(UsageError, match="holds something"):
        write_for_hub(weights, folder, name="org/name")
    plain = tmp_path / "plain.safetensors"
    notes = WeightsNotes(supervision="true masks", format="crw", untrained=("D",), pieces=("a run",))
    save_weights(plain, api.load("lab-patches", device="cpu"), notes=notes)
    text = (write_for_hub(plain, tmp_path / "plain", name="o/n") / "README.md").read_text()
    assert "license" not in text
    assert "- supervised" in text
    assert all(word in text for word in ("converted from", "crw", "Without weights came: D", "a run"))
    assert "Training" not in text


def test_damaged_weights_are_never_sent(hub, weights):
    save_weights(weights, api.load("random-resnet18", device="cpu"))
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    with pytest.raises(WeightsMismatch):
        api.push_weights(weights, "hf://org/name")
    assert hub.calls == []


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RepositoryNotFoundError(404), UsageError, "has no hf://org/name"),
        (HfHubHTTPError(403), UsageError, "hf auth login"),
        (HfHubHTTPError(500), ResourceError, "answered 500"),
        (ConnectionError("no route"), ResourceError, "cannot be reached"),
        (ValueError("bad\nname"), UsageError, "bad name"),
    ],
)
def test_what_the_hub_says_is_told_in_one_line(hub, weights, error, kind, message):
    hub.broken = error
    for act in (lambda: api.load("hf://org/name"), lambda: api.push_weights(weights, "hf://org/name")):
        with pytest.raises(kind, match=message) as caught:
            act()
        assert "\n" not in str(caught.value)


def test_without_the_package_the_line_that_installs_it_is_told(monkeypatch, weights):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"pip install \"selfvos\[hub\]\""):
        api.load("hf://org/name")
    with pytest.raises(UsageError, match="not kept in a file"):
        api.push_weights("lab-patches", "hf://org/name")


def test_the_command_writes_what_it_would_send(monkeypatch, capsys, weights, tmp_path):
    arguments = ["selfvos", "push", weights, "hf://org/name", "--out", tmp_path / "look"]
    monkeypatch.setattr(sys, "argv", [str(one) for one in arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert "written to" in capsys.readouterr().out
    assert (tmp_path / "look" / "weights.safetensors").read_bytes() == weights.read_bytes()


@pytest.fixture
def server(weights):
    """A server that answers as the hub does for one file of one repository."""
    data = weights.read_bytes()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            there = self.path == "/org/name/resolve/main/weights.safetensors"
            self.send_response(200 if there else 404)
            self.send_header("Content-Length", str(len(data)) if there else "0")
            self.send_header(*(("X-Repo-Commit", COMMIT) if there else ("X-Error-Code", "RepoNotFound")))
            self.send_header("ETag", '"1234"')
            self.end_headers()
            if there and self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_real_package_fetches_once_and_then_works_without_a_network(server, tmp_path):
    pytest.importorskip("huggingface_hub", reason='no hub: pip install "selfvos[hub]"')
    code = "import sys; from selfvos import api; print(api.load(sys.argv[1], device='cpu').notes.steps)"
    fresh = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", "HF_TOKEN": ""}

    def load(address, endpoint):
        environment = {**os.environ, **fresh, "HF_ENDPOINT": endpoint}
        command = [sys.executable, "-c", code, address]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    first = load("hf://org/name", server)
    assert first.stdout.strip() == "7", first.stderr
    nowhere = "http://127.0.0.1:9"
    assert load("hf://org/name", nowhere).stdout.strip() == "7"
    assert "cannot be reached" in load("hf://org/other", nowhere).stderr
    assert "the hub has no hf://org/other" in load("hf://org/other", server).stderr
    assert Path(tmp_path / "cache").is_dir()
