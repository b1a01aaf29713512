"""Splitting a batch into shards, the units of work that threads share."""

from __future__ import annotations

from typing import Final

MAX_SHARDS: Final = 16


def shard_size(batch_size: int, max_shards: int = MAX_SHARDS) -> int:
    """Return the images per shard: not from the number of threads, so that results do not depend on it.

    There are at most 16 shards, or fewer. Of the sizes that give 8 to 16 (or half as many to as many), it chooses the
    one with the least idle time on two threads, then on four and eight: 50 images are 10 shards of 5, not 8 of 7, which
    two threads would split 28 to 22.

    Among sizes that give the same number of shards, the load of the busier of two threads is monotonic in the size: it
    rises if that thread has one more full shard, and falls if it has the last, partial one. So the best is the smallest
    or the largest of them, and the search stays small for any batch.
    """
    fewest, most = -(-batch_size // max_shards), -(-batch_size // (max_shards // 2))
    smallest = [-(-batch_size // shards) for shards in range(1, max_shards + 1)]
    ends = {size for least in smallest for size in (least - 1, least) if fewest <= size <= most}
    return min(sorted(ends), key=lambda size: (_longest(batch_size, size, 2), _idle(batch_size, size)))


def wide_shard_size(batch_size: int) -> int:
    """Return the images per shard of a network that goes through much more memory for each shard than for an image: at
    least 8, if that leaves 8 shards."""
    return shard_size(batch_size, min(max(batch_size // 8, MAX_SHARDS // 2), MAX_SHARDS))


def _idle(batch_size: int, size: int) -> int:
    """Return the image slots that four and eight threads leave idle."""
    return sum(_longest(batch_size, size, threads) * threads for threads in (4, 8))


def _longest(batch_size: int, size: int, threads: int) -> int:
    """Return the images of the busiest of several threads, each drawing the next shard when it is done."""
    loads = [0] * threads
    for first in range(0, batch_size, size):
        loads[loads.index(min(loads))] += min(size, batch_size - first)
    return max(loads)
