{{/* What no schema can say: values that do not go together. Each is one sentence that says what to do. */}}

{{- define "taskgate.checks" -}}
{{- $tls := include "taskgate.tlsSecret" . }}
{{- $plaintext := .Values.settings.plaintext_to_everyone }}
{{- $own := or .Values.access.policies .Values.access.existingConfigMap }}
{{- if and (not $tls) (not $plaintext) }}
{{- fail "how shall callers reach the server? Set tls.secretName or tls.certManager.enabled; or, where anyone on the network may read and make calls, settings.plaintext_to_everyone (values-sandbox.yaml has the words)" }}
{{- end }}
{{- if and $tls $plaintext }}
{{- fail "settings.plaintext_to_everyone is set although tls is: leave one of them out" }}
{{- end }}
{{- if and $tls (not (include "taskgate.callersAreKnown" .)) (not $own) }}
{{- fail "TLS alone does not tell who calls: set tls.clientCa.secretName, settings.jwt_issuer, or access.policies with rules for Anonymous" }}
{{- end }}
{{- if and .Values.tls.clientCa.secretName (not $tls) }}
{{- fail "tls.clientCa needs tls.secretName or tls.certManager.enabled beside it" }}
{{- end }}
{{- if and .Values.access.existingConfigMap (not .Values.access.policies) }}
{{- fail "access.existingConfigMap: name its keys in access.policies, such as {\"studio.cedar\": \"\"}" }}
{{- end }}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef.name) }}
{{- fail "tls.certManager.issuerRef: which issuer of cert-manager shall sign? {name: …, kind: ClusterIssuer}" }}
{{- end }}
{{- if and .Values.envoy.enabled .Values.tls.clientCa.secretName }}
{{- fail "envoy ends TLS, so the server would not see its callers' certificates: have callers known by token (settings.jwt_issuer), and leave tls.clientCa out" }}
{{- end }}
{{- if and .Values.envoy.enabled (le (float64 .Values.settings.drain_grace_seconds) 2.0) }}
{{- fail "settings.drain_grace_seconds must be more than 2: Envoy asks for health each second and waits a second for the answer" }}
{{- end }}
{{- if and .Values.emulator.enabled (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) }}
{{- fail "emulator: each pod has a local AWS of its own, so there can be one only: set replicas to 1 and leave autoscaling out" }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.callers) }}
{{- fail "networkPolicy.callers: which pods may call? [{podSelector: {}}] is each pod of this namespace, [{namespaceSelector: {}}] each pod of the cluster, [{ipBlock: {cidr: 0.0.0.0/0}}] every IPv4 address; or set networkPolicy.enabled to false" }}
{{- end }}
{{- if and .Values.networkPolicy.enabled .Values.metrics.enabled (not .Values.networkPolicy.prometheus) }}
{{- fail "networkPolicy.prometheus: which pods may read the metrics? Such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]; or set networkPolicy.enabled to false" }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) }}
{{- fail "gateway.parentRefs: to which Gateway does the route belong? [{name: …, namespace: …}]" }}
{{- end }}
{{- if and (or .Values.metrics.monitor .Values.metrics.rules) (not .Values.metrics.enabled) }}
{{- fail "metrics.monitor and metrics.rules need metrics.enabled: true" }}
{{- end }}
{{- end }}
