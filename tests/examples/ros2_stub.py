"""A stand-in for rclpy and its messages where there is no ROS: as strict as the real one where a node can go wrong.

Messages have the fields and defaults of their definitions (from rosbags' types and `tracker.bag_sink`'s) and refuse, as
the generated classes do, unknown fields and values of another type: an int is no float. Publishers refuse messages of
another type, parameters must be declared once and keep their type, names are resolved (`~` is the node) and remapped,
a subscription keeps as many messages as its depth allows and drops the oldest.
"""

from __future__ import annotations

import array
import sys
from collections import deque
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tracker.bag_sink import DEFINITIONS

BASES = {"bool": bool, "string": str, **dict.fromkeys(("float32", "float64"), float)}


class Types:
    """Message classes, made of their definitions at first use."""

    def __init__(self) -> None:
        self.store = get_typestore(Stores.ROS2_HUMBLE)
        for name, text in DEFINITIONS.items():
            self.store.register(get_types_from_msg(text, name))
        self.made: dict[str, type] = {}

    def __call__(self, name: str) -> type:
        if name not in self.made:
            fields = {field: self._rule(of) for field, of in self.store.fielddefs[name][1]}
            self.made[name] = type(name.rpartition("/")[2], (Message,), {"_fields": fields, "__slots__": ()})
        return self.made[name]

    def _rule(self, of: Any) -> tuple[type | tuple[type, ...], Any]:
        """What a field takes, and what makes its default."""
        node, detail = of[0].name, of[1]
        if node == "NAME":
            return self(detail), self(detail)
        if node == "BASE":
            kind = BASES.get(detail[0], int)
            return kind, kind
        if node == "ARRAY":  # of numbers: an array of that length, filled with zeros
            return object, lambda: [0.0] * detail[1]
        return (list, tuple, array.array, bytes), list


class Message:
    """The base of all: fields are checked when they are set."""

    _fields: ClassVar[dict[str, tuple[Any, Any]]] = {}

    def __init__(self, **values: Any) -> None:
        for field, (_, make) in self._fields.items():
            setattr(self, field, values.pop(field) if field in values else make())
        assert not values, f"{type(self).__name__} has no {', '.join(values)}"

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._fields:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        kind = self._fields[name][0]
        right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        assert right, f"the {name!r} field must be of type {kind}, got {value!r}"
        object.__setattr__(self, name, value)


class Ros:
    """One process of ROS: nodes, what was published, and what waits."""

    def __init__(self) -> None:
        self.types = Types()
        self.nodes: list[Any] = []
        self.overrides: dict[str, Any] = {}  # of parameters, as -p name:=value gives them
        self.remaps: dict[str, str] = {}  # -r name:=value
        self.published: dict[str, list[Message]] = {}
        self.logged: list[tuple[str, str]] = []
        self.running = False
        self.script: Any = None  # called once by spin, then ROS is shut down
        self.end: type[BaseException] | None = None  # raised by spin at the end

    def message(self, name: str) -> type:
        package, _, kind = name.partition("/")
        return self.types(f"{package}/msg/{kind}")

    def publish(self, topic: str, message: Message) -> None:
        """As another node would."""
        for node in self.nodes:
            for subscription in node.subscriptions_:
                if subscription.topic == topic:
                    assert isinstance(message, subscription.kind), f"{topic} is of {subscription.kind}"
                    subscription.waiting.append(message)

    def work(self) -> None:
        """Call back for everything that waits."""
        for node in self.nodes:
            for subscription in node.subscriptions_:
                while subscription.waiting:
                    subscription.callback(subscription.waiting.popleft())

    def call(self, service: str, kind: Any) -> Any:
        """Call a service as a client does."""
        (found,) = [each for node in self.nodes for each in node.services_ if each.name == service]
        assert found.kind is kind
        response = found.callback(kind.Request(), kind.Response())
        assert isinstance(response, kind.Response), "a service must return its response"
        return response


def install(ros: Ros, setitem: Any) -> None:
    """Put the modules where imports find them.

    Args:
        ros: what they speak to.
        setitem: ``monkeypatch.setitem``.
    """

    class ParameterNotDeclaredException(Exception):
        pass

    class ExternalShutdownException(Exception):
        pass

    class Node:
        def __init__(self, name: str) -> None:
            assert ros.running, "rclpy.init() comes first"
            self.name = name
            self.parameters: dict[str, Any] = {}
            self.subscriptions_: list[Any] = []
            self.services_: list[Any] = []
            ros.nodes.append(self)

        def resolved(self, name: str) -> str:
            name = ros.remaps.get(name, name)
            if name.startswith("~"):
                return f"/{self.name}{name[1:]}"
            return name if name.startswith("/") else f"/{name}"

        def declare_parameter(self, name: str, value: Any) -> None:
            assert name not in self.parameters, f"{name} is declared already"
            self.parameters[name] = value
            if name in ros.overrides:
                self.set_parameter(name, ros.overrides[name])

        def set_parameter(self, name: str, value: Any) -> None:
            """As `ros2 param set` does: the type stays."""
            if type(value) is not type(self.parameters[name]):
                raise TypeError(f"parameter {name} is of type {type(self.parameters[name])}, got {value!r}")
            self.parameters[name] = value

        def get_parameter(self, name: str) -> Any:
            if name not in self.parameters:
                raise ParameterNotDeclaredException(name)
            value = self.parameters[name]
            if isinstance(value, list):  # rclpy hands out arrays of numbers
                value = array.array("d", value)
            return SimpleNamespace(name=name, value=value)

        def create_publisher(self, kind: type, topic: str, qos: Any) -> Any:
            name = self.resolved(topic)
            ros.published.setdefault(name, [])

            def publish(message: Any) -> None:
                if not isinstance(message, kind):
                    raise TypeError(f"Expected {kind}, got {type(message)}")
                ros.published[name].append(message)

            assert isinstance(qos, (int, QoSProfile))
            return SimpleNamespace(publish=publish)

        def create_subscription(self, kind: type, topic: str, callback: Any, qos: Any) -> Any:
            depth = qos if isinstance(qos, int) else qos.depth
            waiting: deque[Any] = deque(maxlen=depth)
            subscription = SimpleNamespace(
                kind=kind, topic=self.resolved(topic), callback=callback, waiting=waiting, qos=qos
            )
            self.subscriptions_.append(subscription)
            return subscription

        def create_service(self, kind: Any, name: str, callback: Any) -> Any:
            service = SimpleNamespace(kind=kind, name=self.resolved(name), callback=callback)
            self.services_.append(service)
            return service

        def get_logger(self) -> Any:
            def log(level: str) -> Any:
                def write(text: str, *, throttle_duration_sec: float | None = None, once: bool = False) -> None:
                    assert isinstance(text, str)
                    ros.logged.append((level, text))

                return write

            return SimpleNamespace(info=log("info"), warning=log("warning"), error=log("error"))

        def destroy_node(self) -> None:
            ros.nodes.remove(self)

    class QoSProfile:
        def __init__(self, *, depth: int, history: str = "keep_last", reliability: str = "reliable") -> None:
            self.depth, self.history, self.reliability = depth, history, reliability

    class Trigger:
        class Request:
            pass

        class Response(Message):
            _fields: ClassVar = {"success": (bool, bool), "message": (str, str)}

    def module(name: str, **names: Any) -> None:
        made = ModuleType(name)
        made.__dict__.update(names)
        setitem(sys.modules, name, made)

    def init(*, args: Any = None) -> None:
        assert not ros.running, "rclpy.init() was called already"
        ros.running = True

    def spin(node: Any) -> None:
        assert node in ros.nodes
        if ros.script:
            ros.script(node)
        if ros.end:
            raise ros.end

    def try_shutdown() -> None:
        ros.running = False

    ros.ExternalShutdownException = ExternalShutdownException  # type: ignore[attr-defined]
    ros.Trigger = Trigger  # type: ignore[attr-defined]
    module("rclpy", init=init, spin=spin, try_shutdown=try_shutdown, ok=lambda: ros.running)
    module("rclpy.node", Node=Node)
    module("rclpy.executors", ExternalShutdownException=ExternalShutdownException)
    module(
        "rclpy.qos",
        QoSProfile=QoSProfile,
        HistoryPolicy=SimpleNamespace(KEEP_LAST="keep_last", KEEP_ALL="keep_all"),
        ReliabilityPolicy=SimpleNamespace(BEST_EFFORT="best_effort", RELIABLE="reliable"),
    )
    wanted = {
        "geometry_msgs": ("Vector3Stamped",),
        "sensor_msgs": ("Image", "CompressedImage"),
        "std_msgs": ("String", "Header"),
        "vision_msgs": ("BoundingBox2D", "Detection2D", "ObjectHypothesisWithPose"),
    }
    for package, names in wanted.items():
        module(package)
        module(f"{package}.msg", **{name: ros.message(f"{package}/{name}") for name in names})
    module("std_srvs")
    module("std_srvs.srv", Trigger=Trigger)
