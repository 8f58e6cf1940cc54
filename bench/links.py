"""Machines that are none: network namespaces on one bridge, their links capped both ways.

A process in a namespace has one interface to the others, `eth0`, whose rate `tc tbf` holds down;
what it sent is on the interface's own counter. Takes root, `ip` and `tc` (iproute2).
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INTERFACE = "eth0"
_NETWORK = "10.213.77"
_BURST_SECONDS = 0.001
"""What may pass at once after a rest, in seconds of the link's rate."""
_PATIENCE = 600.0


def lacking() -> str | None:
    """Say what is lacking for such links, if anything is."""
    if os.geteuid():
        return "network namespaces take root"
    missing = [name for name in ("ip", "tc") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not found (install iproute2)"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "the kernel gives no network namespace" if probe.returncode else None


def sent() -> int:
    """Return the bytes that this process's namespace has sent since it was made."""
    return int(Path(f"/sys/class/net/{INTERFACE}/statistics/tx_bytes").read_text())


class Links(contextlib.AbstractContextManager["Links"]):
    """*count* namespaces whose links carry *mbit* a second each way (None: all they can)."""

    def __init__(self, count: int, mbit: float | None = None) -> None:
        self.mbit = mbit
        self.names = [f"wf{os.getpid()}-{rank}" for rank in range(count)]
        self.bridge = f"wfb{os.getpid()}"
        try:
            _do(f"ip link add {self.bridge} type bridge")
            _do(f"ip link set {self.bridge} up")
            for number, name in enumerate(self.names):
                self._connect(number, name)
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove all that was made."""
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
            subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True, check=False)

    def run(self, command: Sequence[str], **environment: str) -> list[Any]:
        """Run *command* in each namespace; return what the last line of each says, as JSON.

        The environment is torchrun's, so `dist.init_process_group("gloo")` joins them.
        """
        shared = {
            **os.environ,
            "MASTER_ADDR": f"{_NETWORK}.1",
            "MASTER_PORT": str(_free_port()),
            "WORLD_SIZE": str(len(self.names)),
            "GLOO_SOCKET_IFNAME": INTERFACE,
            "OMP_NUM_THREADS": "1",
            "TORCH_CPP_LOG_LEVEL": "ERROR",  # it looks up names of addresses that have none
            **environment,
        }
        with contextlib.ExitStack() as stack:
            outputs = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in self.names]
            started = []
            for rank, name in enumerate(self.names):
                process = subprocess.Popen(
                    ["ip", "netns", "exec", name, *command],
                    env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdout=outputs[rank],
                )
                stack.callback(process.wait)
                stack.callback(process.kill)
                started.append(process)
            codes = [process.wait(_PATIENCE) for process in started]
            if any(codes):
                sys.exit(f"{' '.join(command)}: ended with {codes}")
            for output in outputs:
                output.seek(0)
            return [json.loads(output.read().splitlines()[-1]) for output in outputs]

    def _connect(self, number: int, name: str) -> None:
        _do(f"ip netns add {name}")
        _do(f"ip link add {name} type veth peer name {INTERFACE} netns {name}")
        _do(f"ip link set {name} master {self.bridge} up")
        _do(f"ip -n {name} addr add {_NETWORK}.{number + 1}/24 dev {INTERFACE}")
        _do(f"ip -n {name} link set lo up")
        _do(f"ip -n {name} link set {INTERFACE} up")
        if self.mbit is not None:
            burst = max(64 << 10, int(self.mbit * 1e6 / 8 * _BURST_SECONDS))
            bucket = f"root tbf rate {self.mbit}mbit burst {burst} limit {8 * burst + (1 << 20)}"
            _do(f"tc -n {name} qdisc add dev {INTERFACE} {bucket}")
            _do(f"tc qdisc add dev {name} {bucket}")


def _do(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr.strip()}")


def _free_port() -> int:
    """Return a port that is free here; in a fresh namespace nearly all are."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
