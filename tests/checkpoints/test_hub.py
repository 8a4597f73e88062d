"""The hub, spoken to by the real client over HTTP; each client is a process of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import COMMIT, FakeHub, serving

from bitextmine.checkpoints.hub import cached_snapshot

WEIGHTS = bytes(range(256)) * 64
MODEL = {
    ".gitattributes": b"*",
    "README.md": b"---\nlicense: mit\n---\n",
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "modules.json": json.dumps([{"path": ""}, {"path": "pool [mean]"}]).encode(),
    "pool [mean]/config.json": b'{"mean": true}',
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": WEIGHTS[::-1],
    "tf_model.h5": WEIGHTS,
    "onnx/model.onnx": WEIGHTS,
    "onnx/config.json": b"{}",
}
NEEDED = ["config.json", "model.safetensors", "modules.json", "pool [mean]/config.json"]
CLIENT = """
import json, sys
from bitextmine.checkpoints import hub
from bitextmine.errors import EncoderError
try:
    folder = getattr(hub, sys.argv[1])(*json.loads(sys.argv[2]), **json.loads(sys.argv[3]))
    print(json.dumps({"folder": None if folder is None else str(folder)}))
except EncoderError as error:
    print(json.dumps({"error": str(error), "hint": error.hint}))
assert "torch" not in sys.modules
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """Serve one model, and one without modules.json."""
    small = {"config.json": b"{}", "spiece.model": b"x", "pytorch_model.bin": WEIGHTS}
    with serving(FakeHub({"owner/model": MODEL, "owner/base": small})) as running:
        yield running


class Client:
    """Runs one call in a fresh process, with a cache of its own."""

    def __init__(self, hub: FakeHub, home: Path) -> None:
        self.home = home
        self.environ = os.environ | {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(home),
            "HF_HUB_ETAG_TIMEOUT": "2",
            "NO_PROXY": "127.0.0.1",
        }
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            self.environ.pop(name, None)
        self.stderr = ""

    def __call__(self, *args: str, call: str = "snapshot", **kwargs: object) -> dict[str, str]:
        command = [sys.executable, "-c", CLIENT, call, json.dumps(args), json.dumps(kwargs)]
        run = subprocess.run(command, capture_output=True, text=True, env=self.environ, timeout=60)
        self.stderr = run.stderr
        assert run.returncode == 0, run.stderr
        answer: dict[str, str] = json.loads(run.stdout)
        return answer


@pytest.fixture
def client(hub: FakeHub, tmp_path: Path) -> Client:
    """Return a client whose cache lies in an awkward folder."""
    return Client(hub, tmp_path / "cache d'été")


def _files(folder: str) -> list[str]:
    found = (path for path in Path(folder).rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def test_only_needed_files_are_fetched_and_no_bars_reach_a_pipe(client: Client) -> None:
    folder = client("owner/model")["folder"]
    assert _files(folder) == sorted([*NEEDED, "README.md", "tokenizer.json"])
    assert (Path(folder) / "model.safetensors").read_bytes() == WEIGHTS
    assert "%|" not in client.stderr
    assert "Fetching" not in client.stderr


def test_patterns_narrow_what_is_fetched(client: Client) -> None:
    folder = client("owner/model", allow=["*.safetensors"])["folder"]
    assert _files(folder) == ["README.md", "model.safetensors"]


def test_what_is_cached_needs_no_network(client: Client, hub: FakeHub) -> None:
    folder = client("owner/model")["folder"]
    client.environ["HF_HUB_OFFLINE"] = "1"
    hub.asked.clear()
    assert client("owner/model") == {"folder": folder}
    assert hub.asked == []


def test_a_hub_that_is_down_is_no_matter_if_all_is_cached(client: Client) -> None:
    folder = client("owner/base")["folder"]
    client.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
    assert client("owner/base") == {"folder": folder}


def test_only_a_whole_model_counts_as_cached(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(client.home / "hub"))
    assert cached_snapshot("owner/model") is None
    folder = Path(client("owner/model")["folder"])
    assert cached_snapshot("owner/model") == folder
    modules = folder / "modules.json"
    modules.rename(folder / "elsewhere")  # as where transformers alone has fetched the model
    assert cached_snapshot("owner/model") is None
    assert cached_snapshot("owner/model", pooling=False) == folder
    (folder / "elsewhere").rename(modules)
    (folder / "model.safetensors").unlink()
    assert cached_snapshot("owner/model") is None


def test_a_download_that_breaks_off_goes_on(client: Client, hub: FakeHub) -> None:
    weights = WEIGHTS * 750  # 12 MB: the client keeps blocks of 10 MiB
    hub.repos["owner/model"] = MODEL | {"model.safetensors": weights}
    hub.cuts = [11 * 2**20]
    folder = client("owner/model")["folder"]
    assert (Path(folder) / "model.safetensors").read_bytes() == weights
    name = f"GET /owner/model/resolve/{COMMIT}/model.safetensors"
    asked = [int(ask.rpartition(" ")[2]) for ask in hub.asked if ask.startswith(name)]
    assert asked == [0, 10 * 2**20]


def test_only_missing_files_are_fetched(client: Client, hub: FakeHub) -> None:
    pooling = Path(client("owner/model")["folder"]) / "pool [mean]/config.json"
    pooling.resolve().unlink()
    pooling.unlink()
    hub.asked.clear()
    client("owner/model")
    fetched = [ask.partition(f"{COMMIT}/")[2] for ask in hub.asked if ask.startswith("GET /owner")]
    assert fetched == ["pool [mean]/config.json 0"]


def test_offline_and_not_cached_names_the_command(client: Client) -> None:
    client.environ["HF_HUB_OFFLINE"] = "1"
    told = client("owner/model", asked="m-st5")
    assert (
        told["error"] == "owner/model is not in the cache, and HF_HUB_OFFLINE forbids fetching it"
    )
    assert "`bitextmine models pull m-st5 --out DIR`" in told["hint"]
    assert "`--model DIR`" in told["hint"]


def test_no_network_names_the_command(client: Client) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    client.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{port}"
    told = client("owner/model")
    assert told["error"].startswith(f"cannot fetch owner/model from http://127.0.0.1:{port}: ")
    assert "\n" not in told["error"] + told["hint"]
    assert "`bitextmine models pull owner/model --out DIR`" in told["hint"]


@pytest.mark.parametrize("name", ["owner/nothing", "a bad/name/at all"])
def test_an_unknown_name_is_told(client: Client, name: str) -> None:
    told = client(name)
    assert told["error"].startswith(f"there is no model {name!r} on http://127.0.0.1")
    assert "check the name" in told["hint"]


def test_an_unknown_revision_is_told(client: Client) -> None:
    assert client("owner/model", revision="v9")["error"] == "owner/model has no revision 'v9'"


def test_a_gated_model_asks_for_a_token(client: Client, hub: FakeHub) -> None:
    hub.gated = {"owner/model"}
    told = client("owner/model")
    assert told["error"].startswith("owner/model is given only to those")
    assert "HF_TOKEN" in told["hint"]
    client.environ["HF_TOKEN"] = "hf_0123456789"
    assert "folder" in client("owner/model")


def test_a_disk_that_is_too_small_is_told_before_fetching(client: Client, hub: FakeHub) -> None:
    free = shutil.disk_usage(client.home.parent).free
    hub.repos["owner/huge"] = {"config.json": b"{}", "model.safetensors": _Claimed(free * 2)}
    told = client("owner/huge")
    assert "GiB in the cache" in told["error"]
    assert "HF_HOME" in told["hint"]
    assert not any("resolve" in ask for ask in hub.asked)


class _Claimed(bytes):
    """No bytes that say they are many."""

    def __new__(cls, size: int) -> "_Claimed":
        return super().__new__(cls)

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size
