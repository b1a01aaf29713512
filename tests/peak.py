"""The most memory that a process of its own has taken so far."""

PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
"""
"""Of Linux. What `resource.getrusage` says is never less than what the process that started this one had taken."""
