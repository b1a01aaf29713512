"""How a batch is cut into shards, which threads share."""

from __future__ import annotations

from typing import Final

MOST_SHARDS: Final = 16


def shard_size(batch_size: int) -> int:
    """Return the images of a shard, from the batch size alone, so that the bits do not depend on the threads.

    At most 16 shards. Of the sizes that give 8 to 16 it takes the one that leaves two threads idle the least, then four
    and eight: 50 images are 10 shards of 5, and not 8 of 7, which two threads would share 28 to 22.

    Among the sizes that make the same number of shards, what the busier of two threads takes only rises with the size
    (it has one full shard more) or only falls (it has the last one, which is what the others leave). So the best is the
    smallest or the largest of them, and no batch is too large to be looked at.
    """
    fewest, most = -(-batch_size // MOST_SHARDS), -(-batch_size // 8)
    smallest = [-(-batch_size // shards) for shards in range(1, MOST_SHARDS + 1)]
    ends = {size for least in smallest for size in (least - 1, least) if fewest <= size <= most}
    return min(sorted(ends), key=lambda size: (_longest(batch_size, size, 2), _idle(batch_size, size)))


def _idle(batch_size: int, size: int) -> int:
    """Return the image places that four and eight threads leave unused."""
    return sum(_longest(batch_size, size, threads) * threads for threads in (4, 8))


def _longest(batch_size: int, size: int, threads: int) -> int:
    """Return the images that the busiest of some threads takes, each drawing the next shard when it is done."""
    loads = [0] * threads
    for first in range(0, batch_size, size):
        loads[loads.index(min(loads))] += min(size, batch_size - first)
    return max(loads)
