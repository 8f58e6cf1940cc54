"""What processes take of the memory."""

import psutil


def together(pid: int) -> int:
    """Return the bytes that process *pid* and its descendants take, shared ones once (PSS)."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.NoSuchProcess:
        pass  # one ended while we counted; the next look sees the rest
    return total
