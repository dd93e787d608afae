{{/* Combinations of values that the schema cannot reject. Each message says what to do. */}}

{{- define "taskgate.checks" -}}
{{- $tls := include "taskgate.tlsSecret" . }}
{{- $plaintext := .Values.settings.plaintext_to_everyone }}
{{- $own := or .Values.access.policies .Values.access.existingConfigMap }}
{{- if and (not $tls) (not $plaintext) }}
{{- fail "TLS is not configured: set tls.secretName or tls.certManager.enabled. If anyone on the network may read and make calls, set settings.plaintext_to_everyone instead (values-sandbox.yaml has its value)" }}
{{- end }}
{{- if and $tls $plaintext }}
{{- fail "settings.plaintext_to_everyone and tls exclude each other: remove one of them" }}
{{- end }}
{{- if and $tls (not (include "taskgate.callersAreKnown" .)) (not $own) }}
{{- fail "TLS alone does not authenticate callers: set tls.clientCa.secretName, settings.jwt_issuer, or access.policies with rules for Anonymous" }}
{{- end }}
{{- if and .Values.tls.clientCa.secretName (not $tls) }}
{{- fail "tls.clientCa requires TLS: set tls.secretName or tls.certManager.enabled, too" }}
{{- end }}
{{- if and .Values.access.existingConfigMap (not .Values.access.policies) }}
{{- fail "access.existingConfigMap requires its keys in access.policies, such as {\"studio.cedar\": \"\"}" }}
{{- end }}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef.name) }}
{{- fail "tls.certManager.issuerRef is missing: name the issuer, such as {name: …, kind: ClusterIssuer}" }}
{{- end }}
{{- if and .Values.envoy.enabled .Values.tls.clientCa.secretName }}
{{- fail "envoy terminates TLS, so the server does not see client certificates: authenticate callers with tokens (settings.jwt_issuer) and remove tls.clientCa" }}
{{- end }}
{{- if and .Values.envoy.enabled (le (float64 .Values.settings.drain_grace_seconds) 2.0) }}
{{- fail "settings.drain_grace_seconds must be more than 2: Envoy checks health every second with a timeout of one second" }}
{{- end }}
{{- if and .Values.emulator.enabled (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) }}
{{- fail "emulator requires a single pod, because each pod has an emulator of its own: set replicas to 1 and disable autoscaling" }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.callers) }}
{{- fail "networkPolicy.callers is empty: list the pods that may connect, such as [{podSelector: {}}] (this namespace), [{namespaceSelector: {}}] (the cluster) or [{ipBlock: {cidr: 0.0.0.0/0}}] (every IPv4 address); or set networkPolicy.enabled to false" }}
{{- end }}
{{- if and .Values.console.enabled (not .Values.http.enabled) }}
{{- fail "the HTTP port serves the console: set http.enabled, too" }}
{{- end }}
{{- if and .Values.networkPolicy.enabled .Values.http.enabled (not .Values.networkPolicy.httpCallers) }}
{{- fail "networkPolicy.httpCallers is empty: list the pods that may connect to the HTTP port, such as [{podSelector: {matchLabels: {app: oauth2-proxy}}}]; or set networkPolicy.enabled to false" }}
{{- end }}
{{- if and .Values.networkPolicy.enabled .Values.metrics.enabled (not .Values.networkPolicy.prometheus) }}
{{- fail "networkPolicy.prometheus is empty: list the pods that may read metrics, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]; or set networkPolicy.enabled to false" }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) }}
{{- fail "gateway.parentRefs is empty: name the Gateway of the route, such as [{name: …, namespace: …}]" }}
{{- end }}
{{- if and (or .Values.metrics.monitor .Values.metrics.rules) (not .Values.metrics.enabled) }}
{{- fail "metrics.monitor and metrics.rules require metrics.enabled: true" }}
{{- end }}
{{- end }}
