"""What joins workers, and how long an all-reduce over it takes: the formulas of scripts/simulate_scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# Share of a link's rated bandwidth that a collective reaches: an assumption.
REACHED = 0.8
# Seconds that NCCL takes to begin a ring with its "simple" protocol: 8.4 µs (NCCL, src/graph/tuning.cc, baseLat).
START_SECONDS = 8.4e-6


@dataclass(frozen=True)
class Link:
    """bandwidth: bytes/s in one direction, per worker inside of a computer, else per port; latency: seconds of a hop.

    ports: of a computer, where the link is between computers.
    """

    name: str
    bandwidth: float
    latency: float
    ports: int = 1


@dataclass(frozen=True)
class Fabric:
    """How workers are joined: up to ``per_computer`` of them by ``inside``, computers by ``between``.

    adders: whether arrays go through an actor's hands and shared memory (``ObjectStoreCommunicator``), in place of a
    ring.
    """

    name: str
    inside: Link
    between: Link
    per_computer: int = 1
    adders: bool = False


def gigabits(rate: float) -> float:
    """Bytes/s."""
    return rate * 1e9 / 8


# Latencies of a hop: NCCL's own table (src/graph/tuning.cc, hwLat, ring, "simple"): NVLink 3.4, PCI 5.7, network 9.6
# µs.
# 30 µs for TCP over Ethernet up to 25 Gb/s is an assumption.
LINKS = {
    link.name: link
    for link in (
        # NVIDIA H200 data sheet: NVLink 900 GB/s, both directions together.
        Link("nvlink4", 450e9, 3.4e-6),
        # PCI-SIG, PCI Express 5.0 and 4.0: 32 and 16 GT/s a lane with 128b/130b coding, 16 lanes.
        Link("pcie5", 63e9, 5.7e-6),
        Link("pcie4", 31.5e9, 5.7e-6),
        # InfiniBand Trade Association's roadmap: NDR 400 Gb/s, HDR 200 Gb/s a port. One port for a worker: MLPerf's
        # descriptions of H100 systems count eight adapters of 400 Gb/s for eight GPUs.
        Link("ndr", gigabits(400), 9.6e-6, 8),
        Link("hdr", gigabits(200), 9.6e-6, 8),
        # IEEE 802.3 (clauses of 100, 25 and 10 Gb/s).
        Link("100gbe", gigabits(100), 9.6e-6),
        Link("25gbe", gigabits(25), 30e-6),
        Link("10gbe", gigabits(10), 30e-6),
        # Two replicas on two shared cores, measured (scaling_measure.measure_store; 0.3 to 0.6 GB/s, 12 to 19 ms).
        Link("object-store", 0.45e9, 15e-3),
    )
}  # fmt: skip


def _alone(name: str) -> Fabric:
    """One worker in every computer."""
    link = replace(LINKS[name], ports=1)
    return Fabric(name, link, link)


FABRICS = {
    fabric.name: fabric
    for fabric in (
        Fabric("nvlink4", LINKS["nvlink4"], LINKS["ndr"], 8),
        Fabric("pcie5", LINKS["pcie5"], LINKS["100gbe"], 8),
        Fabric("pcie4", LINKS["pcie4"], LINKS["100gbe"], 8),
        *(_alone(name) for name in ("ndr", "hdr", "100gbe", "25gbe", "10gbe")),
        Fabric("object-store", LINKS["object-store"], LINKS["object-store"], 4096, adders=True),
    )
}


def fabric_of(name: str, bandwidth: float | None, latency: float | None) -> Fabric:
    """A named one, its own link (that inside of a computer, where several workers share one) with other figures.

    bandwidth: bytes/s; latency: seconds; None as in the table.
    """
    fabric = FABRICS[name]
    changes = {key: value for key, value in (("bandwidth", bandwidth), ("latency", latency)) if value is not None}
    inside = replace(fabric.inside, **changes)
    return replace(fabric, inside=inside, between=fabric.between if fabric.per_computer > 1 else inside)


def ring_seconds(workers: int, size: float, bandwidth: float, latency: float) -> float:
    """A ring: 2 (n − 1) / n · bytes / bandwidth + 2 (n − 1) · latency (Patarasuk & Yuan 2009, section 3)."""
    return 2 * (workers - 1) * (size / workers / bandwidth + latency)


def tree_seconds(workers: int, size: float, bandwidth: float, latency: float) -> float:
    """Pipelined trees, up and down: 2 bytes / bandwidth + 2 ⌈log₂ n⌉ · latency (Sanders, Speck & Träff 2009)."""
    return 2 * size / bandwidth + 2 * math.ceil(math.log2(workers)) * latency if workers > 1 else 0.0


def flat_seconds(workers: int, size: float, bandwidth: float, latency: float) -> float:
    """The faster of ring and tree: trees for small messages or many workers."""
    return min(f(workers, size, bandwidth, latency) for f in (ring_seconds, tree_seconds))


def allreduce_seconds(workers: int, size: float, fabric: Fabric, reached: float = REACHED) -> float:
    """One all-reduce of ``size`` bytes, 0 for one worker alone.

    Over several computers: a reduce-scatter inside of each, an all-reduce between them over all their ports, an
    all-gather inside. With adders: members get what all have sent, and share the memory of one computer.
    """
    if workers <= 1:
        return 0.0
    inside, between = fabric.inside, fabric.between
    if fabric.adders:
        return inside.latency + workers / 2 * size / inside.bandwidth
    rate = reached * inside.bandwidth
    if workers <= fabric.per_computer:
        return START_SECONDS + flat_seconds(workers, size, rate, inside.latency)
    members = fabric.per_computer
    ring = ring_seconds(members, size, rate, inside.latency)
    outer = reached * between.bandwidth * between.ports
    return START_SECONDS + ring + flat_seconds(math.ceil(workers / members), size, outer, between.latency)
