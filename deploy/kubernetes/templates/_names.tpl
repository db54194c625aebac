{{- /* Names are the release's, so that several servers have room in a namespace. */ -}}
{{- define "tunesmith.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}

{{- define "tunesmith.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "tunesmith.selector" -}}
app.kubernetes.io/name: tunesmithd
app.kubernetes.io/instance: {{ include "tunesmith.name" . }}
{{- end -}}

{{- define "tunesmith.labels" -}}
{{ include "tunesmith.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* The claim for one of database, jobs and shared: (list . "jobs"). */ -}}
{{- define "tunesmith.claim" -}}
{{- $top := index . 0 }}{{ $what := index . 1 -}}
{{ (index $top.Values $what).existing | default (printf "%s-%s" (include "tunesmith.name" $top) $what) }}
{{- end -}}

{{- /* What every container of the server's pod may do. */ -}}
{{- define "tunesmith.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
