{{/* The server's settings as TOML: those of the values and those that the chart sets. */}}

{{- define "taskgate.settings" -}}
{{- $own := dict
  "listen_host" "0.0.0.0"
  "listen_port" 50051
  "health_port" 50052
}}
{{- if include "taskgate.tlsSecret" . }}
{{- $_ := set $own "tls_certificate_file" "/etc/taskgate/tls/tls.crt" }}
{{- $_ := set $own "tls_key_file" "/etc/taskgate/tls/tls.key" }}
{{- end }}
{{- if .Values.tls.clientCa.secretName }}
{{- $_ := set $own "tls_client_ca_file" (printf "/etc/taskgate/client-ca/%s" .Values.tls.clientCa.key) }}
{{- end }}
{{- with include "taskgate.policies" . | fromYaml }}
{{- $files := list }}
{{- range $name := keys . | sortAlpha }}
{{- $files = append $files (printf "/etc/taskgate/policy/%s" $name) }}
{{- end }}
{{- $_ := set $own "policy_files" $files }}
{{- end }}
{{- if .Values.http.enabled }}
{{- $_ := set $own "http_port" 8080 }}
{{- $_ := set $own "console_enabled" .Values.console.enabled }}
{{- if .Values.settings.plaintext_to_everyone }}
{{- /* The names of the Service. Without tokens, the server refuses requests for other names: see docs/http.md. */}}
{{- $origins := .Values.settings.http_allowed_origins | default list }}
{{- $service := printf "%s.%s" (include "taskgate.fullname" .) .Release.Namespace }}
{{- $port := ternary "" (printf ":%v" .Values.http.port) (eq 80 (int .Values.http.port)) }}
{{- range $host := list (include "taskgate.fullname" .) $service (printf "%s.svc" $service) }}
{{- $origins = append $origins (printf "http://%s%s" $host $port) }}
{{- end }}
{{- $_ := set $own "http_allowed_origins" $origins }}
{{- end }}
{{- end }}
{{- if .Values.metrics.enabled }}
{{- $_ := set $own "admin_host" "0.0.0.0" }}
{{- $_ := set $own "admin_port" 9464 }}
{{- end }}
{{- include "taskgate.toml" (dict "table" (merge $own .Values.settings) "path" list) }}
{{- end }}

{{/* A table as TOML, which has the scalars and lists of JSON. Helm's toToml would write 50051.0 for an integer. */}}
{{- define "taskgate.toml" -}}
{{- $path := .path }}
{{- range $key, $value := .table }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if kindIs "map" $value }}
{{- $keys := append $path $key }}

[{{ join "." $keys }}]
{{- include "taskgate.toml" (dict "table" $value "path" $keys) }}
{{- end }}
{{- end }}
{{- end }}
