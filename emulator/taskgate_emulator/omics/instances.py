"""The instance types of HealthOmics tasks.

https://docs.aws.amazon.com/omics/latest/dev/memory-and-compute-tasks.html
"""

from __future__ import annotations

__all__ = ["instance_type"]

_SIZES = {
    "large": 2,
    "xlarge": 4,
    "2xlarge": 8,
    "4xlarge": 16,
    "8xlarge": 32,
    "12xlarge": 48,
    "16xlarge": 64,
    "24xlarge": 96,
    "48xlarge": 192,
}
"""Size to vCPUs."""
_FAMILIES = {"c": 2, "m": 4, "r": 8}
"""Family to GiB per vCPU."""
_GPU_FAMILY = "g5"
_GPU_MEMORY = 4
_GPU_SIZES = {"xlarge": 1, "12xlarge": 4, "48xlarge": 8}
"""The smallest size with a number of GPUs; sizes up to the next have one."""


def instance_type(cpus: int, memory: int, gpus: int) -> str | None:
    """Return the smallest instance type for a task, or None if none is large enough.

    Args:
        cpus: vCPUs.
        memory: GiB.
        gpus: number of GPUs.
    """
    for size, has in _SIZES.items():
        if has < cpus:
            continue
        if gpus:
            if _gpus_of(size) >= gpus and has * _GPU_MEMORY >= memory:
                return f"omics.{_GPU_FAMILY}.{size}"
            continue
        for family, each in _FAMILIES.items():
            if has * each >= memory:
                return f"omics.{family}.{size}"
    return None


def _gpus_of(size: str) -> int:
    if size == "16xlarge":
        return 1  # https://aws.amazon.com/ec2/instance-types/g5/: more CPUs than 12xlarge, one GPU
    has = [count for known, count in _GPU_SIZES.items() if _SIZES[known] <= _SIZES[size]]
    return max(has, default=0)
