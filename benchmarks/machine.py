"""What every benchmark prints about the machine it ran on."""
import os
import platform
from importlib import metadata
from pathlib import Path


def machine_line(packages: tuple[str, ...] = ("mindspore", "torch", "onnxruntime", "numpy")) -> str:
    """Processor, cores, load and versions in one line; packages that are not installed are left out."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    found = []
    for name in packages:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return (f"{model}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}; {', '.join(found)}, "
            f"Python {platform.python_version()}")
