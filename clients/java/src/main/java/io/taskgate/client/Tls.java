package io.taskgate.client;

import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** How a connection is encrypted. Files are PEM, and are read when the client is made. */
public final class Tls {
  private final @Nullable Path authority;
  private final @Nullable Path certificate;
  private final @Nullable Path key;
  private final @Nullable String serverName;

  private Tls(
      @Nullable Path authority,
      @Nullable Path certificate,
      @Nullable Path key,
      @Nullable String serverName) {
    this.authority = authority;
    this.certificate = certificate;
    this.key = key;
    this.serverName = serverName;
  }

  /**
   * For a server with a public certificate.
   *
   * @return TLS that trusts Java's authorities
   */
  public static Tls publicAuthorities() {
    return new Tls(null, null, null, null);
  }

  /**
   * For a server with a certificate of an authority of one's own.
   *
   * @param authority the authority's certificate
   * @return TLS that trusts that authority alone
   */
  public static Tls authority(Path authority) {
    return new Tls(authority, null, null, null);
  }

  /**
   * The same with a certificate of the client's own, for a server that asks for one (mTLS).
   *
   * @param own the certificate
   * @param ownKey its key
   * @return mTLS
   * @throws IllegalArgumentException if one of them is null
   */
  public Tls withCertificate(Path own, Path ownKey) {
    if (own == null || ownKey == null) {
      throw new IllegalArgumentException(
          "a client certificate needs its key, and a key its certificate");
    }
    return new Tls(authority, own, ownKey, serverName);
  }

  /**
   * The same for a server whose certificate has another name than its address.
   *
   * @param name in the certificate
   * @return TLS that looks for that name
   */
  public Tls withServerName(String name) {
    return new Tls(authority, certificate, key, name);
  }

  Optional<String> serverName() {
    return Optional.ofNullable(serverName);
  }

  ChannelCredentials credentials() throws IOException {
    TlsChannelCredentials.Builder made = TlsChannelCredentials.newBuilder();
    if (authority != null) {
      made.trustManager(authority.toFile());
    }
    if (certificate != null && key != null) {
      made.keyManager(certificate.toFile(), key.toFile());
    }
    return made.build();
  }
}
