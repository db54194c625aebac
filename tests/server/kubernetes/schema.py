"""What of a manifest the test API server takes: the fields that Tunesmith writes or that the server adds, and no others.

A real server drops unknown fields unless it is asked to be strict; here every one is an error, so that a misspelled field fails a test. Fields as in
kubernetes.io's API reference for 1.34 (batch/v1 Job, v1 Service).
"""

import re

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
QUANTITY = re.compile(r"[0-9]+(m|k|M|G|T|Ki|Mi|Gi|Ti)?")


def one_of(*values):
    return lambda value: value in values


def matches(pattern):
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


text = matches(re.compile(r"(?s).+"))
name = matches(LABEL)
quantity = matches(QUANTITY)
path = matches(re.compile(r"/[^:\0]*"))


def whole(least=0):
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def flag(value):
    return isinstance(value, bool)


def map_of(value_schema):
    return {"*": value_schema}


RESOURCES = map_of(quantity)
CONTAINER = {
    "name!": name,
    "image!": text,
    "imagePullPolicy": one_of("Always", "IfNotPresent", "Never"),
    "command!": [text],
    "env": [{"name!": text, "value": lambda value: isinstance(value, str)}],
    "resources": {"requests": RESOURCES, "limits": RESOURCES},
    "securityContext": {"allowPrivilegeEscalation": flag, "capabilities": {"drop": [text]}},
    "volumeMounts": [{"name!": name, "mountPath!": path}],
    "workingDir": path,
}
POD = {
    "automountServiceAccountToken": flag,
    "containers!": [CONTAINER],
    "nodeSelector": map_of(matches(LABEL_VALUE)),
    "restartPolicy!": one_of("Never", "OnFailure"),
    "schedulerName": text,
    "subdomain": name,
    "securityContext": {
        "runAsUser": whole(1),
        "runAsGroup": whole(1),
        "runAsNonRoot": flag,
        "fsGroup": whole(1),
        "seccompProfile": {"type!": one_of("RuntimeDefault")},
    },
    "terminationGracePeriodSeconds": whole(1),
    "tolerations": [{"key": text, "operator": one_of("Exists", "Equal"), "effect": text, "value": text}],
    "volumes": [
        {
            "name!": name,
            "persistentVolumeClaim": {"claimName!": text},
            "emptyDir": {"medium": one_of("Memory"), "sizeLimit": quantity},
        }
    ],
}
METADATA = {
    "name!": name,
    "namespace": name,
    "labels": map_of(matches(LABEL_VALUE)),
    "annotations": map_of(lambda value: isinstance(value, str)),
}
JOB_SPEC = {
    "activeDeadlineSeconds": whole(1),
    "backoffLimit": whole(),
    "completionMode": one_of("Indexed", "NonIndexed"),
    "completions": whole(1),
    "parallelism": whole(1),
    "podFailurePolicy": {
        "rules!": [
            {
                "action!": one_of("FailJob", "Ignore", "Count"),
                "onExitCodes": {"operator!": one_of("In", "NotIn"), "values!": [whole()]},
                "onPodConditions": [{"type!": text, "status": one_of("True", "False", "Unknown")}],
            }
        ]
    },
    "podReplacementPolicy": one_of("Failed", "TerminatingOrFailed"),
    "suspend": flag,
    "template!": {"metadata": {key: METADATA[key] for key in ("labels", "annotations")}, "spec!": POD},
    "ttlSecondsAfterFinished": whole(),
}


def manifest(version, kind, spec, metadata=METADATA):
    return {"apiVersion!": one_of(version), "kind!": one_of(kind), "metadata!": metadata, "spec!": spec}


OWNER = {"apiVersion!": text, "kind!": text, "name!": name, "uid!": text}
KINDS = {
    "jobs": manifest("batch/v1", "Job", JOB_SPEC),
    "services": manifest(
        "v1",
        "Service",
        {"clusterIP": one_of("None"), "publishNotReadyAddresses": flag, "selector": map_of(matches(LABEL_VALUE))},
        {**METADATA, "ownerReferences": [OWNER]},
    ),
    # jobset.x-k8s.io/v1alpha2 and trainer.kubeflow.org/v1alpha1, as in jobset 2026-08-18 and trainer 2026-08-21.
    "jobsets": manifest(
        "jobset.x-k8s.io/v1alpha2",
        "JobSet",
        {
            "failurePolicy": {"maxRestarts": whole()},
            "network": {"enableDNSHostnames": flag, "publishNotReadyAddresses": flag, "subdomain": name},
            "replicatedJobs!": [{"name!": name, "replicas": whole(1), "template!": {"spec!": JOB_SPEC}}],
            "suspend": flag,
            "ttlSecondsAfterFinished": whole(),
        },
    ),
    "trainjobs": manifest(
        "trainer.kubeflow.org/v1alpha1",
        "TrainJob",
        {
            "activeDeadlineSeconds": whole(1),
            "runtimeRef!": {"apiGroup": one_of("trainer.kubeflow.org"), "kind": one_of("ClusterTrainingRuntime", "TrainingRuntime"), "name!": text},
            "suspend": flag,
            "trainer": {
                "image": text,
                "command": [text],
                "env": CONTAINER["env"],
                "numNodes": whole(1),
                "resourcesPerNode": CONTAINER["resources"],
            },
        },
    ),
}


# What the chart in deploy/kubernetes has beside jobs (apps/v1, v1, rbac.authorization.k8s.io/v1).
PROBE = {"httpGet!": {"path!": path, "port!": text}, "periodSeconds": whole(1), "timeoutSeconds": whole(1), "failureThreshold": whole(1)}
SERVER_CONTAINER = {
    **CONTAINER,
    "livenessProbe": PROBE,
    "readinessProbe": PROBE,
    "startupProbe": PROBE,
    "ports": [{"name": name, "containerPort!": whole(1)}],
    "securityContext": {**CONTAINER["securityContext"], "readOnlyRootFilesystem": flag},
    "volumeMounts": [{"name!": name, "mountPath!": path, "subPath": text, "readOnly": flag}],
}
TEST_POD = {**POD, "containers!": [SERVER_CONTAINER]}
SERVER_POD = {
    **{key: value for key, value in POD.items() if key not in ("containers!", "restartPolicy!", "volumes")},
    "serviceAccountName": name,
    "imagePullSecrets": [{"name!": name}],
    "affinity": {"nodeAffinity": map_of(lambda value: True), "podAntiAffinity": map_of(lambda value: True)},
    "initContainers": [SERVER_CONTAINER],
    "containers!": [SERVER_CONTAINER],
    "volumes": [
        {
            **POD["volumes"][0],
            "configMap": {"name!": text},
            "secret": {"secretName!": text, "defaultMode": whole()},
        }
    ],
}
SELECTOR = {"matchLabels": map_of(matches(LABEL_VALUE))}
DEPLOYED = {
    "ConfigMap": {"apiVersion!": one_of("v1"), "kind!": text, "metadata!": METADATA, "data!": map_of(text)},
    "PersistentVolumeClaim": manifest(
        "v1",
        "PersistentVolumeClaim",
        {"accessModes!": [one_of("ReadWriteOnce", "ReadWriteMany")], "resources!": {"requests!": RESOURCES}, "storageClassName": text},
    ),
    "Service": manifest("v1", "Service", {
            "type": one_of("ClusterIP", "NodePort", "LoadBalancer"),
            "selector!": map_of(matches(LABEL_VALUE)),
            "ports!": [{"name!": name, "port!": whole(1), "targetPort": text}],
        }),
    "Deployment": manifest(
        "apps/v1",
        "Deployment",
        {
            "replicas": whole(),
            "strategy": {"type!": one_of("Recreate", "RollingUpdate")},
            "selector!": {"matchLabels!": map_of(matches(LABEL_VALUE))},
            "template!": {"metadata!": {"labels!": METADATA["labels"], "annotations": METADATA["annotations"]}, "spec!": SERVER_POD},
        },
    ),
    "Pod": manifest("v1", "Pod", TEST_POD),
    "NetworkPolicy": manifest(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        {
            "podSelector!": SELECTOR,
            "policyTypes": [one_of("Ingress", "Egress")],
            "ingress": [{"ports": [{"protocol": one_of("TCP"), "port": text}], "from": [{"namespaceSelector": SELECTOR, "podSelector": SELECTOR}]}],
        },
    ),
    # monitoring.coreos.com/v1, of Prometheus's operator.
    "ServiceMonitor": manifest(
        "monitoring.coreos.com/v1", "ServiceMonitor", {"selector!": SELECTOR, "endpoints!": [{"port!": name, "path": path, "interval": text}]}
    ),
    "ServiceAccount": {"apiVersion!": one_of("v1"), "kind!": text, "metadata!": METADATA},
    "Role": {
        "apiVersion!": one_of("rbac.authorization.k8s.io/v1"),
        "kind!": text,
        "metadata!": METADATA,
        "rules!": [{"apiGroups!": [lambda value: isinstance(value, str)], "resources!": [text], "verbs!": [one_of("create", "get", "list", "delete")]}],
    },
    "RoleBinding": {
        "apiVersion!": one_of("rbac.authorization.k8s.io/v1"),
        "kind!": text,
        "metadata!": METADATA,
        "roleRef!": {"apiGroup!": text, "kind!": one_of("Role"), "name!": name},
        "subjects!": [{"kind!": one_of("ServiceAccount"), "name!": name}],
    },
}


def problems(value, schema, where):
    """What is wrong with a value, as lines; none where it is as the schema says."""
    if callable(schema):
        return [] if schema(value) else [f"{where}: Invalid value: {value!r}"]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{where}: must be a list"]
        return [line for i, item in enumerate(value) for line in problems(item, schema[0], f"{where}[{i}]")]
    if not isinstance(value, dict):
        return [f"{where}: must be an object"]
    found = []
    known = {key.rstrip("!"): inner for key, inner in schema.items()}
    for key in value:
        inner = known.get(key, known.get("*"))
        if inner is None:
            found.append(f'strict decoding error: unknown field "{where}.{key}"'.replace('".', '"'))
        else:
            found += problems(value[key], inner, f"{where}.{key}".lstrip("."))
    found += [f"{where}.{key[:-1]}: Required value".lstrip(".") for key in schema if key.endswith("!") and key[:-1] not in value]
    return found


def object_problems(plural, item):
    """What a server has against an object of a kind."""
    found = problems(item, KINDS[plural], "")
    if found:
        return found
    if plural == "jobs":
        return job_problems(item["metadata"]["name"], item["spec"])
    if plural == "jobsets":
        for replicated in item["spec"]["replicatedJobs"]:
            found += job_problems(f"{item['metadata']['name']}-{replicated['name']}-0", replicated["template"]["spec"])
    if plural == "services" and not re.match("[a-z]", item["metadata"]["name"]):
        found.append("metadata.name: a Service's name begins with a letter")
    return found


def job_problems(job_name, spec):
    found = []
    pod = spec["template"]["spec"]
    if "podFailurePolicy" in spec and pod["restartPolicy"] != "Never":
        found.append("spec.template.spec.restartPolicy: Invalid value: only Never goes with podFailurePolicy")
    for rule in spec.get("podFailurePolicy", {}).get("rules", []):
        if ("onExitCodes" in rule) == ("onPodConditions" in rule):
            found.append("spec.podFailurePolicy.rules: one of onExitCodes and onPodConditions is required")
        codes = rule.get("onExitCodes")
        if codes and codes["operator"] == "In" and 0 in codes["values"]:
            found.append("spec.podFailurePolicy.rules: 0 is no failure")
        for condition in rule.get("onPodConditions", []):
            if "status" not in condition:
                found.append("spec.podFailurePolicy.rules.onPodConditions.status: Required value")
    if spec.get("completionMode") == "Indexed" and "completions" not in spec:
        found.append("spec.completions: Required value: when completion mode is Indexed")
    if len(f"{job_name}-{spec.get('completions', 1) - 1}") > 63:
        found.append("metadata.name: too long for a pod's host name")
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                found.append(f"spec.template.spec.containers.volumeMounts.name: Not found: {mount['name']}")
        paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        if len(set(paths)) != len(paths):
            found.append("spec.template.spec.containers.volumeMounts.mountPath: must be unique")
        resources = container.get("resources", {})
        for resource, amount in resources.get("limits", {}).items():
            if "/" in resource and resources.get("requests", {}).get(resource, amount) != amount:
                found.append(f"{resource}: extended resources are limited to what is requested")
        for resource in resources.get("requests", {}):
            if "/" in resource and resource not in resources.get("limits", {}):
                found.append(f"{resource}: Required value: Limit must be set for non overcommitable resources")
    return found


def deployed_problems(items):
    """What is wrong with the manifests of a deployment, one by one and with each other."""
    found = []
    for item in items:
        where = f"{item['kind']} {item['metadata']['name']}"
        found += [f"{where}: {line}" for line in problems(item, DEPLOYED[item["kind"]], "")]
    there = {(item["kind"], item["metadata"]["name"]) for item in items}
    for deployment in (item for item in items if item["kind"] == "Deployment"):
        spec = deployment["spec"]
        pod = spec["template"]["spec"]
        labels = spec["template"]["metadata"]["labels"]
        wanted = [("ServiceAccount", pod["serviceAccountName"])]
        for volume in pod["volumes"]:
            wanted += [("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])] if "persistentVolumeClaim" in volume else []
            wanted += [("ConfigMap", volume["configMap"]["name"])] if "configMap" in volume else []
        found += [f"there is no {kind} {named}" for kind, named in wanted if (kind, named) not in there]
        selectors = [spec["selector"]["matchLabels"]] + [item["spec"]["selector"] for item in items if item["kind"] == "Service"]
        selectors += [item["spec"]["podSelector"]["matchLabels"] for item in items if item["kind"] == "NetworkPolicy"]
        found += [f"nothing has the labels {selector}" for selector in selectors if not selector.items() <= labels.items()]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"] + pod.get("initContainers", []):
            found += [f"there is no volume {mount['name']}" for mount in container["volumeMounts"] if mount["name"] not in volumes]
    return found
