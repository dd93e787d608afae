"""One node that has all of Kubernetes v1.20, in the namespaces that `apart` makes.

etcd, containerd, runc, CNI plugins and dnsmasq are Debian's; the rest is what build-kubernetes has
compiled. Pods have addresses in 10.233.0.0/24, Services in 10.234.0.0/24.
"""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.deploy.cluster.images import PAUSE

NODE = "10.232.0.1"
"""What `apart` gives the node."""
PODS, SERVICES, API_SERVICE = "10.233.0.0/24", "10.234.0.0/24", "10.234.0.1"
API = f"https://{NODE}:6443"
TOKENS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:node:node": "system:nodes",
    "system:kube-proxy": "",
}
"""Who may call the API, and the group that they are in. The token is the name."""
SECONDS = 90.0


T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = SECONDS) -> T:
    """Waits for something that is true, and gives it."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, condition
        time.sleep(0.1)
    return found


class Node:
    """Its processes, and their files.

    Args:
        programs: Kubernetes's own.
        folder: for all else. Containers are kept there: no tmpfs.
        stack: what ends the processes.
    """

    def __init__(self, programs: Path, folder: Path, stack: ExitStack) -> None:
        self._programs, self.folder, self._stack = programs, folder, stack
        self.kubeconfig = folder / "admin.conf"
        self._socket = folder / "containerd.sock"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, images: Path) -> None:
        """Starts everything, and waits until the node is ready."""
        self._write_files()
        self._start_containerd()
        self._start_api()
        self._run(
            "kube-controller-manager",
            *("--kubeconfig", self._conf("system:kube-controller-manager"), *OF_MASTERS),
            f"--service-account-private-key-file={self.folder}/accounts.key",
            "--use-service-account-credentials",
        )
        self._run(
            "kube-scheduler", "--kubeconfig", self._conf("system:kube-scheduler"), *OF_MASTERS
        )
        wait_until(self._containerd_answers)
        for archive in sorted(images.glob("*.tar")):
            self.ctr("images", "import", str(archive))
        self._run(
            "kubelet",
            *(
                "--config",
                self._write("kubelet.yaml", KUBELET),
                "--kubeconfig",
                self._conf("system:node:node"),
            ),
            *("--hostname-override=node", f"--node-ip={NODE}", "--root-dir=/var/lib/kubelet"),
            *("--container-runtime=remote", f"--container-runtime-endpoint=unix://{self._socket}"),
            f"--cert-dir={self.folder}/kubelet-pki",
        )
        self._run(
            "kube-proxy",
            "--config",
            self._write(
                "proxy.yaml",
                PROXY | {"clientConnection": {"kubeconfig": self._conf("system:kube-proxy")}},
            ),
        )
        self._start_names()
        wait_until(self._is_ready)

    def ctr(self, *arguments: str, may_fail: bool = False) -> str:
        """Asks containerd directly."""
        command = ["ctr", "--address", str(self._socket), "--namespace", "k8s.io", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert may_fail or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def remove_containers(self) -> None:
        """Kills all that runs, with whatever kubelet would start again."""
        kubelet = self._processes["kubelet"]
        kubelet.kill()
        kubelet.wait()
        for line in self.ctr("tasks", "list", "--quiet").splitlines():
            # A pod's shim ends with its last container, so the command may fail.
            self.ctr("tasks", "delete", "--force", line, may_fail=True)

    def pid(self, container: str) -> int:
        """Of a container's first process."""
        ident = container.rpartition("/")[2]
        (line,) = (
            each for each in self.ctr("tasks", "list").splitlines() if each.startswith(ident)
        )
        return int(line.split()[1])

    @contextmanager
    def events(self, log: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
        """Yield a function that returns containerd's events about processes that have ended."""
        command = ["ctr", "--address", str(self._socket), "events"]
        with log.open("wb") as output, subprocess.Popen(command, stdout=output) as process:

            def ended() -> list[dict[str, Any]]:
                lines = [each.split(maxsplit=6) for each in log.read_text().splitlines()]
                events = [json.loads(line[-1]) for line in lines if "/tasks/exit" in line]
                # Other events are of further commands in a container, such as probes.
                return [each for each in events if each["id"] == each["container_id"]]

            try:
                yield ended
            finally:
                process.kill()

    def get(self, path: str) -> dict[str, Any]:
        """Return a resource of the API server."""
        request = urllib.request.Request(f"{API}{path}", headers={"Authorization": "Bearer admin"})  # noqa: S310
        context = ssl.create_default_context(cafile=self.folder / "api/apiserver.crt")
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
            resource: dict[str, Any] = json.load(answer)
            return resource

    def log(self, program: str) -> str:
        """The end of what a program has written."""
        return (self.folder / f"{program}.log").read_text(errors="replace")[-6000:]

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        own = self._programs / program
        log = self._stack.enter_context((self.folder / f"{program}.log").open("wb"))
        process = subprocess.Popen(
            [str(own) if own.exists() else program, *arguments],
            stdout=log,
            stderr=log,
            cwd=self.folder,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        self._processes[program] = process
        return process

    def _write(self, name: str, content: object) -> str:
        file = self.folder / name
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return str(file)

    def _conf(self, user: str) -> str:
        """A kubeconfig; its certificate is one that the API server makes for itself."""
        return self._write(
            f"{user.rpartition(':')[2]}.conf",
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "here",
                        "cluster": {
                            "server": API,
                            "certificate-authority": f"{self.folder}/api/apiserver.crt",
                        },
                    }
                ],
                "users": [{"name": "me", "user": {"token": user}}],
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                "current-context": "here",
            },
        )

    def _write_files(self) -> None:
        self._conf("admin")
        self._write(
            "tokens.csv",
            "".join(f'{user},{user},{user},"{group}"\n' for user, group in TOKENS.items()),
        )
        for name in ("cni", "state", "root", "opt"):
            (self.folder / name).mkdir()
        self._write("cni/10-bridge.conflist", json.dumps(CNI))
        self._write("containerd.toml", CONTAINERD.format(folder=self.folder, pause=PAUSE))
        subprocess.run(
            ["openssl", "genrsa", "-out", self.folder / "accounts.key", "2048"],
            check=True,
            capture_output=True,
        )

    def _start_containerd(self) -> None:
        self._run("containerd", "--config", f"{self.folder}/containerd.toml")

    def _containerd_answers(self) -> bool:
        command = ["ctr", "--address", str(self._socket), "version"]
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0

    def _start_api(self) -> None:
        self._run("etcd", "--data-dir", "/var/lib/etcd", "--unsafe-no-fsync", "--log-level=error")
        self._run(
            "kube-apiserver",
            *(
                "--etcd-servers=http://127.0.0.1:2379",
                "--bind-address=0.0.0.0",
                "--secure-port=6443",
            ),
            *("--insecure-port=0", f"--advertise-address={NODE}", f"--cert-dir={self.folder}/api"),
            *(f"--token-auth-file={self.folder}/tokens.csv", "--authorization-mode=Node,RBAC"),
            f"--service-account-key-file={self.folder}/accounts.key",
            f"--service-account-signing-key-file={self.folder}/accounts.key",
            *(
                "--service-account-issuer=https://here.example",
                f"--service-cluster-ip-range={SERVICES}",
            ),
            "--kubelet-preferred-address-types=InternalIP",
        )

        def answers() -> bool:
            try:
                return bool(self.get("/api/v1/namespaces/default"))
            except OSError:
                return False

        wait_until(answers)

    def _is_ready(self) -> bool:
        for node in self.get("/api/v1/nodes")["items"]:
            for condition in node["status"].get("conditions", ()):
                if condition["type"] == "Ready":
                    return bool(condition["status"] == "True")
        return False

    def _start_names(self) -> None:
        """DNS of Services, by dnsmasq, which reloads changes: no Debian package has CoreDNS."""
        hosts = self.folder / "hosts"
        hosts.touch()
        dns = self._run(
            "dnsmasq",
            *(
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--pid-file=",
                "--user=root",
                "--group=root",
            ),
            *("--no-resolv", "--no-hosts", f"--addn-hosts={hosts}", "--bind-interfaces"),
            *(f"--listen-address={NODE}", "--local=/#/", "--local-ttl=1", "--log-facility=-"),
        )
        stop = threading.Event()

        def follow() -> None:
            while not stop.wait(0.3):
                try:
                    names = "".join(self._names())
                except OSError:
                    continue
                if names != hosts.read_text():
                    hosts.write_text(names)
                    dns.send_signal(signal.SIGHUP)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(stop.set)

    def _names(self) -> Iterator[str]:
        """Lines as of /etc/hosts: a Service's own address, or those of its pods that are ready."""
        services = self.get("/api/v1/services")["items"]
        ready: dict[tuple[str, str], list[str]] = {}
        for each in self.get("/api/v1/endpoints")["items"]:
            meta = each["metadata"]
            ready[meta["namespace"], meta["name"]] = [
                address["ip"]
                for subset in each.get("subsets", ())
                for address in subset.get("addresses", ())
            ]
        for service in services:
            meta, own = service["metadata"], service["spec"]["clusterIP"]
            of_pods = ready.get((meta["namespace"], meta["name"]), [])
            for address in of_pods if own == "None" else [own]:
                yield f"{address} {meta['name']}.{meta['namespace']}.svc.cluster.local\n"


OF_MASTERS = ("--leader-elect=false", "--bind-address=127.0.0.1", "--port=0")
KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "address": NODE,
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "cgroupDriver": "cgroupfs",
    "failSwapOn": False,
    "enforceNodeAllocatable": [],
    "protectKernelDefaults": True,
    "resolvConf": "",
    "clusterDNS": [NODE],
    "clusterDomain": "cluster.local",
    # It looks at the disk of the whole machine.
    "evictionHard": {"memory.available": "50Mi"},
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
}
PROXY = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "bindAddress": NODE,
    "hostnameOverride": "node",
    "mode": "iptables",
    "clusterCIDR": PODS,
    # 0: leave them as they are. They are the whole machine's.
    "conntrack": {
        "maxPerCore": 0,
        "min": 0,
        "tcpEstablishedTimeout": "0s",
        "tcpCloseWaitTimeout": "0s",
    },
}
CNI = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "subnet": PODS, "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
CONTAINERD = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Root of a container may not lower it.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{folder}/cni"
"""


@contextmanager
def running(programs: Path, folder: Path, images: Path) -> Iterator[Node]:
    """A node that is ready."""
    with ExitStack() as stack:
        node = Node(programs, folder, stack)
        node.start(images)
        yield node
