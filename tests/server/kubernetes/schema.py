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
JOB = {
    "apiVersion!": one_of("batch/v1"),
    "kind!": one_of("Job"),
    "metadata!": METADATA,
    "spec!": {
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


def job_problems(job):
    found = problems(job, JOB, "")
    if found:
        return found
    spec = job["spec"]
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
    if len(f"{job['metadata']['name']}-{spec.get('completions', 1) - 1}") > 63:
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
