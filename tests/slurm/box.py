"""A SLURM of four nodes on one machine: each in a network of its own, joined by a bridge."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

NODES = 4
NETWORK = "flora0"
"""Name of the network on every node, and of the bridge outside."""
HERE = "10.99.0.254"
INSTALL = "apt-get install -y --no-install-recommends slurm-wlm munge"
_PROGRAMS = ("slurmctld", "slurmd", "munged", "ip", "nsenter", "unshare", "setpriv")
_PATIENCE = 60
_CONF = """\
ClusterName=flora
SlurmctldHost={host}({here})
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def obstacle() -> str:
    """Return why there can be no SLURM here, or nothing."""
    if os.geteuid():
        return "a SLURM of its own takes root"
    missing = [name for name in _PROGRAMS if _path(name) is None]
    if missing and os.environ.get("SLURM_INSTALL") == "1" and shutil.which("apt-get"):
        subprocess.run(INSTALL.split(), check=True, stdout=subprocess.DEVNULL)
        missing = [name for name in _PROGRAMS if _path(name) is None]
    if missing:
        return f"no {', '.join(missing)} here: set SLURM_INSTALL=1, or run {INSTALL}"
    probe = f"flora-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode:
        return "this machine gives no network namespaces"
    _run("ip", "netns", "delete", probe)
    return ""


@contextlib.contextmanager
def cluster() -> Generator[dict[str, str]]:
    """Yield the environment in which sbatch and its like speak to a fresh SLURM; then end it."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="flora-slurm-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # munged is no root
        _network(stack)
        _munge(stack, folder)
        conf, hosts = _settings(folder)
        environment = {"SLURM_CONF": str(conf)}
        _daemon(stack, _path("slurmctld"), "-D", "-c", "-f", conf)
        for number in range(1, NODES + 1):
            # Only the network is another, and the names in it: `ip netns exec` would hide /sys.
            start = f"{_path('slurmd')} -D -N n{number} -f {conf}"
            script = f"mount --bind {hosts} /etc/hosts && exec {start}"
            inside = ("nsenter", f"--net=/run/netns/flora-n{number}", "unshare", "--mount")
            _daemon(stack, *inside, "sh", "-c", script)
        _wait_for_nodes(environment, folder)
        try:
            yield environment
        finally:
            _end_jobs(environment)


def _network(stack: contextlib.ExitStack) -> None:
    _run("ip", "link", "add", NETWORK, "type", "bridge")
    stack.callback(_run, "ip", "link", "delete", NETWORK)
    _run("ip", "address", "add", f"{HERE}/24", "dev", NETWORK)
    _run("ip", "link", "set", NETWORK, "up")
    for number in range(1, NODES + 1):
        space, plug = f"flora-n{number}", f"flora-p{number}"
        _run("ip", "netns", "add", space)
        stack.callback(_run, "ip", "netns", "delete", space)
        _run("ip", "link", "add", plug, "type", "veth", "peer", "name", NETWORK, "netns", space)
        stack.callback(_run, "ip", "link", "delete", plug)
        _run("ip", "link", "set", plug, "master", NETWORK, "up")
        _run("ip", "-n", space, "address", "add", f"10.99.0.{number}/24", "dev", NETWORK)
        for device in ("lo", NETWORK):
            _run("ip", "-n", space, "link", "set", device, "up")
        _run("ip", "-n", space, "route", "add", "default", "via", HERE)


def _munge(stack: contextlib.ExitStack, folder: Path) -> None:
    home = folder / "munge"
    home.mkdir(mode=0o755)
    key = home / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for path in (home, key):
        shutil.chown(path, "munge", "munge")
    as_munge = ("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups")
    files = [f"--{name}={home / name}" for name in ("socket", "pid-file", "log-file", "seed-file")]
    _daemon(stack, *as_munge, _path("munged"), "--foreground", f"--key-file={key}", *files)


def _settings(folder: Path) -> tuple[Path, Path]:
    """Write slurm.conf and the nodes' /etc/hosts."""
    host = socket.gethostname()
    (folder / "state").mkdir()
    nodes = [
        f"NodeName=n{number} NodeHostname={host} NodeAddr=10.99.0.{number} Port={17000 + number} "
        "CPUs=2 RealMemory=16000"
        for number in range(1, NODES + 1)
    ]
    conf, hosts = folder / "slurm.conf", folder / "hosts"
    conf.write_text(_CONF.format(host=host, here=HERE, folder=folder, nodes="\n".join(nodes)))
    names = [f"10.99.0.{number} n{number}" for number in range(1, NODES + 1)]
    hosts.write_text("\n".join(["127.0.0.1 localhost", f"{HERE} {host}", *names, ""]))
    return conf, hosts


def _wait_for_nodes(environment: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    states: list[str] = []
    while states != ["idle"] * NODES:
        if time.monotonic() > deadline:
            logs = [f"{path}:\n{path.read_text()[-1500:]}" for path in sorted(folder.glob("*.log"))]
            raise TimeoutError("\n".join([f"the nodes are {states}", *logs]))
        time.sleep(0.5)
        done = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%T"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        states = done.stdout.split()


def _end_jobs(environment: dict[str, str]) -> None:
    """Cancel what is left, and give it a moment to go."""
    env, deadline = {**os.environ, **environment}, time.monotonic() + 15
    subprocess.run(["scancel", "--user=root"], env=env, capture_output=True)
    while time.monotonic() < deadline:
        if not subprocess.run(["squeue", "--noheader"], env=env, capture_output=True).stdout:
            return
        time.sleep(0.5)


def _daemon(stack: contextlib.ExitStack, *command: object) -> None:
    """Start *command*, to be ended with all that it started."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def end() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)


def _path(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
