"""Robot logs written here by rosbags' and mcap's own writers come back frame by frame, with their times."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tracker.sources import SourceError, SourceWarning, open_source

pytest.importorskip("rosbags")
pytest.importorskip("mcap")

from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags import rosbag1, rosbag2
from rosbags.rosbag2 import StoragePlugin
from rosbags.typesys import Stores, get_typestore

ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_HUMBLE)
IMAGE, COMPRESSED, TEXT = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "std_msgs/msg/String"
COUNT, PERIOD, BEGIN = 8, 50_000_000, 1_700_000_000_123_456_789  # ns
KINDS = ["mcap", "mcap ros1", "mcap folder", "sqlite", "db3", "sqlite zstd", "bag", "bag lz4"]


def picture(number: int) -> np.ndarray:
    """An image that tells its number by its brightness."""
    image = np.zeros((24, 32, 3), np.uint8)
    image[..., 1] = 20 * number + 10
    return image


def header(types, stamp: int):
    time = types.types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
    sequence = (0,) if types is ROS1 else ()
    return types.types["std_msgs/msg/Header"](*sequence, time, "camera_link")


def raw(types, number: int, stamp: int, encoding: str = "bgr8"):
    image = picture(number)
    data = image.reshape(-1)
    return types.types[IMAGE](header(types, stamp), *image.shape[:2], encoding, 0, image.shape[1] * 3, data)


def compressed(types, number: int, stamp: int):
    data = cv2.imencode(".png", picture(number))[1].reshape(-1)
    return types.types[COMPRESSED](header(types, stamp), "png", data)


def messages(types, topics: dict[str, str], stamp=lambda number: BEGIN + number * PERIOD):
    """(topic, kind, log time, message), the log time 7 ms after the header's stamp."""
    for number in range(COUNT):
        for topic, kind in topics.items():
            at = stamp(number)
            made = {
                IMAGE: lambda: raw(types, number, at),  # noqa: B023
                COMPRESSED: lambda: compressed(types, number, at),  # noqa: B023
                TEXT: lambda: types.types[TEXT]("hello"),
            }[kind]()
            yield topic, kind, BEGIN + number * PERIOD + 7_000_000, made


def record(folder: Path, kind: str, topics: dict[str, str], **options) -> Path:
    """A log of that kind."""
    ros1 = kind.startswith("bag") or kind == "mcap ros1"
    types = ROS1 if ros1 else ROS2
    entries = messages(types, topics, **options)
    if kind.startswith("bag"):
        path = folder / "run.bag"
        writer = rosbag1.Writer(path)
        if kind == "bag lz4":
            writer.set_compression(rosbag1.Writer.CompressionFormat.LZ4)
        with writer:
            connections = {topic: writer.add_connection(topic, of, typestore=types) for topic, of in topics.items()}
            for topic, of, time, message in entries:
                writer.write(connections[topic], time, types.serialize_ros1(message, of))
        return path
    if kind in ("mcap", "mcap ros1"):
        path = folder / "run.mcap"
        with path.open("wb") as file:
            write_mcap(file, types, topics, entries)
        return path
    path = folder / "run"
    plugin = StoragePlugin.MCAP if kind == "mcap folder" else StoragePlugin.SQLITE3
    bag = rosbag2.Writer(path, version=8, storage_plugin=plugin)
    if kind == "sqlite zstd":
        bag.set_compression(rosbag2.CompressionMode.MESSAGE, rosbag2.CompressionFormat.ZSTD)
    with bag:
        connections = {topic: bag.add_connection(topic, of, typestore=types) for topic, of in topics.items()}
        for topic, of, time, message in entries:
            bag.write(connections[topic], time, types.serialize_cdr(message, of))
    return path / "run.db3" if kind == "db3" else path


def write_mcap(file, types, topics, entries, finish=True, **options):
    writer = McapWriter(file, chunk_size=4000, compression=CompressionType.LZ4, **options)
    writer.start(profile="ros1" if types is ROS1 else "ros2")
    channels = {}
    for topic, of in topics.items():
        version, name, encoding = (1, of.replace("/msg/", "/"), "ros1") if types is ROS1 else (2, of, "cdr")
        text = types.generate_msgdef(of, ros_version=version)[0]
        schema = writer.register_schema(name, f"ros{version}msg", text.encode())
        channels[topic] = writer.register_channel(topic, encoding, schema)
    for topic, of, time, message in entries:
        data = types.serialize_ros1(message, of) if types is ROS1 else types.serialize_cdr(message, of)
        writer.add_message(channels[topic], time, bytes(data), time)
    if finish:
        writer.finish()
    else:
        writer.flush()


@pytest.mark.parametrize("of", [IMAGE, COMPRESSED])
@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_with_its_time(tmp_path, kind, of):
    path = record(tmp_path, kind, {"/talk": TEXT, "/camera/image": of})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_source(path) as source:
            assert (source.length, source.size, source.live, source.name) == (COUNT, (32, 24), False, str(path))
            assert source.fps == pytest.approx(20)
            frames = list(source)
    assert [frame.index for frame in frames] == list(range(COUNT))
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.image, picture(number))
        assert frame.stamp == BEGIN + number * PERIOD  # exact, where seconds in a float are not
        assert frame.timestamp == pytest.approx(frame.stamp / 1e9, abs=1e-6)
        assert frame.frame_id == "camera_link"


@pytest.mark.parametrize("kind", KINDS)
def test_a_part(tmp_path, kind):
    with open_source(record(tmp_path, kind, {"/image": IMAGE}), start=3, max_frames=2) as source:
        assert source.length == 2
        frames = list(source)
    assert [frame.index for frame in frames] == [3, 4]
    assert all(np.array_equal(frame.image, picture(frame.index)) for frame in frames)
    assert frames[0].stamp == BEGIN + 3 * PERIOD


def test_the_time_of_logging_where_no_header_has_one(tmp_path):
    frames = list(open_source(record(tmp_path, "mcap", {"/image": IMAGE}, stamp=lambda number: 0)))
    assert [frame.stamp for frame in frames] == [BEGIN + number * PERIOD + 7_000_000 for number in range(COUNT)]
    assert frames[0].timestamp == pytest.approx(BEGIN / 1e9 + 0.007, abs=1e-6)


def test_time_never_decreases_where_the_clock_was_set_back(tmp_path):
    stamps = [10, 20, 30, 5, 15, 0, 40, 50]
    path = record(tmp_path, "mcap", {"/image": IMAGE}, stamp=lambda number: stamps[number] * 10**9)
    frames = list(open_source(path))
    assert [frame.timestamp for frame in frames] == [10, 20, 30, 30, 30, 30, 40, 50]
    assert [frame.stamp for frame in frames][3] == 5 * 10**9  # as recorded


@pytest.mark.parametrize("kind", KINDS)
def test_a_topic_is_chosen(tmp_path, kind):
    path = record(tmp_path, kind, {"/left": IMAGE, "/right/compressed": COMPRESSED, "/talk": TEXT})
    with open_source(path, topic="/right/compressed") as source:
        assert len(list(source)) == COUNT
    with pytest.raises(SourceError, match=r"several image topics.*--topic.*/left, /right/compressed"):
        open_source(path)
    with pytest.raises(SourceError, match=r"no images on /talk; it has them on /left, /right/compressed"):
        open_source(path, topic="/talk")


def test_a_log_without_images_lists_what_it_has(tmp_path):
    with pytest.raises(SourceError, match=r"no topic of sensor_msgs/Image.*its topics: /talk \(std_msgs/msg/String\)"):
        open_source(record(tmp_path, "mcap", {"/talk": TEXT}))


def test_topics_are_for_logs(tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), picture(1))
    for other in (tmp_path, str(tmp_path / "1.png"), 0):
        with pytest.raises(SourceError, match="not a robot log"):
            open_source(other, topic="/image")


def test_a_split_recording_without_metadata_is_read_in_natural_order(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for part in (10, 9):
        entries = list(messages(ROS2, {"/image": IMAGE}))[(part - 9) * 4 : (part - 8) * 4]
        with (folder / f"run_{part}.mcap").open("wb") as file:
            write_mcap(file, ROS2, {"/image": IMAGE}, entries)
    with open_source(folder) as source:
        assert source.length == COUNT
        assert [frame.stamp for frame in source] == [BEGIN + number * PERIOD for number in range(COUNT)]


@pytest.mark.parametrize("chunked", [True, False])
def test_a_recorder_that_was_killed_leaves_what_it_had_written(tmp_path, chunked):
    path = tmp_path / "run.mcap"
    with path.open("wb") as file:
        write_mcap(file, ROS2, {"/image": IMAGE}, messages(ROS2, {"/image": IMAGE}), finish=False, use_chunking=chunked)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])  # in the middle of the last message, or of an index behind it
    with pytest.warns(SourceWarning, match="breaks off"), open_source(path) as source:
        frames = list(source)
    assert COUNT - 1 <= len(frames) <= COUNT
    assert source.truncated
    assert all(np.array_equal(frame.image, picture(frame.index)) for frame in frames)


def test_a_folder_whose_metadata_does_not_fit_is_read_by_its_files(tmp_path):
    path = record(tmp_path, "sqlite", {"/image": IMAGE})
    (path / "metadata.yaml").write_text("not: metadata\n")
    assert len(list(open_source(path))) == COUNT


def test_a_damaged_image_is_left_out(tmp_path):
    path = tmp_path / "run.mcap"
    entries = list(messages(ROS2, {"/image": COMPRESSED}))
    entries[2][3].data = entries[2][3].data[:5]
    with path.open("wb") as file:
        write_mcap(file, ROS2, {"/image": COMPRESSED}, entries)
    with pytest.warns(SourceWarning, match="frame 2 is left out"):
        assert [frame.index for frame in open_source(path)] == [0, 1, 3, 4, 5, 6, 7]


def test_damage_in_the_middle_ends_the_recording_with_a_warning(tmp_path):
    path = record(tmp_path, "mcap", {"/image": IMAGE})
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 600] = b"\xff" * 600
    path.write_bytes(data)
    with pytest.warns(SourceWarning, match=r"damaged|breaks off|left out"):
        frames = list(open_source(path))
    assert 0 < len(frames) < COUNT


def test_an_unknown_encoding_is_an_error_and_not_eight_warnings(tmp_path):
    path = tmp_path / "run.mcap"
    entries = [("/image", IMAGE, 0, raw(ROS2, 0, 1, encoding="nv24"))]
    with path.open("wb") as file:
        write_mcap(file, ROS2, {"/image": IMAGE}, entries)
    with pytest.raises(SourceError, match="'nv24' cannot be read"):
        open_source(path)


@pytest.mark.parametrize("name", ["run.mcap", "run.bag", "run.db3"])
@pytest.mark.parametrize("content", [b"", b"this is not a log at all, whatever its name may say" * 9])
def test_what_is_no_log_is_refused_in_one_line(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"cannot be read|is empty") as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_closed_log_is_over_and_frees_its_file(tmp_path):
    for kind in KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        path = record(folder, kind, {"/image": IMAGE})
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            source = open_source(path)
            source.close()
            source.close()
            assert next(source, None) is None


def test_missing_packages_name_the_line_that_installs_them(tmp_path):
    path = record(tmp_path, "mcap", {"/image": IMAGE})
    program = (
        "import sys; sys.modules['rosbags'] = None\n"
        "from tracker import open_source\n"
        f"try: open_source({str(path)!r})\n"
        "except OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install rosbags mcap" in done.stdout


def test_messages_of_another_encoding_are_not_images(tmp_path):
    """MCAP holds protobuf and JSON too: what cannot be read is listed, not guessed at."""
    path = tmp_path / "run.mcap"
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start()
        schema = writer.register_schema("foxglove.CompressedImage", "protobuf", b"")
        writer.add_message(writer.register_channel("/image", "protobuf", schema), 0, b"data", 0)
        writer.finish()
    with pytest.raises(SourceError, match=r"its topics: /image"):
        open_source(path)


def test_the_stand_ins_of_these_tests_are_what_rosbags_makes():
    message = ROS2.deserialize_cdr(ROS2.serialize_cdr(raw(ROS2, 3, BEGIN), IMAGE), IMAGE)
    assert SimpleNamespace(**vars(message)).header.stamp.nanosec == BEGIN % 10**9
