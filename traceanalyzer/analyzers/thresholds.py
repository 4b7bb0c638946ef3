"""Every figure that is a judgement and not a measurement, with where it comes from.

Reports say so when a finding rests on one of these. Times are ns, shares are of 1.
"""

from __future__ import annotations

from typing import Final

US: Final = 1_000
MS: Final = 1_000_000

# --- steps ---
STEP_OUTLIER_SHARE: Final = 0.10
"""A step is an outlier only when it is this far from the median … (own judgement: below it is noise)."""
STEP_OUTLIER_DEVIATIONS: Final = 5.0
"""… and this many scaled median absolute deviations away (own judgement, wider than the usual 3.5)."""

STEPS_APART: Final = 0.20
"""Two runs differ for sure when every step of one is longer by this part than all of the other (own judgement)."""
HARDLY_A_CHANGE: Final = 0.01
"""A change of the step by less than this part of it is not shared out over what explains it (own judgement)."""

# --- devices ---
ODD_DEVICE_SHARE: Final = 0.05
"""Of many devices, one is unlike the others when a part of its time takes a share that differs from the median by more
(own judgement)."""

# --- idle time ---
LAUNCH_GAP_NS: Final = 3 * US
"""Gaps of work that was launched in time: shorter is the device's own launch latency, longer a dependency
(own judgement; HTA uses 30 of its own unit)."""
SLOW_CALL_NS: Final = 50 * US
"""An API call that takes longer than this is slow (HTA: cuda_kernel_launch_stats)."""

SLOW_LAUNCHES: Final = 10
"""So many slow launches are no accident (own judgement: the first launch of a kernel loads its code)."""
LONG_PAUSE_NS: Final = 1 * MS
"""A gap that ordinary host work leaves is a pause, not slow launching, from here on (own judgement: operators
take microseconds to dispatch)."""

# --- launches ---
DEEP_QUEUE_DELAY_NS: Final = 100 * US
"""Median time from launch to start above which the device is the slower side (HTA: launch delay outlier)."""
EMPTY_QUEUE_DELAY_NS: Final = 20 * US
"""Median time from launch to start below which the device waits for the host (own judgement: the latency of
a launch is 4-10 us on current GPUs; B200 vLLM prefill, host-bound, has 10 us)."""
TINY_KERNEL_NS: Final = 10 * US
"""Kernels shorter than this cost about as much to launch as to run."""
REPEATED_PRODUCTS: Final = 8
"""So many small products of one shape in a row are worth a batch (own judgement)."""

# --- replay ---
REPLAY_ERROR_SHARE: Final = 0.05
"""A replay that misses the measured step by more is not trusted: no savings are shown (own judgement; published
replays miss by 3.3 % (Lumos) to 14 % (dPRO))."""
REPLAY_NODES: Final = 150_000
"""Calls and device work that are replayed at most; of a longer trace a stretch of steps in the middle is."""
FINDINGS_REPLAY_NODES: Final = 30_000
"""The same for the savings of findings, of which there are many: a replay of so many takes about 0.1 s."""
FINDINGS_REPLAY_MOST: Final = 600_000
"""Calls and device work that all replays for findings may visit, for each rank, when already one step has more than
that: about a second. Beyond it the first rank is replayed alone, or findings keep their bounds."""
RANKS_APART_NS: Final = 50 * US
"""How far the clocks of two ranks, once aligned, may drift apart before a kernel that ended on one before it began on
the other is taken for no collective of both (own judgement: a few us per second of recording)."""
LAUNCH_QUEUE: Final = 1024
"""Work that can be launched ahead; a launch beyond it waits (CUDA: observed at 1022 to 1024)."""
PINNED_SPEEDUP: Final = 4.0
"""How much faster a transfer from pinned memory is at best, where the trace has none to compare with (own judgement:
one thread stages 3 to 7 GB/s, PCIe gen 4 x16 moves 25)."""
PINNED_LEAST_BYTES_PER_NS: Final = 12.0
"""What a transfer from pinned memory reaches at least, where the trace has none to compare with: PCIe gen 3 x16, the
slowest link that GPUs of compute capability 7.0 and above are made for (own judgement)."""
PINNED_SAMPLE_BYTES: Final = 1 << 20
"""Pinned copies of this size and more tell the speed of the link; smaller ones are all latency (own judgement)."""
FUSED_OPTIMIZER_SPEEDUP: Final = 3.0
"""What fusing saves on the device at best: 21 passes over the parameters in AdamW's eight operations become 7."""
FUSED_ADAM_LEAST_SPEEDUP: Final = 2.0
"""What fusing saves at least where Adam's operations run one by one over lists: 18 passes and more become 7, of which
the kernel is taken to reach three quarters of their bandwidth (own judgement)."""

ENDLESS_SHARE: Final = 0.95
"""A Python frame without calls that lasts for this part of the recording is not taken for work (own judgement: it began
before the recording and did not return, as a thread does that is blocked in C code)."""

# --- rules ---
IDLE_SHARE: Final = 0.15
"""Idle share of the step above which it is a problem (NVIDIA's host analysis: 30 %, 15 % with graphs)."""
CAUSE_SHARE: Final = 0.05
"""Share of the step that one cause must cost before it is worth a finding (torch-tb-profiler: dataloader)."""
HOST_STALL_SHARE: Final = 0.02
"""The same for stalls that one line can remove: syncs, garbage collection, compilation (own judgement)."""
SEVERE_SHARE: Final = 0.20
"""Share of the step above which a loss is severe (own judgement)."""
COMMUNICATION_SHARE: Final = 0.10
"""Exposed communication worth a finding (torch-tb-profiler)."""
COPY_SHARE: Final = 0.02
"""Exposed copies worth a finding (own judgement: cheap to fix)."""
ALLOCATOR_SHARE: Final = 0.01
"""Time in cudaMalloc and cudaFree worth a finding (own judgement: a steady step has none)."""
SMALL_COLLECTIVE_BYTES: Final = 1 << 20
"""Collectives below this are dominated by latency (own judgement: NCCL reaches its bandwidth above it)."""
SMALL_COLLECTIVE_SHARE: Final = 0.50
"""Share of a step's collectives that are small (own judgement)."""
SMALL_COLLECTIVES_PER_STEP: Final = 8
"""How many collectives a step has before their number can be a problem (own judgement)."""
TINY_SHARE: Final = 0.50
"""Share of kernels that are tiny above which fusing or graphs pay (own judgement)."""
MANY_KERNELS_PER_STEP: Final = 100
"""How many kernels a step has before their number can be a problem (own judgement)."""
UNLINKED_SHARE: Final = 0.10
"""Share of kernels without a recorded launch from which a reader must know about it (own judgement)."""
OPTIMIZER_KERNELS_PER_STEP: Final = 50
"""A fused or foreach optimizer needs far fewer kernels than this (own judgement)."""
OPTIMIZER_OPS_PER_STEP: Final = 16
"""On the host a fused optimizer runs one op and a few for its counters (own judgement)."""
FUSED_ON_HOST_MOST: Final = 0.9
"""On the host fusing saves at most this part of the optimizer's time: parameters and state are still passed over once
(own judgement)."""
GRAPH_SHARE: Final = 0.50
"""Share of kernel time under graph launches from which a reader must know about it (own judgement)."""

LOW_OCCUPANCY: Final = 0.25
"""Estimated occupancy below which a kernel that streams memory cannot hide its latency (own judgement)."""
IDLE_SHARE_GRAPHS: Final = 0.15
"""Idle share above which a compiled program should launch CUDA graphs (NVIDIA's host analysis: 15 % with graphs)."""
INPUT_SHARE: Final = 0.05
"""Share of the step in the input pipeline worth a finding (torch-tb-profiler; XProf takes 10 %)."""
CPU_OPERATOR_NS: Final = 100 * US
"""An operator that takes the host so long by itself and launches nothing computes on the CPU (own judgement:
dispatching one takes 5 to 20 us, with stacks recorded up to 50)."""
SMALL_COPY_BYTES: Final = 64 << 10
"""Copies below this are all latency (own judgement; the driver stages them with the launch) …"""
SMALL_COPIES_PER_STEP: Final = 8
"""… and so many of them per step are worth a finding (own judgement)."""
GRAPH_BREAKS: Final = 4
"""So many compiled frames count as a broken program (own judgement: forward, loss and optimizer make three)."""
RECOMPILES: Final = 2
"""From this version of a compiled frame on it was recompiled too often (own judgement: static, then dynamic sizes)."""
SECOND_STREAM_SHARE: Final = 0.10
"""A second stream that does this share of the work was meant to overlap (own judgement) …"""
STREAM_OVERLAP_SHARE: Final = 0.05
"""… and with less than this of its time beside the first it does not (own judgement)."""
HARDWARE_QUEUES: Final = 8
"""Hardware queues of a CUDA device by default (CUDA_DEVICE_MAX_CONNECTIONS, CUDA C++ Programming Guide)."""
LARGE_COLLECTIVE_BYTES: Final = 16 << 20
"""From this size on a collective should reach the bandwidth of its link (own judgement; nccl-tests)."""
LOW_BUS_GB_PER_S: Final = 12.0
"""Below this bus bandwidth GPUs do not talk over NVLink or a PCIe link of their own (own judgement: half of what
PCIe gen 4 x16 moves)."""
RECORDED_EVENT_LEAST_NS: Final = 600
"""What an event of the host that torch's profiler records costs it, at least (measured on an H200 over five workloads
that the host decides: the step of the trace less the unprofiled one, by event) …"""
RECORDED_EVENT_MOST_NS: Final = 2_800
"""… and at most (measured with them) …"""
RECORDING_SHARE: Final = 0.05
"""… and how much of the step that must be, at least, to be worth a finding (own judgement)."""

# --- verdict ---
DOMINANT_SHARE: Final = 0.50
"""A label is dominant with this share …"""
DOMINANT_LEAD: Final = 0.10
"""… or with this lead over the next; otherwise the verdict is mixed (own judgement)."""
SAVING_LOW: Final = 0.5
"""A fix removes at least this part of what it is aimed at (own judgement; a replay will measure it)."""

# --- roofline ---
MEMORY_BOUND: Final = 0.6
"""From this part of the bandwidth on a kernel is limited by it (NVIDIA's rule SOLBottleneck: 60 %) …"""
COMPUTE_BOUND: Final = 0.5
"""… and from this part of the peak on by arithmetic (own judgement: NVIDIA's 60 % of the cycles, which on an H200 are
47 to 57 % of the FLOP/s that the boost clock would give)."""
FAR_FROM_ROOF: Final = 0.3
"""Below this part of its roof neither arithmetic nor memory is anywhere near its limit (own judgement)."""
FULL_OCCUPANCY: Final = 0.9
"""Estimated occupancy from which a multiprocessor has all the warps that it can hold (own judgement: on an H200 kernels
with 91 to 100 % are held up by their instructions, with 75 % by latency) …"""
FULL_WAVES: Final = 4.0
"""… and waves of blocks from which the beginning and the end, when the device is not full, take at most a quarter."""
BALANCED_LEAD: Final = 0.10
"""The two terms of a roof are balanced when they differ by less than this part (own judgement)."""
ABOVE_ROOF: Final = 1.05
"""Above this part of its roof a kernel needs a reason: a cache, an assumption (own judgement: clocks and
rounding explain 5 %)."""
ATTAINABLE_LOW: Final = 0.5
"""Share of its roof that an ordinary kernel reaches (own judgement) …"""
ATTAINABLE_HIGH: Final = 0.8
"""… and that a good one does (own judgement; libraries reach 75-80 % on large products)."""
KERNEL_FLOOR_NS: Final = 2 * US
"""No kernel is shorter than this, however little it does (own judgement)."""
FUSED_LOW: Final = 0.3
"""Share of the peak that fused attention reaches at least (own judgement; FlashAttention-2 on an H100: 35 %) …"""
FUSED_HIGH: Final = 0.7
"""… and at best (FlashAttention-3 on an H100: 75 %)."""
ATTENTION_LENGTH: Final = 64
"""Below this many positions the scores of attention are small enough to stay in a cache (own judgement)."""
LAYOUT_SHARE: Final = 0.02
"""Layout changes worth a finding (own judgement: one line removes them)."""
MEASURED_SHARE: Final = 0.5
"""Share of the kernel time that must have a roof before the verdict rests on it (own judgement)."""

# --- memory ---
GROWTH_STEPS: Final = 3
"""Growth is told from so many steps after the first (own judgement: two points are no trend)."""
GROWTH_ROUNDS: Final = 2
"""The same for rounds of a loop that is not marked, when another one has begun (own judgement: every stack of a round
has to leave something in both)."""
GROWTH_SHARE_OF_STEPS: Final = 0.8
"""A stack grows when it leaves blocks behind in this share of the steps (own judgement)."""
ROUNDS_ALIKE: Final = 0.8
"""Rounds of an unmarked loop share this part of their call stacks (own judgement: the first may warm something up)."""
ROUND_REQUESTS: Final = 10
"""So many requests of a round tell that it is larger than the one before (own judgement) …"""
LARGER_ROUND: Final = 1.25
"""… which is said when they ask for so many times the bytes (own judgement)."""
PINNED_SEGMENT_BYTES: Final = 20 << 20
"""Segments below this are shared by small blocks on purpose (CUDACachingAllocator's kLargeBuffer)."""
PINNED_ACTIVE_SHARE: Final = 0.25
"""A segment that is used less than this counts as pinned (own judgement)."""
FRAGMENTED_SHARE: Final = 0.05
"""Fragmentation is named first as an OOM's cause when this share of the reserved memory is free (own judgement)."""
SPIKE_SHARE: Final = 0.25
"""A request of this share of what is allocated counts as a spike (own judgement)."""
UNUSED_RESERVED_SHARE: Final = 0.2
"""Reserved memory that is never used is told from this share of it on (own judgement)."""
UNUSED_RESERVED_BYTES: Final = 20 << 20
"""… when it is a segment's worth (CUDACachingAllocator's kLargeBuffer: less is reserved ahead on purpose)."""
LOGITS_SHARE: Final = 0.2
"""Logits and loss are told when they take this share of the peak (own judgement)."""
OPTIMIZER_STATE_SHARE: Final = 0.3
"""Optimizer state is told from this share of the peak on (own judgement: Adam in fp32 beside bf16 weights and gradients
has two thirds of what does not depend on the batch)."""
CASTS_SHARE: Final = 0.05
"""Copies of weights by autocast are told from this share of the peak on (own judgement)."""
NON_PYTORCH_SHARE: Final = 0.1
"""Memory outside of PyTorch is told from this share of the device on … (own judgement)."""
NON_PYTORCH_BYTES: Final = 2 << 30
"""… or from so much on, where its size is not known (own judgement: a CUDA context and NCCL take about one GiB)."""
THRASH_PER_STEP: Final = 1.0
"""cudaMalloc calls per step after the first that count as thrash: a warm allocator makes none (own judgement)."""
FIRST_STEP_PEAK_SHARE: Final = 0.2
"""The first step's peak is told apart when it is so much above the others (own judgement)."""
WHAT_IF_ERROR: Final = 0.02
"""How far the reserved memory of a replay with the recorded settings may be from the recorded one, as a share of the
peak, for a replay with other settings to be told. Own judgement: well below what a change of settings does."""
WHAT_IF_ENTRIES: Final = 200_000
"""Up to here a post-mortem replays by itself, which takes about a second; the command does it for any number."""
