package io.taskgate.client;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.ChannelCredentials;
import io.grpc.CompositeChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.ManagedChannelRegistry;
import io.grpc.MethodDescriptor;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** A builder of a {@link TaskgateClient}. */
public final class ClientBuilder {
  /** A thousand tasks with AWS's own messages exceed gRPC's default of 4 MiB. */
  private static final int MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

  private static final int KEEPALIVE_SECONDS = 30;
  private static final int KEEPALIVE_TIMEOUT_SECONDS = 10;

  private final String address;
  private @Nullable Tls tls;
  private @Nullable Token token;
  private String target = "";
  private boolean balance;
  private final List<MethodDescriptor<?, ?>> retried = new ArrayList<>();

  ClientBuilder(String address) {
    this.address = address;
  }

  /**
   * Encrypts the connection.
   *
   * @param options the CAs and certificates
   * @return this
   */
  public ClientBuilder tls(Tls options) {
    tls = options;
    return this;
  }

  /**
   * Sends the caller's bearer token with each call. Requires TLS.
   *
   * @param source the source of the token
   * @return this
   */
  public ClientBuilder token(Token source) {
    token = source;
    return this;
  }

  /**
   * Selects the AWS account and region to call.
   *
   * @param name the name that the server gives it; empty for its default
   * @return this
   * @throws IllegalArgumentException for a name that cannot be sent
   */
  public ClientBuilder target(String name) {
    if (!name.isEmpty() && !Headers.canBeSent(name)) {
      throw new IllegalArgumentException(
          "the target has characters that cannot be sent; use printable ASCII");
    }
    target = name;
    return this;
  }

  /**
   * Calls all servers of a {@code dns:///} address in turn, as long as their health service reports
   * that they serve. Do not use it with a proxy, which balances the load itself: the client would
   * have no other address to call when one of the servers behind it stops.
   *
   * @return this
   */
  public ClientBuilder balance() {
    balance = true;
    return this;
  }

  /**
   * Retries calls of methods of other services like reads, such as {@code
   * BatchServiceGrpc.getListJobsMethod()} of a plug-in.
   *
   * @param methods the methods
   * @return this
   */
  public ClientBuilder retried(MethodDescriptor<?, ?>... methods) {
    retried.addAll(List.of(methods));
    return this;
  }

  /**
   * Builds the client. It connects with its first call.
   *
   * @return the client
   * @throws IllegalArgumentException for a token without TLS, and for files of {@link Tls} that
   *     have no certificate or key
   * @throws UncheckedIOException if a file of {@link Tls} cannot be read
   */
  public TaskgateClient build() {
    ManagedChannelBuilder<?> builder =
        channelBuilder()
            .defaultServiceConfig(serviceConfig())
            .disableServiceConfigLookUp()
            .enableRetry()
            .maxInboundMessageSize(MAX_MESSAGE_BYTES)
            .keepAliveTime(KEEPALIVE_SECONDS, TimeUnit.SECONDS)
            .keepAliveTimeout(KEEPALIVE_TIMEOUT_SECONDS, TimeUnit.SECONDS);
    if (tls != null) {
      tls.serverName().ifPresent(builder::overrideAuthority);
    }
    if (!target.isEmpty()) {
      builder.intercept(Headers.target(target));
    }
    ManagedChannel channel = builder.build();
    return TaskgateClient.of(channel, ReconnectLimit.of(channel, balance), Timing.REAL);
  }

  private ManagedChannelBuilder<?> channelBuilder() {
    ChannelCredentials credentials = credentials();
    try {
      return Grpc.newChannelBuilder(address, credentials);
    } catch (ManagedChannelRegistry.ProviderNotFoundException error) {
      // gRPC throws it for files that it cannot use.
      throw new IllegalArgumentException("cannot use the address or TLS files: " + error, error);
    }
  }

  private ChannelCredentials credentials() {
    if (tls == null) {
      if (token != null) {
        throw new IllegalArgumentException(
            "a token requires TLS; in plaintext anyone on the network can read it");
      }
      return InsecureChannelCredentials.create();
    }
    try {
      ChannelCredentials encrypted = tls.credentials();
      return token == null
          ? encrypted
          : CompositeChannelCredentials.create(encrypted, new BearerToken(token));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** Returns the retries and load balancing that the clients of all languages share. */
  private Map<String, ?> serviceConfig() {
    Map<String, Object> config = sharedServiceConfig();
    addRetried(config);
    if (!balance) {
      config.remove("loadBalancingConfig");
      config.remove("healthCheckConfig");
    }
    return config;
  }

  @SuppressWarnings("unchecked") // the JSON is part of this package
  private void addRetried(Map<String, Object> config) {
    var methods = (List<Map<String, Object>>) Objects.requireNonNull(config.get("methodConfig"));
    var names = (List<Object>) Objects.requireNonNull(methods.get(0).get("name"));
    for (MethodDescriptor<?, ?> each : retried) {
      names.add(
          Map.of(
              "service", Objects.requireNonNull(each.getServiceName()),
              "method", Objects.requireNonNull(each.getBareMethodName())));
    }
  }

  private static Map<String, Object> sharedServiceConfig() {
    try (InputStream file =
            Objects.requireNonNull(ClientBuilder.class.getResourceAsStream("service-config.json"));
        InputStreamReader reader = new InputStreamReader(file, StandardCharsets.UTF_8)) {
      return new Gson().fromJson(reader, new TypeToken<Map<String, Object>>() {}.getType());
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
