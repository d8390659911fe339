"""Files and addresses that mean harm: nothing of them runs, nothing else is read, and memory stays where it was.

Each attack is carried out against the real readers, and most against a control beside it that shows that it would have
worked on a careless one.
"""

from __future__ import annotations

import gzip
import http.server
import io
import json
import pickle
import struct
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.network import LARGEST_CARD, LARGEST_CROP, ModelCard, WeightsError, find_weights, load_network
from tracker.sources import SourceError, open_source


class Malicious:
    """Unpickled, it touches a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that exists once an attack has run code."""
    return tmp_path / "attacked"


@pytest.fixture
def model(weights: dict[str, Path], tmp_path: Path) -> Path:
    """A good model, to be spoilt: `.safetensors`, and the card beside it."""
    folder = tmp_path / "model"
    folder.mkdir()
    for suffix in (".safetensors", ".json"):
        (folder / f"model{suffix}").write_bytes(weights["compact"].with_suffix(suffix).read_bytes())
    return folder / "model.safetensors"


def respoil(card: Path, **entries: object) -> None:
    card.write_text(json.dumps({**json.loads(card.read_text()), **entries}))


class TestCodeInFiles:
    def test_the_attack_would_work_on_a_careless_reader(self, mark):
        pickle.loads(pickle.dumps(Malicious(mark)))
        assert mark.exists()

    def test_a_pickle_instead_of_weights_is_refused_and_does_not_run(self, model, mark):
        model.write_bytes(pickle.dumps(Malicious(mark)))
        with pytest.raises(WeightsError, match="not a readable safetensors file"):
            load_network(model)
        assert not mark.exists()

    def test_a_torch_checkpoint_that_calls_is_refused_and_does_not_run(self, tmp_path, mark):
        import torch

        from backbones.checkpoint import read_state_dict

        for name, zipped in (("new.pth", True), ("old.pth", False)):
            torch.save({"a": Malicious(mark)}, tmp_path / name, _use_new_zipfile_serialization=zipped)
            with pytest.raises(ValueError, match="more than tensors and plain values"):
                read_state_dict(tmp_path / name)
        assert not mark.exists()

    def test_a_pickle_instead_of_a_card_is_refused_and_does_not_run(self, model, mark):
        model.with_suffix(".json").write_bytes(pickle.dumps(Malicious(mark), protocol=0))
        with pytest.raises(WeightsError, match="not a readable model card"):
            load_network(model)
        assert not mark.exists()

    def test_code_in_a_card_is_text(self, model, mark):
        attack = f"__import__('pathlib').Path({str(mark)!r}).touch()"
        for entry in ("backbone", "head", "precision"):
            before = model.with_suffix(".json").read_text()
            respoil(model.with_suffix(".json"), **{entry: attack})
            with pytest.raises(WeightsError):
                load_network(model)
            model.with_suffix(".json").write_text(before)
        assert not mark.exists()

    def test_arrays_of_objects_in_a_cache_are_refused(self, tmp_path, mark):
        """What numpy keeps as a pickle inside of .npy; every reader of ours says `allow_pickle=False`."""
        np.save(tmp_path / "attack.npy", np.array([Malicious(mark)], dtype=object), allow_pickle=True)
        with pytest.raises(ValueError, match="allow_pickle=False"):
            np.load(tmp_path / "attack.npy", allow_pickle=False)
        assert not mark.exists()

    def test_no_module_of_ours_unpickles_what_it_is_given(self):
        """Calls that run what a file says; `torch.load` and `np.load` only in their safe forms."""
        import ast

        root = Path(__file__).parents[2]
        found = []
        for package in ("tracker", "backbones", "learning", "benchmarks", "weights", "tools", "examples"):
            for path in (root / package).rglob("*.py"):
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                    if isinstance(node, ast.Call) and (complaint := _unsafe(node)):
                        found.append(f"{path.relative_to(root)}:{node.lineno}: {complaint}")
        assert found == []


def _unsafe(call) -> str | None:
    import ast

    name = ast.unparse(call.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in ("eval", "exec", "os.system", "os.popen", "marshal.load", "marshal.loads", "shelve.open", "yaml.load"):
        return name
    if name.endswith(("pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "read_pickle")):
        return name
    if name == "torch.load" and options.get("weights_only") != "True":
        return "torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and options.get("allow_pickle") != "False":
        return "np.load without allow_pickle=False"
    if name.startswith("subprocess.") and options.get("shell", "False") != "False":
        return "a shell"
    return None


class TestBombs:
    def test_a_compressed_checkpoint_is_refused_before_it_is_unpacked(self, tmp_path):
        import torch

        from backbones.checkpoint import read_state_dict

        stored, bomb = io.BytesIO(), tmp_path / "bomb.pth"
        torch.save({"a": torch.zeros(2**22)}, stored)
        with zipfile.ZipFile(stored) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))
        assert bomb.stat().st_size < 2**15  # 16 MiB of zeros
        assert torch.load(bomb, weights_only=True)["a"].numel() == 2**22  # torch itself would unpack it
        with pytest.raises(ValueError, match="cannot be read as weights"):
            read_state_dict(bomb)

    @pytest.mark.parametrize("name", ["bomb.zip", "bomb.json.gz"])
    def test_results_that_unpack_to_gigabytes_are_refused(self, tmp_path, name, monkeypatch):
        from benchmarks import raw_results

        monkeypatch.setattr(raw_results, "LARGEST", 2**20)
        bomb, zeros = tmp_path / name, bytes(2**20 + 1)
        if name.endswith("zip"):
            with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("a/groundtruth_rect.txt", zeros)
        else:
            bomb.write_bytes(gzip.compress(zeros))
        assert bomb.stat().st_size < 2**12
        with pytest.raises(ValueError, match="more than 1048576 bytes"):
            raw_results.read_groundtruth(bomb)

    def test_an_archive_that_lies_about_its_size_gives_no_more_than_it_says(self, tmp_path, monkeypatch):
        from benchmarks import raw_results

        liar = tmp_path / "liar.zip"
        with zipfile.ZipFile(liar, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.txt", b"1,1,2,2\n" * 100_000)
        content = bytearray(liar.read_bytes())
        entry = content.rindex(b"PK\x01\x02")
        content[entry + 24 : entry + 28] = struct.pack("<I", 8)  # of the central directory: 8 bytes unpacked
        liar.write_bytes(content)
        with pytest.raises(ValueError, match=r"liar\.zip"):
            raw_results.read_results(liar)

    def test_nested_json_is_refused(self, model, tmp_path):
        from benchmarks import raw_results

        for text in ("[" * 100_000, '{"config": ' * 50_000):
            model.with_suffix(".json").write_text(text)
            with pytest.raises(WeightsError, match="not a readable model card"):
                load_network(model)
            (tmp_path / "truth.json").write_text(text)
            with pytest.raises(ValueError, match="expected JSON"):
                raw_results.read_groundtruth(tmp_path / "truth.json")

    def test_a_huge_card_is_not_even_read(self, model):
        with open(model.with_suffix(".json"), "ab") as file:
            file.truncate(2**40)  # a hole: takes no room on the disk, and a terabyte if it is read
        with pytest.raises(WeightsError, match=f"larger than {LARGEST_CARD} bytes"):
            load_network(model)

    @pytest.mark.parametrize(
        ("entries", "message"),
        [
            ({"exemplar_size": LARGEST_CROP + 1}, "at most 4096"),
            ({"search_size": 10**9}, "at most 4096"),
            ({"stride": 2**70}, "at most 4096"),
            ({"mean": float("nan")}, "finite"),
            ({"scale": float("inf")}, "finite"),
        ],
    )
    def test_a_card_that_asks_for_gigabytes_or_for_no_number_is_refused(self, model, entries, message):
        respoil(model.with_suffix(".json"), **entries)
        with pytest.raises(WeightsError, match=message):
            ModelCard.read(model.with_suffix(".json"))


def tensors(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    """A safetensors file: the header's length (or what it is said to be), header, data."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


HEADERS = {
    "longer than any file": tensors(b"{}", 2**63),
    "all bits": tensors(b"{}", 2**64 - 1),
    "longer than this file": tensors(b"{}", 2**20),
    "larger than the format allows": tensors(b"{}", 2**30),
    "nothing": tensors(b""),
    "no JSON": tensors(b"\x80\x04]q\x00."),
    "nested JSON": tensors(b"[" * 100_000),
    "beyond the data": tensors(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'),
    "shape and bytes differ": tensors(b'{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4]}}', data=bytes(4)),
    "shape that overflows": tensors(
        b'{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,4]}}', data=bytes(4)
    ),
    "offsets backwards": tensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', data=bytes(4)),
    "negative offsets": tensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}', data=bytes(4)),
    "two tensors in one place": tensors(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        data=bytes(4),
    ),
    "a hole": tensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', data=bytes(8)),
    "unknown type": tensors(b'{"a":{"dtype":"O","shape":[1],"data_offsets":[0,4]}}', data=bytes(4)),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_weights_whose_header_lies_are_refused(model, kind):
    model.write_bytes(HEADERS[kind])
    with pytest.raises(WeightsError, match=f"{model.name}: not a readable safetensors file"):
        load_network(model)


class TestPaths:
    @pytest.mark.parametrize("name", ["../model", "/etc/passwd", "..\\model", "~/model", "file:///etc/passwd"])
    def test_a_card_cannot_point_elsewhere(self, model, name):
        for entry in ("backbone", "head"):
            respoil(model.with_suffix(".json"), **{entry: name})
            with pytest.raises(WeightsError, match="unknown"):
                load_network(model)
        respoil(model.with_suffix(".json"), weights=name)
        with pytest.raises(WeightsError, match="unknown entries"):
            load_network(model)

    @pytest.mark.parametrize("name", ["../weights/compact", "./compact", "compact/../compact", "http://host/compact"])
    def test_a_model_s_name_is_no_path(self, name):
        with pytest.raises(WeightsError, match="neither a model that ships"):
            find_weights(name)

    def test_an_archive_cannot_be_unpacked_elsewhere(self, tmp_path):
        from benchmarks.datasets.download import unpack

        for name in ("../escaped.txt", "/escaped.txt", "a/../../escaped.txt"):
            archive = tmp_path / "archive.zip"
            with zipfile.ZipFile(archive, "w") as packed:
                packed.writestr(name, "x")
            with pytest.raises(ValueError, match="would lie outside"):
                unpack(archive, tmp_path / "inside")
        assert not list(tmp_path.rglob("escaped.txt"))

    def test_tensors_of_a_graph_are_not_read_from_elsewhere(self, tmp_path):
        """An ONNX file may name another file that holds its numbers; it must not name one outside its own folder."""
        onnx = pytest.importorskip("onnx")
        runtime = pytest.importorskip("onnxruntime")
        (tmp_path / "graphs").mkdir()
        (tmp_path / "secret").write_bytes(np.arange(4, dtype=np.float32).tobytes())
        for location, allowed in (("inside", True), ("../secret", False), (str(tmp_path / "secret"), False)):
            (tmp_path / "graphs" / "inside").write_bytes(bytes(16))
            stored = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
            stored.external_data.add(key="location", value=location)
            output = onnx.helper.make_tensor_value_info("y", 1, [4])
            graph = onnx.helper.make_graph(
                [onnx.helper.make_node("Identity", ["w"], ["y"])], "g", [], [output], [stored]
            )
            model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
            path = tmp_path / "graphs" / "model.onnx"
            path.write_bytes(model.SerializeToString())
            if allowed:
                assert runtime.InferenceSession(str(path)).run(None, {})[0].tolist() == [0] * 4
            else:
                with pytest.raises(Exception, match=r"(?i)extern|outside|path|directory"):
                    runtime.InferenceSession(str(path))


class Server(http.server.ThreadingHTTPServer):
    """Counts what it is asked for, and answers with `content`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.content = b""
        super().__init__(("127.0.0.1", 0), _Handler)

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def video(path: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for grey in range(5):
        writer.write(np.full((48, 64, 3), 40 * grey, np.uint8))
    writer.release()
    return path


def playlist(address: object) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{address}\n#EXT-X-ENDLIST\n"


def dash(address: object) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S" '
        'profiles="urn:mpeg:dash:profile:isoff-live:2011"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{address}</BaseURL></Representation></AdaptationSet></Period>'
        "</MPD>"
    )


def concatenation(address: object) -> str:
    return f"ffconcat version 1.0\nfile '{address}'\n"


class TestNothingElseIsRead:
    """A video file can be a list of other addresses; FFmpeg follows such lists."""

    @pytest.mark.parametrize("lists", [playlist, dash, concatenation])
    @pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".mpd", ".ffconcat"])
    def test_a_file_reaches_no_network(self, tmp_path, server, lists, suffix):
        server.content = video(tmp_path / "target.avi").read_bytes()
        path = tmp_path / f"clip{suffix}"
        path.write_text(lists(server.address("target.avi")))
        with pytest.raises(SourceError, match="not a video"):
            open_source(path)
        assert server.asked == []

    @pytest.mark.parametrize("lists", [playlist, dash, concatenation])
    def test_what_calls_itself_a_video_reads_no_file_outside_its_folder(self, tmp_path, lists):
        secret = video(tmp_path / "secret.avi")
        (tmp_path / "given").mkdir()
        path = tmp_path / "given" / "clip.mp4"
        for address in (secret, f"file://{secret}", "../secret.avi", "/etc/passwd"):
            path.write_text(lists(address))
            with pytest.raises(SourceError, match="not a video"):
                open_source(path)

    @pytest.mark.parametrize("lists", [playlist, dash, concatenation])
    def test_an_address_reads_no_file_of_this_machine(self, tmp_path, server, lists):
        secret = video(tmp_path / "secret.avi")
        for address in (f"file://{secret}", secret):
            server.content = lists(address).encode()
            with pytest.raises(SourceError, match="cannot be opened"):
                open_source(server.address("clip.m3u8"), timeout=3)
            assert server.asked

    def test_a_password_is_not_repeated(self, server):
        server.content = b"no video"
        address = server.address("clip.mp4").replace("127.0.0.1", "user:secret@127.0.0.1")
        with pytest.raises(SourceError) as caught:
            open_source(address, timeout=3)
        assert "secret" not in str(caught.value)
