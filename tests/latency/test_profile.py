"""Operator profiles: of real networks through MNN, and of scripted ones whose times are known."""

import gc
import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from repghost.deploy.quiet import captured_output
from repghost.deploy.runtime import MnnNetwork, OperatorInfo, OperatorTimes
from repghost.latency.devices.local import LocalDevice
from repghost.latency.operators import layers_of
from repghost.latency.profile import (
    Profile,
    Subject,
    profile,
    read_profiles,
    write_profiles,
)

CHS, SIDE = 8, 16


def conv(name: str, source: str, chs: int, weights: list) -> onnx.NodeProto:
    kernel = np.random.default_rng(0).normal(size=(CHS, chs, 1, 1)).astype(np.float32)
    weights.append(numpy_helper.from_array(kernel, f"{name}.weight"))
    return helper.make_node("Conv", [source, f"{name}.weight"], [name], kernel_shape=[1, 1])


@pytest.fixture(scope="session")
def reuse_mnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that joins the same two tensors by a concatenation and by an add, twice."""
    folder, weights = tmp_path_factory.mktemp("reuse"), []
    one, two = "/stem/stem.0/Conv_output_0", "/block/cheap/Conv_output_0"
    nodes = [
        conv(one, "x", CHS, weights),
        conv(two, one, CHS, weights),
        helper.make_node("Concat", [one, two], ["/block/Concat_output_0"], axis=1),
        conv("/block/mix/Conv_output_0", "/block/Concat_output_0", 2 * CHS, weights),
        helper.make_node("Add", ["/block/mix/Conv_output_0", two], ["/block/Add_output_0"]),
        helper.make_node("Add", ["/block/Add_output_0", one], ["/block/Add_1_output_0"]),
        conv("y", "/block/Add_1_output_0", CHS, weights),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, CHS, SIDE, SIDE]) for n in "xy"]
    graph = helper.make_graph(nodes, "reuse", ends[:1], ends[1:], weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "a.onnx")
    files = ["--modelFile", str(folder / "a.onnx"), "--MNNModel", str(folder / "reuse.mnn")]
    with captured_output():
        import _tools

        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *files, "--bizCode", "MNN"])
    return folder / "reuse.mnn"


class Scripted:
    """A network whose runs take 10 ms plainly and 14 ms with callbacks; 2 operators: 9 and 3 ms."""

    input_shape = (1, 3, 8, 8)

    def __init__(self, name: str, calls: list[str], drift: Callable[[], float]) -> None:
        self.name, self.calls, self.drift = name, calls, drift

    def time_ms(self, runs: int, settle: int = 0) -> float:
        return 10.0

    def operators(self) -> list[OperatorInfo]:
        shape = (1, 8, 4, 4)
        return [
            OperatorInfo("/a/Conv_output_0", "Convolution", 2.0, (shape,), shape),
            OperatorInfo("/b/Add_output_0", "BinaryOp", 0.5, (shape, shape), shape),
        ]

    def time_operators(self, runs: int) -> OperatorTimes:
        self.calls.append(self.name)
        return OperatorTimes(14.0, np.array([9.0, 3.0]) * self.drift())


class ScriptedDevice(LocalDevice):
    def __init__(self, drift: Callable[[], float] = lambda: 1.0) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.drift = drift

    def load(self, mnn_path: Path):
        return Scripted(mnn_path.stem, self.calls, self.drift)


class Blind(ScriptedDevice):
    def load(self, mnn_path: Path):
        class Network:
            def time_ms(self, runs: int, settle: int = 0) -> float:
                return 1.0

        return Network()


def scripted(*names: str, rounds: int = 6, seed: int = 0, **knobs) -> list[Profile]:
    subjects = [Subject(name, Path(f"{name}.mnn")) for name in names]
    return profile(subjects, ScriptedDevice(**knobs), rounds, seed)


def test_a_profile_holds_the_operators_in_the_order_in_which_they_run(reuse_mnn: Path) -> None:
    (found,) = profile([Subject("reuse", reuse_mnn)], LocalDevice(), rounds=3)
    assert [(o.kind, o.layer) for o in found.operators if o.kind != "Raster copy"] == [
        ("Convolution", "stem.0"),
        ("Convolution", "block.cheap"),
        ("Raster concat", "block.mix"),  # MNN names it after the operator that reads it
        ("Convolution", "block.mix"),
        ("BinaryOp add", "block"),
        ("BinaryOp add", "block"),
        ("Convolution", "y"),
    ]
    concat = next(o for o in found.operators if o.kind == "Raster concat")
    assert concat.input_shapes == ((1, CHS, SIDE, SIDE),) * 2
    assert concat.output_shape == (1, 2 * CHS, SIDE, SIDE)
    mix = next(o for o in found.operators if o.type == "Convolution" and o.layer == "block.mix")
    assert mix.mflops == pytest.approx(1e-6 * 2 * CHS * CHS * SIDE * SIDE)  # its MACs


def test_operators_take_less_than_the_run_that_holds_them(long_mnn: Path) -> None:
    (found,) = profile([Subject("long", long_mnn)], LocalDevice(), rounds=10)
    assert (found.samples_ms > 0).all()
    assert (found.all_ms < found.callbacks_ms).all()
    assert np.median(found.all_ms / found.plain_ms) > 0.8
    assert found.overhead.inside_us.value < found.overhead.per_operator_us.value
    assert found.device_state["pinned"] is True or found.device_state["why_not_pinned"]
    assert found.device.startswith("local: ") and found.mnn_version[0].isdigit() and found.commit


def test_two_networks_are_timed_in_the_same_rounds(short_mnn: Path, long_mnn: Path) -> None:
    subjects = [Subject("long", long_mnn), Subject("short", short_mnn)]
    long, short = profile(subjects, LocalDevice(), rounds=12)
    convs = [one.select(lambda o: o.type == "Convolution") for one in (long, short)]
    ratio = long.interval(convs[0] / convs[1])
    assert (long.network, short.network, long.rounds) == ("long", "short", short.rounds)
    assert ratio.low > 1.3 and ratio.value < 3.0  # 8 convs against 4


def test_groups_add_up_and_come_slowest_first() -> None:
    (found,) = scripted("a")
    groups = found.groups(lambda o: o.kind)
    assert [(g.name, g.count, g.ms.value) for g in groups] == [
        ("Convolution", 1, 9.0),
        ("BinaryOp add", 1, 3.0),
    ]
    assert [g.share.value for g in groups] == pytest.approx([0.75, 0.25])
    assert found.select(lambda o: True) == pytest.approx([12.0] * 6)
    assert found.group("none", lambda o: False).count == 0
    assert not found.select(lambda o: False).any()


def test_the_overhead_of_the_callbacks_is_said_and_not_subtracted() -> None:
    (found,) = scripted("a")
    assert (found.total_ms, found.with_callbacks_ms) == (10.0, 14.0)
    assert found.overhead.share.value == pytest.approx(0.4)
    assert found.overhead.per_operator_us.value == pytest.approx(2000)  # 4 ms over 2 operators
    assert found.overhead.inside_us.value == pytest.approx(1000)  # 12 ms of operators in 10 ms


def test_intervals_hold_the_median_and_are_as_wide_as_the_rounds_differ() -> None:
    noise = np.random.default_rng(1)
    (noisy,) = scripted("a", rounds=200, drift=lambda: float(noise.normal(1, 0.1)))
    group = noisy.group("conv", lambda o: o.type == "Convolution")
    assert group.ms.low < group.ms.value < group.ms.high
    expected = 9 * 0.1 * 1.25 / np.sqrt(200)  # the standard error of a median
    assert group.ms.half_width == pytest.approx(1.96 * expected, rel=0.35)
    assert group.share.half_width < 1e-6  # both operators drift together


def test_the_order_within_a_round_is_random_and_comes_from_the_seed() -> None:
    def order(seed: int) -> list[str]:
        device = ScriptedDevice()
        profile([Subject(n, Path(f"{n}.mnn")) for n in "ab"], device, 40, seed)
        return device.calls[::2]  # every sample has an untimed run before it

    assert order(0) == order(0) != order(1)
    firsts = order(0)[::2]
    assert len(firsts) == 40 and 8 < firsts.count("a") < 32
    assert all(
        {one, other} == {"a", "b"} for one, other in zip(firsts, order(0)[1::2], strict=True)
    )


def test_a_profile_survives_json_to_the_last_bit(reuse_mnn: Path, tmp_path: Path) -> None:
    subjects = [Subject("reuse", reuse_mnn, "f00d"), Subject("again", reuse_mnn)]
    written = profile(subjects, LocalDevice(), rounds=4)
    write_profiles(tmp_path / "a.json", written)
    read = read_profiles(tmp_path / "a.json")
    assert len(read) == 2
    for before, after in zip(written, read, strict=True):
        assert after.as_dict() == before.as_dict()
        assert after.operators == before.operators and after.input_shape == before.input_shape
        for name in ("samples_ms", "plain_ms", "callbacks_ms"):
            a, b = getattr(before, name), getattr(after, name)
            assert a.dtype == b.dtype == np.float32 and np.array_equal(a, b)
        assert after.overhead == before.overhead


def test_json_is_compact() -> None:
    (found,) = scripted("a", rounds=100)
    text = json.dumps(found.as_dict(), separators=(",", ":"))
    assert len(text) < 100 * 2 * 9 + 100 * 2 * 9 + 2000


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"profiles": [{"network": "a"}]}'])
def test_a_file_without_profiles_is_an_error(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="profile"):
        read_profiles(tmp_path / "a.json")


def test_a_device_without_operator_times_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="device=local: it cannot tell the time of an operator"):
        profile([Subject("a", Path("a.mnn"))], Blind())


def test_no_rounds_and_no_network_are_errors() -> None:
    with pytest.raises(ValueError, match="rounds=0"):
        scripted("a", rounds=0)
    with pytest.raises(ValueError, match="no network"):
        scripted()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_an_interrupt_in_a_callback_ends_the_run_and_leaves_everything_usable(
    short_mnn: Path,
) -> None:
    network = MnnNetwork.filled(short_mnn)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(5):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(KeyboardInterrupt):
                network.time_operators(1_000_000)
            assert gc.isenabled()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(network.time_operators(3).operators_ms) == len(network.operators())


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        (["/conv_stem/Conv_output_0_raster_0"], ["conv_stem"]),
        (["/blocks/blocks.0/blocks.0.1/ghost1/cheap/cheap.0/Conv_output_0"],
         ["blocks.0.1.ghost1.cheap.0"]),
        (["/blocks/blocks.1/blocks.10/Add_1_output_0"], ["blocks.1.blocks.10"]),
        (["/se/expand/Conv_output_0", "BinaryOp58", "/se/Mul_output_0"], ["se.expand", "se", "se"]),
        (["/a/Conv_output_0", "BinaryOp1", "/b/Conv_output_0"], ["a", "BinaryOp1", "b"]),
        (["/head/Conv_output_0", "logits__matmul_converted_raster_0", "logits_raster_0"],
         ["head", "logits", "logits"]),
        (["/Flatten_output_0"], ["Flatten"]),
        (["node_conv2d_1"], ["node_conv2d_1"]),
    ],
)  # fmt: skip
def test_layers_are_the_dotted_names_of_modules(names: list[str], layers: list[str]) -> None:
    assert layers_of(names) == layers
