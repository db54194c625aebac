"""A Kubernetes API server for tests, with the controllers that a Job meets: pods are processes of this host.

  api_server.py --directory DIR --rbac FILE

Serves HTTPS on a free loopback port; DIR/ca.crt and DIR/server.key are its certificate. Prints "listens on port N" when it does. It knows Jobs, JobSets, TrainJobs, Services, pods
and Kueue's Workloads: create (with ?dryRun=All), get, list by label, delete. Bearer tokens are the lines of DIR/tokens; what a token may do stands in the Roles of FILE. Manifests are
held to schema.py.

Of the rest of Kubernetes it does what a Job can meet: suspension, pods that cannot be scheduled, pods that are evicted, deleted, killed for their memory or
lost with their node (all, or those of one index), replacement by podFailurePolicy, pods' names within the domain of a Service, deadlines, finalizers of a foreground deletion, and the grace of a termination. Tests bring these about by POST
/control with a JSON object; "do" is the name of a method of Control.
"""

import argparse
import copy
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import schema

TICK_SECONDS = 0.05
KINDS = {
    ("batch/v1", "jobs"): "Job",
    ("v1", "pods"): "Pod",
    ("v1", "services"): "Service",
    ("jobset.x-k8s.io/v1alpha2", "jobsets"): "JobSet",
    ("trainer.kubeflow.org/v1alpha1", "trainjobs"): "TrainJob",
    ("kueue.x-k8s.io/v1beta1", "workloads"): "Workload",
}
JOBSET_NAME = "jobset.sigs.k8s.io/jobset-name"
INDEX = "batch.kubernetes.io/job-completion-index"
# Pods that speak with each other have process ids of their own, as containers do: what one sees of another it sees by the network.
CONTAINED = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
# What an administrator's ClusterTrainingRuntime says of pods.
RUNTIME_POD = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 35}
RUNTIME_POLICY = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [75]}},
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [75]}},
    ]
}


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def condition(kind, status, reason, message=""):
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now()}


def set_condition(status, new):
    rest = [old for old in status.setdefault("conditions", []) if old["type"] != new["type"]]
    status["conditions"] = rest + [new]


def has(status, kind):
    return any(c["type"] == kind and c["status"] == "True" for c in status.get("conditions", []))


def address_of(hostname):
    """Every pod has an address of its own, here one of loopback's, which stays with its name."""
    number = zlib.crc32(hostname.encode())
    return f"127.{64 + number % 128}.{number // 128 % 250}.{1 + number // 32000 % 250}"


def index_of(pod):
    return pod["metadata"]["labels"][INDEX]


def expand(word, environment):
    """Kubernetes' own expansion of $(NAME) in commands; $$ is a dollar."""

    def replace(match):
        if match[0] == "$$":
            return "$"
        return environment.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replace, word)


class Cluster:
    """All objects, by (plural, namespace, name), and the processes of pods."""

    def __init__(self):
        self.lock = threading.RLock()
        self.objects = {}
        self.processes = {}  # by the pod's uid
        self.kill_at = {}  # by the pod's uid
        self.version = 100
        self.schedulable = True
        self.unschedulable_indices = []  # of pods
        self.environment_of_index = {}  # beside pod_environment
        self.image_problem = ""
        self.pod_environment = {}  # beside what containers name
        self.failures = []  # (code, reason, message) of the next requests
        self.hang_seconds = 0
        self.out_of_memory = set()  # uids of pods

    def add(self, plural, item):
        self.version += 1
        item["metadata"].update(uid=str(uuid.uuid4()), resourceVersion=str(self.version), creationTimestamp=now(), generation=1)
        item.setdefault("status", {})
        self.objects[(plural, item["metadata"]["namespace"], item["metadata"]["name"])] = item
        return item

    def pods_of(self, job):
        return [
            pod
            for (plural, _, _), pod in self.objects.items()
            if plural == "pods" and pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
        ]

    def jobs(self):
        return [item for (plural, _, _), item in list(self.objects.items()) if plural == "jobs"]

    def pods(self):
        return [item for (plural, _, _), item in list(self.objects.items()) if plural == "pods"]

    def remove(self, plural, item):
        self.objects.pop((plural, item["metadata"]["namespace"], item["metadata"]["name"]), None)

    # Pods, as scheduler and kubelet have them.

    def make_pod(self, job, index):
        metadata = job["metadata"]
        template = copy.deepcopy(job["spec"]["template"])
        name = f"{metadata['name']}-{index}-{uuid.uuid4().hex[:5]}"
        labels = dict(template.get("metadata", {}).get("labels", {}))
        labels.update({"batch.kubernetes.io/job-name": metadata["name"], INDEX: str(index)})
        if JOBSET_NAME in metadata.get("labels", {}):
            labels[JOBSET_NAME] = metadata["labels"][JOBSET_NAME]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": metadata["namespace"], "labels": labels, "ownerReferences": [owner]},
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        }
        pod["spec"]["hostname"] = f"{metadata['name']}-{index}"
        pod["spec"]["containers"][0].setdefault("env", []).append({"name": "JOB_COMPLETION_INDEX", "value": str(index)})
        return self.add("pods", pod)

    def resolve(self, word, namespace):
        """Names of pods in a word, as DNS has them: a Service must be there that selects pods."""

        def replace(match):
            service = self.objects.get(("services", namespace, match[2]))
            wanted = service["spec"]["selector"] if service else {}
            is_there = any(pod["spec"]["hostname"] == match[1] and wanted.items() <= pod["metadata"]["labels"].items() for pod in self.pods())
            return address_of(match[1]) + match[3] if service and is_there else match[0]

        return re.sub(r"^([a-z0-9-]+)\.([a-z0-9-]+)(:[0-9]+)$", replace, word)

    def place(self, pod):
        if not self.schedulable or index_of(pod) in self.unschedulable_indices:
            message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
            set_condition(pod["status"], condition("PodScheduled", "False", "Unschedulable", message))
            return
        set_condition(pod["status"], condition("PodScheduled", "True", ""))
        pod["spec"]["nodeName"] = "node-1"
        container = pod["spec"]["containers"][0]
        if self.image_problem:
            waiting = {"reason": "ImagePullBackOff", "message": self.image_problem}
            pod["status"]["containerStatuses"] = [{"name": container["name"], "state": {"waiting": waiting}}]
            return
        environment = {entry["name"]: entry.get("value", "") for entry in container["env"]}
        environment.update(self.environment_of_index.get(index_of(pod), {}))
        command = [self.resolve(expand(word, environment), pod["metadata"]["namespace"]) for word in container["command"]]
        # A process asks again for a name that is not there; here a pod starts a little later.
        pod["_waits"] = pod.get("_waits", 0) + 1
        if "--master" in command and not command[command.index("--master") + 1].startswith("127.") and pod["_waits"] < 200:
            return
        # Before the process runs, as a kubelet may be slow to tell of it.
        pod["status"]["phase"] = "Running"
        pod["status"]["containerStatuses"] = [{"name": container["name"], "state": {"running": {"startedAt": now()}}}]
        if "--master" in command:
            command = [*CONTAINED, *command]
        log = open(os.path.join(self.directory, pod["metadata"]["name"] + ".log"), "ab")
        try:
            self.processes[pod["metadata"]["uid"]] = subprocess.Popen(
                command, env={**os.environ, **self.pod_environment, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        except OSError as error:
            pod["status"]["phase"] = "Failed"
            terminated = {"exitCode": 128, "reason": "StartError", "message": str(error), "finishedAt": now()}
            pod["status"]["containerStatuses"][0]["state"] = {"terminated": terminated}

    def tend(self, pod):
        """Starts what waits, notes what has ended, and kills what outlives its grace."""
        uid = pod["metadata"]["uid"]
        process = self.processes.get(uid)
        if pod["status"]["phase"] == "Pending":
            if "deletionTimestamp" in pod["metadata"]:
                self.remove("pods", pod)
            else:
                self.place(pod)
            return
        if process is None or pod["status"]["phase"] not in ("Running",):
            if "deletionTimestamp" in pod["metadata"]:
                self.remove("pods", pod)
            return
        code = process.poll()
        if code is None:
            if time.monotonic() > self.kill_at.get(uid, float("inf")):
                self.signal(pod, signal.SIGKILL)
            return
        reason = "OOMKilled" if uid in self.out_of_memory else "Completed" if code == 0 else "Error"
        terminated = {"exitCode": code if code >= 0 else 128 - code, "reason": reason, "finishedAt": now()}
        pod["status"]["containerStatuses"][0]["state"] = {"terminated": terminated}
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"

    def signal(self, pod, number):
        """To the pod's process."""
        process = self.processes[pod["metadata"]["uid"]]
        pids = [str(process.pid)]
        if "--pid" in process.args:
            command = ["ps", "-o", "pid=", "--ppid", pids[0]]
            pids = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True).stdout.split()
        for pid in pids:
            os.kill(int(pid), number)

    def terminate(self, pod):
        """SIGTERM, and SIGKILL when the grace is over."""
        process = self.processes.get(pod["metadata"]["uid"])
        if process is not None and process.poll() is None:
            self.signal(pod, signal.SIGTERM)
            self.kill_at[pod["metadata"]["uid"]] = time.monotonic() + pod["spec"]["terminationGracePeriodSeconds"]

    def delete_pod(self, pod):
        if "deletionTimestamp" not in pod["metadata"]:
            pod["metadata"]["deletionTimestamp"] = now()
            self.terminate(pod)

    # Jobs, as their controller has them.

    def run_job(self, job):
        status = job["status"]
        pods = self.pods_of(job)
        if "deletionTimestamp" in job["metadata"]:
            for pod in pods:
                self.delete_pod(pod)
            if not pods:
                self.remove("jobs", job)
            return
        if has(status, "Complete") or has(status, "Failed"):
            return
        status.setdefault("startTime", now())
        failing = status.get("_failing")
        seconds = job["spec"].get("activeDeadlineSeconds")
        began = status.setdefault("_began", time.monotonic())
        if seconds is not None and time.monotonic() > began + seconds and not failing:
            failing = status["_failing"] = ("DeadlineExceeded", "Job was active longer than specified deadline")
        if job["spec"].get("suspend"):
            set_condition(status, condition("Suspended", "True", "JobSuspended", "Job suspended"))
            status["_began"] = time.monotonic()
            for pod in pods:
                self.delete_pod(pod)
            status["active"] = 0
            return
        if has(status, "Suspended"):
            set_condition(status, condition("Suspended", "False", "JobResumed", "Job resumed"))
        self.count_ends(job, pods)
        failing = status.get("_failing")
        living = [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]
        status["active"] = len(living)
        if failing:
            for pod in living:
                self.delete_pod(pod)
            if not living:
                set_condition(status, condition("Failed", "True", *failing))
            return
        done = {index_of(p) for p in pods if p["status"]["phase"] == "Succeeded"}
        if len(done) >= job["spec"].get("completions", 1) and not living:
            set_condition(status, condition("Complete", "True", "CompletionsReached", "Reached expected number of succeeded pods"))
            return
        for index in range(job["spec"].get("completions", 1)):
            has_pod = any(index_of(p) == str(index) for p in living)
            if str(index) not in done and not has_pod:
                self.make_pod(job, index)

    # What is made of several Jobs, as its controllers have it: a TrainJob of a JobSet, a JobSet of Jobs.

    def children_of(self, plural, owner):
        uid = owner["metadata"]["uid"]
        return [item for (kind, _, _), item in list(self.objects.items()) if kind == plural and item["metadata"].get("ownerReferences", [{}])[0].get("uid") == uid]

    def run_owner(self, owner, plural, make, complete):
        """Makes the children, takes over how they are, and goes with them."""
        children = self.children_of(plural, owner)
        if "deletionTimestamp" in owner["metadata"]:
            for child in children:
                child["metadata"].setdefault("deletionTimestamp", now())
            if not children:
                self.remove(f"{owner['kind'].lower()}s", owner)
            return
        if not children:
            child = make(owner)
            metadata = owner["metadata"]
            child["metadata"]["namespace"] = metadata["namespace"]
            child["metadata"]["ownerReferences"] = [{"kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"]}]
            children = [self.add(plural, child)]
        for child in children:
            child["spec"]["suspend"] = owner["spec"].get("suspend", False)
            for kind in ("Complete", "Completed", "Failed", "Suspended"):
                if has(child["status"], kind):
                    set_condition(owner["status"], condition(complete if kind.startswith("Complete") else kind, "True", "JobsEnded"))

    def make_job(self, jobset):
        replicated = jobset["spec"]["replicatedJobs"][0]
        spec = copy.deepcopy(replicated["template"]["spec"])
        name = jobset["metadata"]["name"]
        if jobset["spec"].get("network", {}).get("enableDNSHostnames"):
            spec["template"]["spec"]["subdomain"] = name
            service = {"kind": "Service", "metadata": {"name": name, "namespace": jobset["metadata"]["namespace"]}, "spec": {"selector": {JOBSET_NAME: name}}}
            self.add("services", service)
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"{name}-{replicated['name']}-0", "labels": {JOBSET_NAME: name}}, "spec": spec}

    def make_jobset(self, trainjob):
        trainer = trainjob["spec"]["trainer"]
        container = {"name": "node", "image": trainer["image"], "command": trainer["command"], "resources": trainer["resourcesPerNode"]}
        spec = {
            "completionMode": "Indexed",
            "completions": trainer["numNodes"],
            "parallelism": trainer["numNodes"],
            "backoffLimit": 3,
            "podFailurePolicy": RUNTIME_POLICY,
            "template": {"spec": {**RUNTIME_POD, "containers": [container]}},
        }
        jobs = [{"name": "node", "template": {"spec": spec}}]
        spec = {"network": {"enableDNSHostnames": True}, "replicatedJobs": jobs}
        return {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": trainjob["metadata"]["name"]}, "spec": spec}

    def count_ends(self, job, pods):
        status = job["status"]
        for pod in pods:
            if pod["status"]["phase"] != "Failed" or pod["metadata"].get("_counted"):
                continue
            pod["metadata"]["_counted"] = True
            action = self.action_for(job, pod)
            status["_log"] = status.get("_log", []) + [action]
            if action == "FailJob":
                status["_failing"] = ("PodFailurePolicy", f"Container of pod {pod['metadata']['name']} failed")
            elif action == "Count":
                status["failed"] = status.get("failed", 0) + 1
                if status["failed"] > job["spec"].get("backoffLimit", 6):
                    status["_failing"] = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")

    def action_for(self, job, pod):
        states = [c["state"].get("terminated", {}) for c in pod["status"].get("containerStatuses", [])]
        codes = [state["exitCode"] for state in states if state.get("exitCode")]
        for rule in job["spec"].get("podFailurePolicy", {}).get("rules", []):
            if any(has(pod["status"], c["type"]) for c in rule.get("onPodConditions", [])):
                return rule["action"]
            wanted = rule.get("onExitCodes")
            if wanted and any((code in wanted["values"]) == (wanted["operator"] == "In") for code in codes):
                return rule["action"]
        return "Count"

    def loop(self):
        while True:
            with self.lock:
                owners = {job["metadata"]["uid"] for job in self.jobs()}
                for pod in self.pods():
                    if pod["metadata"]["ownerReferences"][0]["uid"] not in owners:
                        self.delete_pod(pod)
                    self.tend(pod)
                for (plural, _, _), item in list(self.objects.items()):
                    if plural == "trainjobs":
                        self.run_owner(item, "jobsets", self.make_jobset, "Complete")
                    elif plural == "jobsets":
                        self.run_owner(item, "jobs", self.make_job, "Completed")
                    elif plural == "services":
                        self.collect(item)
                for job in self.jobs():
                    self.run_job(job)
            time.sleep(TICK_SECONDS)

    def collect(self, service):
        """Goes when its owner has gone."""
        owners = service["metadata"].get("ownerReferences", [])
        uids = {item["metadata"]["uid"] for item in self.objects.values()}
        if owners and not any(owner["uid"] in uids for owner in owners):
            self.remove("services", service)

    def stop(self):
        for process in self.processes.values():
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)


class Control:
    """What tests bring about."""

    def __init__(self, cluster):
        self.cluster = cluster

    def running(self, index=None):
        return [pod for pod in self.cluster.pods() if pod["status"]["phase"] == "Running" and index in (None, index_of(pod))]

    def tops(self):
        """What a user has made."""
        return [item for (plural, _, _), item in list(self.cluster.objects.items()) if plural in ("jobs", "jobsets", "trainjobs") and "ownerReferences" not in item["metadata"]]

    def set(self, **values):
        for name, value in values.items():
            setattr(self.cluster, name, value)

    def evict(self, reason="EvictionByEvictionAPI", index=None):
        for pod in self.running(index):
            set_condition(pod["status"], condition("DisruptionTarget", "True", reason, "Eviction API: evicting"))
            self.cluster.delete_pod(pod)

    def delete_pods(self):
        """As `kubectl delete pod` does, which is no disruption."""
        for pod in self.running():
            self.cluster.delete_pod(pod)

    def lose_node(self, index=None, dies=False):
        """The pods' node is gone for the server, and goes on by itself, or does not."""
        for pod in self.running(index):
            if dies:
                self.cluster.signal(pod, signal.SIGKILL)
            set_condition(pod["status"], condition("DisruptionTarget", "True", "DeletionByTaintManager", "Taint manager: deleting"))
            pod["status"]["phase"] = "Failed"

    def kill_for_memory(self, index=None):
        for pod in self.running(index):
            self.cluster.out_of_memory.add(pod["metadata"]["uid"])
            self.cluster.signal(pod, signal.SIGKILL)

    def suspend(self, value=True):
        for job in self.tops():
            job["spec"]["suspend"] = value

    def workload(self, reason, message):
        """What Kueue says of all jobs."""
        for job in self.tops():
            name = "job-" + job["metadata"]["name"]
            metadata = {"name": name, "namespace": job["metadata"]["namespace"], "labels": {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]}}
            workload = {"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "Workload", "metadata": metadata, "spec": {}, "status": {}}
            set_condition(workload["status"], condition("QuotaReserved", "False", reason, message))
            self.cluster.remove("workloads", workload)
            self.cluster.add("workloads", workload)

    def delete_jobs(self, in_background=False):
        """In the background, as `kubectl delete job` does: pods are left to the collector of garbage."""
        for job in self.cluster.jobs():
            job["metadata"]["deletionTimestamp"] = now()
            if in_background:
                self.cluster.remove("jobs", job)

    def fail(self, count, code, reason, message):
        self.cluster.failures = [(code, reason, message)] * count

    def show(self):
        return [copy.deepcopy(item) for item in self.cluster.objects.values()]


class Rules:
    """Who may do what: the Roles of a file of manifests, all granted to every token."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            items = json.load(file)["items"]
        self.rules = [rule for item in items if item["kind"] == "Role" for rule in item["rules"]]

    def allows(self, verb, group, plural):
        return any(verb in rule["verbs"] and group in rule["apiGroups"] and plural in rule["resources"] for rule in self.rules)


class Failure(Exception):
    def __init__(self, code, reason, message):
        super().__init__(message)
        self.body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster = None
    control = None
    rules = None

    def log_message(self, *arguments):
        with open(os.path.join(self.cluster.directory, "requests"), "a", encoding="utf-8") as log:
            log.write(f"{self.command} {self.path}\n")

    def answer(self, code, body):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def handle_request(self, verb):
        data = self.read_body()
        path, _, query = self.path.partition("?")
        try:
            if path == "/control":
                return self.answer(200, self.run_control(json.loads(data)))
            time.sleep(self.cluster.hang_seconds)
            with self.cluster.lock:
                self.check_token()
                if self.cluster.failures:
                    raise Failure(*self.cluster.failures.pop())
                code, body = self.serve(verb, path, dict(urllib.parse.parse_qsl(query)), data)
            return self.answer(code, body)
        except Failure as failure:
            return self.answer(failure.body["code"], failure.body)

    def run_control(self, request):
        with self.cluster.lock:
            return getattr(self.control, request.pop("do"))(**request)

    def check_token(self):
        with open(os.path.join(self.cluster.directory, "tokens"), encoding="utf-8") as file:
            tokens = file.read().split()
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in tokens:
            raise Failure(401, "Unauthorized", "Unauthorized")

    def serve(self, verb, path, query, data):
        match = re.fullmatch(r"/(?:api/(v1)|apis/([^/]+/[^/]+))/namespaces/([^/]+)/([^/]+)(?:/([^/]+))?", path)
        version = match and (match[1] or match[2])
        if not match or (version, match[4]) not in KINDS:
            raise Failure(404, "NotFound", "the server could not find the requested resource")
        namespace, plural, name = match[3], match[4], match[5]
        verb = "list" if verb == "get" and name is None else verb
        group = version.split("/")[0] if "/" in version else ""
        if not self.rules.allows(verb, group, plural):
            raise Failure(403, "Forbidden", f'{plural} is forbidden: User "test" cannot {verb} resource "{plural}" in API group "{group}" in the namespace "{namespace}"')
        if verb == "create":
            return self.create(plural, namespace, query, data)
        if verb == "list":
            return 200, self.list(version, plural, namespace, query)
        item = self.cluster.objects.get((plural, namespace, name))
        if item is None:
            raise Failure(404, "NotFound", f'{plural}.{group} "{name}" not found')
        if verb == "delete":
            return self.delete(plural, item, query)
        return 200, item

    def create(self, plural, namespace, query, data):
        item = json.loads(data)
        found = schema.object_problems(plural, item)
        if query.get("fieldValidation") != "Strict":
            found.append("fieldValidation: Strict is wanted here")
        if found:
            raise Failure(422, "Invalid", f'{plural} "{item.get("metadata", {}).get("name")}" is invalid: ' + "; ".join(found))
        if item["metadata"].get("namespace", namespace) != namespace:
            raise Failure(400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request")
        item["metadata"]["namespace"] = namespace
        if (plural, namespace, item["metadata"]["name"]) in self.cluster.objects:
            raise Failure(409, "AlreadyExists", f'{plural} "{item["metadata"]["name"]}" already exists')
        if query.get("dryRun") == "All":
            return 201, item
        return 201, self.cluster.add(plural, item)

    def list(self, version, plural, namespace, query):
        selector = [pair for pair in query.get("labelSelector", "").split(",") if pair]
        wanted = dict(pair.split("=", 1) for pair in selector if "=" in pair)
        there = {label for label in selector if "=" not in label}
        items = [
            item
            for (kind, where, _), item in self.cluster.objects.items()
            if (kind, where) == (plural, namespace) and wanted.items() <= item["metadata"].get("labels", {}).items() and there <= item["metadata"].get("labels", {}).keys()
        ]
        metadata = {"resourceVersion": str(self.cluster.version)}
        return {"kind": KINDS[(version, plural)] + "List", "apiVersion": version, "metadata": metadata, "items": items}

    def delete(self, plural, item, query):
        if plural == "pods":
            self.cluster.delete_pod(item)
        elif query.get("propagationPolicy") == "Foreground":
            item["metadata"].setdefault("deletionTimestamp", now())
            item["metadata"]["finalizers"] = ["foregroundDeletion"]
        else:
            raise Failure(400, "BadRequest", "propagationPolicy: Foreground is wanted here, so that pods are gone when the Job is")
        return 200, item

    def do_GET(self):
        self.handle_request("get")

    def do_POST(self):
        self.handle_request("create")

    def do_DELETE(self):
        self.handle_request("delete")


def make_certificate(directory):
    certificate, key = os.path.join(directory, "ca.crt"), os.path.join(directory, "server.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return certificate, key


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", required=True)
    parser.add_argument("--rbac", required=True)
    arguments = parser.parse_args()
    cluster = Cluster()
    cluster.directory = arguments.directory
    Handler.cluster, Handler.control, Handler.rules = cluster, Control(cluster), Rules(arguments.rbac)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(arguments.directory))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    threading.Thread(target=cluster.loop, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listens on port {server.server_address[1]}", flush=True)
    server.serve_forever()
    with cluster.lock:
        cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
