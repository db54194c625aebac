#!/usr/bin/env python3
"""Runs the units of deploy/systemd, as they are, in a systemd of the test's own: server, runner's socket, and jobs with the fake trainer.

systemd is the first process of a namespace of processes, mounts and control groups; nothing of this host is changed. Skips (status 77) where that cannot be had: not root, no systemd, no
control groups of version 2. Takes the build directory.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = 77
SYSTEMD = "/lib/systemd/systemd"
SERVER = "unix:/run/tunesmith/socket"
CONNECT = "import socket; socket.socket(socket.AF_UNIX).connect('/run/tunesmith-runner/socket')"
MODEL = {
    **{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 2},
    **{"num_key_value_heads": 2, "max_position_embeddings": 512, "vocab_size": 320, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True},
}

# Before systemd starts: directories that may be written, and where packages put binaries and units.
PREPARE = r"""
set -euo pipefail
build=$1 deploy=$2
# What a host may not allow; what follows is the test's own.
{ mount --make-rprivate / && umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t tmpfs -o mode=755 tmpfs /run; } || exit 77
mkdir -p /run/copy/{etc,up,work}
mount -t overlay overlay -o lowerdir=/usr/bin,upperdir=/run/copy/up,workdir=/run/copy/work /usr/bin || exit 77
for directory in /var/log /var/lib/systemd /srv; do mount -t tmpfs -o mode=755 tmpfs "$directory"; done
mkdir -p /run/lock /run/systemd/system /srv/{models/m,data}
cp -a /etc/. /run/copy/etc
mount --bind /run/copy/etc /etc
install "$build"/bin/tunesmith "$build"/bin/tunesmithd "$build"/bin/tunesmith-shim "$build"/bin/tunesmith-profiler /usr/bin
install "$build"/tests/fake_trainer /usr/bin/tunesmith-trainer
[[ -d /var/lib/tunesmith ]] || { cp -a /var/lib /run/copy/lib; mount --bind /run/copy/lib /var/lib; mkdir /var/lib/tunesmith; }
mount -t tmpfs tmpfs /var/lib/tunesmith
systemd-sysusers "$deploy"/tunesmith.sysusers.conf
install -m 644 "$deploy"/*.service "$deploy"/*.socket /etc/systemd/system
install -d -m 750 -g tunesmith /etc/tunesmith
install -m 640 -g tunesmith "$deploy"/tunesmithd.yaml /etc/tunesmith
/usr/bin/tunesmithd --access-file /etc/tunesmith/access --add-token alice --role submitter >/run/alice.token
chgrp tunesmith /etc/tunesmith/access && chmod 640 /etc/tunesmith/access
install -d -o tunesmith -g tunesmith /var/lib/tunesmith /var/lib/tunesmith/results
echo '{"text":"a"}' >/srv/data/train.jsonl
echo "$4" >/srv/models/m/config.json
mkdir /etc/systemd/system/tunesmith-runner@.service.d
printf '[Service]\nEnvironment=FAKE_STEP_MILLISECONDS=20\n' >/etc/systemd/system/tunesmith-runner@.service.d/test.conf
printf '[Unit]\nDefaultDependencies=no\nWants=systemd-journald.service\n' >/etc/systemd/system/test.target
for unit in tunesmithd.service tunesmith-runner.socket; do
  # What the rest of a system's start would bring.
  mkdir "/etc/systemd/system/$unit.d" && printf '[Unit]\nDefaultDependencies=no\n' >"/etc/systemd/system/$unit.d/test.conf"
done
printf '[Unit]\nDefaultDependencies=no\n' >>/etc/systemd/system/tunesmith-runner@.service.d/test.conf
mount -t tmpfs -o mode=1777 tmpfs /tmp  # last: what was installed may have come from there
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin "$3" --system --unit=test.target --log-target=console --show-status=0
"""


class Skip(Exception):
    """Why the test cannot run here."""


class System:
    """The systemd, while the object lives."""

    def __init__(self, build, log):
        self.log = log
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--cgroup", "--uts", "--ipc"]
        command += ["bash", "-c", PREPARE, "prepare", str(build), str(ROOT / "deploy/systemd"), SYSTEMD, json.dumps(MODEL)]
        self.unshare = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # pylint: disable=consider-using-with
        try:
            self.pid = self.await_first_process()
            await_that("systemd answers", lambda: self.run("systemctl", "list-units", check=False)[0] == 0)
        except BaseException:
            self.stop()
            raise

    def await_first_process(self):
        """The process id of systemd, outside of its namespace."""
        for _ in range(300):
            time.sleep(0.1)
            status = self.unshare.poll()
            if status == SKIPPED or "unshare: " in self.said():
                raise Skip("this host allows no such namespace: " + self.said()[-300:])
            assert status is None, f"the preparation ended with {status}: {self.said()[-2000:]}"
            children = Path(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children").read_text().split()
            if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd":
                return int(children[0])
        raise AssertionError("systemd did not start in 30 s: " + self.said()[-2000:])

    def said(self):
        """What systemd and the preparation wrote."""
        self.log.flush()
        return Path(self.log.name).read_text(errors="replace")

    def run(self, *words, check=True):
        """A command inside; what it says, which without `check` comes after its status."""
        inside = ["nsenter", "-t", str(self.pid), "-a", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp"]
        done = subprocess.run(inside + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}")
        return done.stdout if check else (done.returncode, done.stdout)

    def stop(self):
        """Ends everything inside."""
        self.unshare.kill()
        self.unshare.wait()


def await_that(what, condition, seconds=30):
    """Waits until the condition gives something, and gives it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def tunesmith(system, *words):
    """What the command says, to a client of the server's socket."""
    return system.run("tunesmith", "--server", SERVER, *words)


def job(system, name):
    """A job, as the server has it."""
    return json.loads(tunesmith(system, "jobs", "get", name, "-o", "json"))


def launch(system, steps):
    """A job of so many steps, once its trainer runs; its name."""
    name = tunesmith(
        *[system, "launch", "--plan", "/tmp/plan.json", "--model", "/srv/models/m", "--dataset", "/srv/data/train.jsonl"],
        *["--output", "/var/lib/tunesmith/results/r", "--steps", str(steps), "--threads", "1", "-o", "name"],
    ).split()[-1]
    await_that("the job runs", lambda: job(system, name)["state"] in ("JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"))
    return name


def units(system):
    """The instances of the runner that are there."""
    return [line.split()[0] for line in system.run("systemctl", "list-units", "--no-legend", "--plain", "tunesmith-runner@*").splitlines()]


def ended(system, name):
    """A job once it has ended."""
    await_that(f"{name} ends", lambda: job(system, name).get("end_time"))
    return job(system, name)


def check_stop_and_start(system):
    """A job outlives the server's restart in its own unit, saves when that is stopped, goes on when it may, and is cancelled."""
    name = launch(system, 100000)
    before = units(system)
    assert len(before) == 1, before
    processes = system.run("systemd-cgls", "--no-pager", "--unit", before[0])
    assert "tunesmith-shim" in processes and "tunesmith-trainer" in processes, processes
    assert "tunesmith-trainer" not in system.run("systemd-cgls", "--no-pager", "--unit", "tunesmithd.service")
    system.run("systemctl", "restart", "tunesmithd.service")
    step = int(job(system, name)["progress"]["step"])
    await_that("the job goes on", lambda: int(job(system, name)["progress"]["step"]) > step)
    assert units(system) == before
    system.run("systemctl", "stop", "tunesmith-runner.socket", "tunesmith-runner@*")
    await_that("the job waits for a runner", lambda: "runner does not answer" in job(system, name)["reason"])
    assert not units(system), units(system)
    step = int(job(system, name)["progress"]["step"])
    system.run("systemctl", "start", "tunesmith-runner.socket")
    await_that("the job goes on", lambda: int(job(system, name)["progress"]["step"]) > step)
    assert job(system, name)["attempt"] == "2", job(system, name)
    tunesmith(system, "jobs", "cancel", name)
    last = ended(system, name)
    assert last["state"] == "JOB_STATE_CANCELLED", last
    await_that("the unit is gone", lambda: not units(system))


def check_confinement(system):
    """Nobody else gets to the runner's socket, and the server sees none of the devices that others see."""
    status, said = system.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", CONNECT, check=False)
    assert status != 0 and "PermissionError" in said, said
    pid = system.run("systemctl", "show", "--property=MainPID", "--value", "tunesmithd.service").strip()
    devices = {name: system.run("ls", f"{root}/dev").split() for name, root in (("all", ""), ("server", f"/proc/{pid}/root"))}
    assert "kmsg" in devices["all"] and "kmsg" not in devices["server"] and "null" in devices["server"], devices


def check(system):
    """A job in each of the ways that it can go."""
    system.run("systemctl", "start", "tunesmithd.service")
    await_that("both are there", lambda: system.run("systemctl", "is-active", "tunesmithd.service", "tunesmith-runner.socket", check=False)[0] == 0)
    tunesmith(system, "recommend", "--model", "/srv/models/m", "--context", "128", "--gpus", "cpu", "--method", "lora", "--plan-out", "/tmp/plan.json")
    last = ended(system, launch(system, 3))
    assert last["state"] == "JOB_STATE_SUCCEEDED", last
    check_stop_and_start(system)
    check_confinement(system)


def main():
    """See the module's text."""
    build = Path(sys.argv[1]).resolve()
    missing = [tool for tool in (SYSTEMD, "unshare", "nsenter", "setpriv", "systemctl") if not shutil.which(tool)]
    if os.getuid() != 0 or missing:
        print(f"systemd: skipped: {'not root' if not missing else 'no ' + ', '.join(missing)}")
        return SKIPPED
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        try:
            system = System(build, log)
        except Skip as why:
            print(f"systemd: skipped: {why}")
            return SKIPPED
        try:
            check(system)
        except AssertionError:
            print(system.run("tunesmith", "--server", SERVER, "jobs", "get", "job-2", "-o", "json", check=False)[1][-2500:])
            print(system.said()[-3000:])
            print(system.run("journalctl", "--no-pager", "-n", "80", "-u", "tunesmith*", check=False)[1])
            raise
        finally:
            system.stop()
    print("systemd: jobs run in units of their own")
    return 0


if __name__ == "__main__":
    sys.exit(main())
