package io.taskgate.client;

import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Options of an encrypted connection. The files are PEM, and are read by the builder. */
public final class Tls {
  private final @Nullable Path ca;
  private final @Nullable Path certificate;
  private final @Nullable Path key;
  private final @Nullable String serverName;

  private Tls(
      @Nullable Path ca,
      @Nullable Path certificate,
      @Nullable Path key,
      @Nullable String serverName) {
    this.ca = ca;
    this.certificate = certificate;
    this.key = key;
    this.serverName = serverName;
  }

  /**
   * Returns options for a server with a public certificate.
   *
   * @return TLS that trusts the default CAs of Java
   */
  public static Tls publicCas() {
    return new Tls(null, null, null, null);
  }

  /**
   * Returns options for a server with a certificate of a private CA.
   *
   * @param ca file of the CA certificates
   * @return TLS that trusts only these CAs
   */
  public static Tls ca(Path ca) {
    return new Tls(ca, null, null, null);
  }

  /**
   * Returns options with a client certificate, for a server that requires one (mTLS).
   *
   * @param own file of the certificate
   * @param ownKey file of its private key
   * @return mTLS
   * @throws IllegalArgumentException if one of them is null
   */
  public Tls withCertificate(Path own, Path ownKey) {
    if (own == null || ownKey == null) {
      throw new IllegalArgumentException(
          "a client certificate and its key have to be given together");
    }
    return new Tls(ca, own, ownKey, serverName);
  }

  /**
   * Returns options for a server whose certificate has another name than its address.
   *
   * @param name the name in the certificate
   * @return TLS that expects that name
   */
  public Tls withServerName(String name) {
    return new Tls(ca, certificate, key, name);
  }

  Optional<String> serverName() {
    return Optional.ofNullable(serverName);
  }

  ChannelCredentials credentials() throws IOException {
    TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
    if (ca != null) {
      builder.trustManager(ca.toFile());
    }
    if (certificate != null && key != null) {
      builder.keyManager(certificate.toFile(), key.toFile());
    }
    return builder.build();
  }
}
