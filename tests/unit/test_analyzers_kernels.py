"""Kernels, copies, collectives and launches on traces small enough to add up by hand. Times are µs."""

from __future__ import annotations

import pytest
from linked import US, Linked

from traceanalyzer.analyzers.collectives import CollectivesAnalyzer, bus_factor
from traceanalyzer.analyzers.copies import CopiesAnalyzer
from traceanalyzer.analyzers.kernels import KernelsAnalyzer
from traceanalyzer.analyzers.launches import LaunchesAnalyzer
from traceanalyzer.model.communication import is_communication


@pytest.mark.parametrize(
    "name",
    [
        "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
        "ncclKernel_AllReduce_RING_LL_Sum_float(ncclWorkElem)",
        "void vllm::cross_device_reduce_1stage<__hip_bfloat16, 8>(vllm::RankData*)",
        "multimem_all_reduce_kernel",
        "rcclGenericKernel",
        "void deep_ep::intranode::combine<8>",
        "two_shot_all_reduce_kernel_inplace",
        "void mscclpp::allreduce7<float>",
        "nvshmemi_transfer_rma",
        "allreduce_fusion_kernel_oneshot_lamport",
    ],
)
def test_communication_is_told_by_name(name: str) -> None:
    assert is_communication(name)


@pytest.mark.parametrize(
    "name",
    [
        "void at::native::reduce_kernel<512, 1>",
        "void gemm_kernel",
        "softmax_warpAllReduce",
        "void cub::DeviceReduceKernel",
        "void at::native::vectorized_gather_kernel",
        "Memcpy DtoD",
    ],
)
def test_reductions_within_a_device_are_not_communication(name: str) -> None:
    assert not is_communication(name)


def test_kernels_are_summed_by_name_with_the_op_that_launches_most() -> None:
    b = Linked()
    mm, bmm = b.op("aten::mm", 0, 10), b.op("aten::bmm", 10, 20)
    b.kernel("gemm", 0, 10, op=mm, occupancy=50.0, grid=[2, 3, 1], block=[32, 2, 1])
    b.kernel("gemm", 20, 50, op=bmm, occupancy=10.0, grid=[8, 1, 1], block=[64, 1, 1], module="Net_0")
    b.kernel("add", 60, 65)
    found = KernelsAnalyzer().analyze(b.trace(), {})
    gemm, add = found.rows
    assert (gemm.count, gemm.total_ns, gemm.mean_ns, gemm.median_ns) == (2, 40 * US, 20 * US, 20 * US)
    assert (gemm.min_ns, gemm.max_ns, gemm.op, gemm.module) == (10 * US, 30 * US, "aten::bmm", "Net_0")
    assert gemm.occupancy_percent == pytest.approx((50 * 10 + 10 * 30) / 40)
    assert (gemm.blocks, gemm.threads) == (8, 64)
    assert gemm.share == pytest.approx(40 / 45)
    assert (add.occupancy_percent, add.op, add.blocks) == (None, None, None)
    assert (found.count, found.total_ns, found.median_ns, found.unlinked) == (3, 45 * US, 10 * US, 1)


@pytest.mark.parametrize(("warps", "expected"), [(12.0, None), (0.03, 0.0), (None, None)])
def test_an_occupancy_of_0_counts_only_where_the_warps_agree(
    warps: float | None, expected: float | None
) -> None:
    """Kineto writes 0 when its calculator refuses a kernel, such as one with much shared memory."""
    b = Linked()
    b.kernel("gemm", 0, 10, occupancy=0.0, warps_per_sm=warps)
    (gemm,) = KernelsAnalyzer().analyze(b.trace(), {}).rows
    assert gemm.occupancy_percent == expected


def test_a_kernel_with_collective_arguments_is_communication_whatever_its_name() -> None:
    b = Linked()
    kernel = b.kernel("Generic_1", 0, 10)
    b.add("collectives", "Generic_1", 0, 10, kernel=kernel, collective="allreduce")
    assert KernelsAnalyzer().analyze(b.trace(), {}).rows[0].category == "communication"


def test_shares_of_graphs_and_optimizer() -> None:
    b = Linked()
    b.kernel("node", 10, 40, api_call=b.call("cudaGraphLaunch", 5, 6))
    b.annotation("Optimizer.step#SGD.step", 50, 60)
    b.annotation("Optimizer.step#SGD.step", 150, 160)
    for called in (51, 53, 155):
        b.launch("update", called=called, start=called + 5, end=called + 15)
    found = KernelsAnalyzer().analyze(b.trace(), {})
    assert found.graph_share == pytest.approx(0.5)
    assert found.optimizer_kernels == pytest.approx(1.5)


def test_without_launches_these_shares_are_unknown() -> None:
    b = Linked()
    b.kernel("k", 0, 10)
    found = KernelsAnalyzer().analyze(b.trace(), {})
    assert (found.graph_share, found.optimizer_kernels) == (None, None)


def test_copies_are_exposed_while_no_kernel_runs() -> None:
    b = Linked()
    b.kernel("k", 10, 30)
    b.copy("HtoD", 0, 20, "pageable", "device", bytes=100)
    b.copy("HtoD", 25, 40, "pageable", "device", bytes=50, stream=8)
    b.copy("DtoH", 12, 18, "device", "pinned", bytes=None)
    htod, dtoh = CopiesAnalyzer().analyze(b.trace(), {}).rows
    assert (htod.direction, htod.count, htod.bytes, htod.total_ns) == ("HtoD", 2, 150, 35 * US)
    assert htod.exposed_ns == 20 * US
    assert (dtoh.exposed_ns, dtoh.bytes) == (0, None)


class TestCollectives:
    def trace(self, **arguments: object) -> Linked:
        b = Linked()
        for start, end in ((0, 100), (200, 250)):
            kernel = b.kernel("ncclDevKernel_AllReduce", start, end, stream=20)
            b.add("collectives", "ncclDevKernel_AllReduce", start, end, kernel=kernel, **arguments)
        b.kernel("gemm", 60, 220)
        return b

    def test_bytes_bandwidth_and_exposure(self) -> None:
        arguments = {"collective": "allreduce", "dtype": "BFloat16", "group_size": 8, "group": "0"}
        b = self.trace(**arguments, in_elements=1_000_000, out_elements=1_000_000)
        found = CollectivesAnalyzer().analyze(b.trace(), {})
        (row,) = found.rows
        assert (row.count, row.in_bytes, row.out_bytes) == (2, 4_000_000, 4_000_000)
        assert (row.total_ns, row.min_ns, row.max_ns) == (150 * US, 50 * US, 100 * US)
        assert row.exposed_ns == (60 + 30) * US
        assert row.bus_gb_per_s == pytest.approx(2_000_000 / 50_000 * 2 * 7 / 8)
        assert found.overlap_share == pytest.approx(60 / 150)

    def test_without_arguments_sizes_are_unknown_and_not_zero(self) -> None:
        b = Linked()
        b.kernel("multimem_all_reduce_kernel", 0, 10)
        (row,) = CollectivesAnalyzer().analyze(b.trace(), {}).rows
        assert (row.in_bytes, row.out_bytes, row.bus_gb_per_s, row.group_size) == (None, None, None, None)

    def test_an_unknown_element_type_gives_unknown_bytes(self) -> None:
        b = self.trace(collective="allreduce", dtype="Posit12", group_size=8, in_elements=10, out_elements=10)
        assert CollectivesAnalyzer().analyze(b.trace(), {}).rows[0].in_bytes is None

    def test_no_communication_has_no_overlap(self) -> None:
        b = Linked()
        b.kernel("gemm", 0, 10)
        found = CollectivesAnalyzer().analyze(b.trace(), {})
        assert (found.rows, found.overlap_share) == ((), None)

    @pytest.mark.parametrize(
        ("collective", "factor"),
        [
            ("allreduce", 1.75),
            ("_allgather_base", 0.875),
            ("reduce_scatter_tensor", 0.875),
            ("broadcast", 1.0),
        ],
    )
    def test_bus_factor_of_eight_ranks(self, collective: str, factor: float) -> None:
        assert bus_factor(collective, 8) == factor


class TestLaunches:
    def test_delay_and_queue(self) -> None:
        b = Linked()
        b.launch("a", called=0, start=10, end=100)
        b.launch("b", called=20, start=101, end=200)
        b.launch("c", called=40, start=201, end=300)
        b.launch("d", called=250, start=301, end=310)
        (device,) = LaunchesAnalyzer().analyze(b.trace(), {}).devices
        assert (device.kernels, device.linked) == (4, 4)
        assert device.delay_p50_ns == round((51 + 81) / 2 * US)
        assert (device.queue_max, device.queue_p50) == (3, 2)
        assert device.launch_call_p50_ns == 2 * US
        assert device.tiny_share == 0.25

    @pytest.mark.parametrize(("delay", "bound"), [(8, "host"), (50, "unknown"), (500, "device")])
    def test_the_side_that_waits(self, delay: int, bound: str) -> None:
        b = Linked()
        for i in range(5):
            b.launch("floor", called=i * 10, start=i * 10 + 5, end=i * 10 + 6)
        for i in range(1, 40):
            b.launch("k", called=i * 1000, start=i * 1000 + delay, end=i * 1000 + delay + 1)
        (device,) = LaunchesAnalyzer().analyze(b.trace(), {}).devices
        assert device.bound == bound

    def test_without_links_nothing_is_claimed(self) -> None:
        b = Linked()
        b.kernel("k", 0, 5)
        found = LaunchesAnalyzer().analyze(b.trace(), {})
        assert (found.devices[0].bound, found.devices[0].delay_p50_ns) == ("unknown", None)
        assert (found.devices[0].queue_max, found.queue) == (None, {})

    def test_the_queue_is_a_staircase_and_ends_empty(self) -> None:
        b = Linked()
        call = b.call("cudaGraphLaunch", 0, 5)
        for i in range(3):
            b.kernel("node", 10 + i * 10, 20 + i * 10, api_call=call)
        points = LaunchesAnalyzer().analyze(b.trace(), {}).queue[0, 0]
        assert points == ((0, 3), (20 * US, 2), (30 * US, 1), (40 * US, 0))

    def test_api_calls_by_name(self) -> None:
        b = Linked()
        b.call("cudaMalloc", 0, 10)
        b.call("cudaMalloc", 20, 25)
        b.call("cudaFree", 30, 31)
        first, second = LaunchesAnalyzer().analyze(b.trace(), {}).api
        assert (first.name, first.count, first.total_ns, first.max_ns) == ("cudaMalloc", 2, 15 * US, 10 * US)
        assert second.name == "cudaFree"
