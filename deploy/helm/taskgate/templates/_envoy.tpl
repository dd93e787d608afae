{{/* The configuration of Envoy. docs/operations.md explains the settings, which deploy/envoy/envoy.yaml has, too. */}}

{{- define "taskgate.envoy" -}}
{{- $tls := include "taskgate.tlsSecret" . -}}
# Envoy wants both for the files of certificates, and nothing else here.
node: { id: envoy, cluster: {{ include "taskgate.fullname" . }} }

admin:
  address: { socket_address: { address: 127.0.0.1, port_value: 9901 } }

overload_manager:
  refresh_interval: 0.25s
  resource_monitors:
    - name: envoy.resource_monitors.fixed_heap
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig
        # Less than the memory that Envoy may have: past that the kernel ends it, and all streams.
        max_heap_size_bytes: {{ int64 .Values.envoy.maxHeapBytes }}
    - name: envoy.resource_monitors.global_downstream_max_connections
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
        max_active_downstream_connections: {{ int64 .Values.envoy.maxConnections }}
  actions:
    - name: envoy.overload_actions.shrink_heap
      triggers:
        - { name: envoy.resource_monitors.fixed_heap, threshold: { value: 0.9 } }
    - name: envoy.overload_actions.stop_accepting_requests
      triggers:
        - { name: envoy.resource_monitors.fixed_heap, threshold: { value: 0.95 } }
    - name: envoy.overload_actions.stop_accepting_connections
      triggers:
        - { name: envoy.resource_monitors.fixed_heap, threshold: { value: 0.98 } }

static_resources:
  listeners:
    - name: callers
      per_connection_buffer_limit_bytes: 262144
      address: { socket_address: { address: 0.0.0.0, port_value: 50051 } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: taskgate
                codec_type: HTTP2
                # A followed log may be silent for hours; pings detect callers that have left.
                stream_idle_timeout: 0s
                request_headers_timeout: 10s
                common_http_protocol_options: { idle_timeout: 600s }
                http2_protocol_options:
                  # The server's own limit (max_streams_per_connection).
                  max_concurrent_streams: 2000
                  # Limits what Envoy buffers for a caller that does not read; its defaults are much larger.
                  initial_stream_window_size: 262144
                  initial_connection_window_size: 1048576
                  connection_keepalive: { interval: 30s, timeout: 10s }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
                route_config:
                  virtual_hosts:
                    - name: taskgate
                      domains: ["*"]
                      routes:
                        - match: { prefix: "/", grpc: {} }
                          route:
                            cluster: taskgate
                            # All calls of a job or run go to one replica. Calls without the header, such as those of
                            # AWS operations, go to any replica.
                            hash_policy:
                              - header: { header_name: taskgate-parent }
                            # Calls have deadlines of their own; 0 means no other limit.
                            timeout: 0s
                            max_stream_duration: { grpc_timeout_header_max: 0s }
                            # Retry only calls that no replica has started, which is safe for writes.
                            retry_policy:
                              retry_on: connect-failure,refused-stream,reset-before-request
                              num_retries: 3
                              retry_host_predicate:
                                - name: envoy.retry_host_predicates.previous_hosts
                                  typed_config:
                                    "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
                              host_selection_retry_max_attempts: 5
          {{- if $tls }}
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                alpn_protocols: [h2]
                tls_certificate_sds_secret_configs:
                  - name: certificate
                    sds_config: { path_config_source: { path: /etc/envoy/config/certificate.yaml }, resource_api_version: V3 }
          {{- end }}
    # For the kubelet only. Envoy listens when it knows which replicas serve.
    - name: health
      ignore_global_conn_limit: true
      bypass_overload_manager: true
      address: { socket_address: { address: 0.0.0.0, port_value: 8080 } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: health
                http_filters:
                  - name: envoy.filters.http.health_check
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck
                      pass_through_mode: false
                      headers: [{ name: ":path", string_match: { exact: /ready } }]
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
                route_config: {}

  clusters:
    - name: taskgate
      # The headless Service has the addresses of all ready replicas.
      type: STRICT_DNS
      dns_refresh_rate: 2s
      connect_timeout: 1s
      per_connection_buffer_limit_bytes: 262144
      # Hash addresses, so that all Envoys have the same ring.
      lb_policy: RING_HASH
      # Never call a replica that does not serve, even if no replica does. Apply health changes at once
      # instead of merging them for up to a second.
      common_lb_config:
        healthy_panic_threshold: { value: 0 }
        update_merge_window: 0s
      # Envoy's defaults suit short calls: watches stay open, and many calls are retried when a replica
      # fails. Taskgate limits each caller itself.
      circuit_breakers:
        thresholds:
          - max_connections: 100000
            max_pending_requests: 100000
            max_requests: 100000
            max_retries: 1000
      # After SIGTERM a replica reports NOT_SERVING and serves for drain_grace_seconds more, which must
      # be longer than interval and timeout together.
      health_checks:
        - grpc_health_check: {}
          interval: 1s
          no_traffic_interval: 1s
          timeout: 1s
          unhealthy_threshold: 1
          healthy_threshold: 1
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config:
            http2_protocol_options:
              # Detects a replica whose machine has failed.
              connection_keepalive: { interval: 10s, timeout: 5s }
      load_assignment:
        cluster_name: taskgate
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: {{ include "taskgate.headlessHost" . }}, port_value: 50051 } } }
      {{- if $tls }}
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          sni: {{ include "taskgate.headlessHost" . }}
          common_tls_context:
            alpn_protocols: [h2]
            combined_validation_context:
              default_validation_context:
                match_typed_subject_alt_names:
                  - san_type: DNS
                    matcher: { exact: {{ include "taskgate.headlessHost" . }} }
              validation_context_sds_secret_config:
                name: authority
                sds_config: { path_config_source: { path: /etc/envoy/config/authority.yaml }, resource_api_version: V3 }
      {{- end }}
{{- end }}

{{/* Separate files, because Envoy reloads these when the Secret changes, but not its main configuration. */}}
{{- define "taskgate.envoyCertificate" -}}
resources:
  - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
    name: certificate
    tls_certificate:
      certificate_chain: { filename: /etc/envoy/tls/tls.crt }
      private_key: { filename: /etc/envoy/tls/tls.key }
      watched_directory: { path: /etc/envoy/tls }
{{- end }}

{{- define "taskgate.envoyAuthority" -}}
resources:
  - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
    name: authority
    validation_context:
      trusted_ca: { filename: /etc/envoy/tls/ca.crt }
      watched_directory: { path: /etc/envoy/tls }
{{- end }}
