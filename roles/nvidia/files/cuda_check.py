# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Call CUDA as an engine would: start it, ask for its version and count the GPUs. Prints JSON, or one sentence on stderr."""

import ctypes
import json
import sys

# Where the loader does not know it: WSL2 keeps Windows' library there.
LIBRARIES = ("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1")
# Results that have a cause which a person can mend (cuda.h, CUresult).
CAUSES = {
    3: "the driver is not loaded: run 'modprobe nvidia nvidia_uvm' or start the host anew",
    100: "no GPU is seen: see 'nvidia-smi' and, in a container, whether it was given one",
    802: "the system is not ready: on NVSwitch the fabric manager must run, in the driver's own version",
    803: "the library and the loaded kernel module have different versions: start the host anew",
    804: "forward compatibility is asked of a GPU that has none: remove cuda-compat",
    999: "the reason is unknown to the driver: look into 'dmesg', and whether /dev/nvidia-uvm is there",
}


def library():
    """Return libcuda, or end with the reason."""
    reason = ""
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError as exc:
            reason = reason or str(exc)
    sys.exit(f"libcuda cannot be loaded ({reason}): the driver's library is not installed, or the loader was not told of it.")


def call(cuda, name, *arguments):
    """Call one function of libcuda; end with a sentence if it fails."""
    result = getattr(cuda, name)(*arguments)
    if result != 0:
        cause = CAUSES.get(result, "see cuda.h, CUresult")
        sys.exit(f"{name} failed with CUDA error {result}: {cause}.")


def main():
    """Start CUDA and print what it says."""
    cuda = library()
    version, count = ctypes.c_int(), ctypes.c_int()
    call(cuda, "cuInit", 0)
    call(cuda, "cuDriverGetVersion", ctypes.byref(version))
    call(cuda, "cuDeviceGetCount", ctypes.byref(count))
    if count.value < 1:
        sys.exit("CUDA starts, but it has no device: see 'nvidia-smi', and CUDA_VISIBLE_DEVICES.")
    sys.stdout.write(json.dumps({"cuda": f"{version.value // 1000}.{version.value % 1000 // 10}", "devices": count.value}))


main()
