package io.taskgate.client;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The source of bearer tokens. It is called for each call, by any thread. */
@FunctionalInterface
public interface Token {
  /**
   * Returns the token to send now.
   *
   * @return the token; surrounding white space is removed
   * @throws IOException if there is none; the call fails with it
   */
  String current() throws IOException;

  /**
   * Returns a fixed token.
   *
   * @param token the token
   * @return its source
   */
  static Token text(String token) {
    return () -> token;
  }

  /**
   * Returns a token that is read from a file for each call, as it may be rotated.
   *
   * @param path the file
   * @return the source
   */
  static Token file(Path path) {
    return () -> Files.readString(path);
  }
}
