{{/* Names, labels and values that several templates use. */}}

{{- define "taskgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Leaves room for "-headless" within the 63 characters of a Service's name. */}}
{{- define "taskgate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "taskgate.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "taskgate.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The selector of the pods of a component: server, Envoy or test. Called with (list . "component"). */}}
{{- define "taskgate.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "taskgate.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "taskgate.labels" -}}
{{- $root := index . 0 -}}
{{ include "taskgate.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Name and labels of an object. Called with (list . "component" "-suffix"). */}}
{{- define "taskgate.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "taskgate.fullname" $root }}{{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "taskgate.labels" . | nindent 2 }}
{{- end }}

{{- define "taskgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "taskgate.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Called with (list image default-tag). */}}
{{- define "taskgate.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) }}
{{- end }}
{{- end }}

{{/* The Pod Security Standard `restricted`, for every pod of the chart. */}}
{{- define "taskgate.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "taskgate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The Secret with the server's certificate; empty without TLS. */}}
{{- define "taskgate.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled }}
{{- default (printf "%s-tls" (include "taskgate.fullname" .)) .Values.tls.secretName }}
{{- else }}
{{- .Values.tls.secretName }}
{{- end }}
{{- end }}

{{/* Not empty if callers are authenticated. */}}
{{- define "taskgate.callersAreKnown" -}}
{{- if or .Values.settings.jwt_issuer .Values.tls.clientCa.secretName }}true{{ end }}
{{- end }}

{{/* The Cedar files by name, as YAML; empty without a policy. */}}
{{- define "taskgate.policies" -}}
{{- if .Values.access.policies }}
{{- toYaml .Values.access.policies }}
{{- else if include "taskgate.callersAreKnown" . }}
{{- $file := printf "%s.cedar" .Values.access.mode }}
{{- dict $file (.Files.Get (printf "files/access/%s" $file)) | toYaml }}
{{- end }}
{{- end }}

{{/* The termination grace period: the server's two settings and a margin, rounded up. */}}
{{- define "taskgate.terminationSeconds" -}}
{{- $drain := addf .Values.settings.drain_grace_seconds .Values.settings.drain_seconds .Values.terminationMarginSeconds }}
{{- ceil $drain | int }}
{{- end }}

{{/* The time between two replicas of a rolling update. Callers of the headless Service find the new replica when the old
one closes their connections, after drain_grace_seconds. If the next replica stopped at that time, they would know none. */}}
{{- define "taskgate.minReadySeconds" -}}
{{- ceil (addf .Values.settings.drain_grace_seconds 5) | int }}
{{- end }}

{{/* The name in the server's certificate, and of the Service that resolves to all replicas. */}}
{{- define "taskgate.headlessHost" -}}
{{- printf "%s-headless.%s.svc" (include "taskgate.fullname" .) .Release.Namespace }}
{{- end }}

{{- define "taskgate.metricsPorts" -}}
{{/* The admin ports of the workers, starting at 9464. */}}
{{- $workers := int (default 1 .Values.settings.workers) }}
{{- range $number := until $workers }}
- name: metrics{{ if $number }}-{{ $number }}{{ end }}
  number: {{ add 9464 $number }}
{{- end }}
{{- end }}
