package io.taskgate.client;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Where the bearer token of a call comes from. It is asked for each call, by any thread. */
@FunctionalInterface
public interface Token {
  /**
   * The token to send now.
   *
   * @return the token; white space around it does not count
   * @throws IOException if there is none; the call fails with it
   */
  String current() throws IOException;

  /**
   * Always the same.
   *
   * @param token the token
   * @return its source
   */
  static Token text(String token) {
    return () -> token;
  }

  /**
   * Read from a file for each call: who rotates it, such as Kubernetes, tells nobody.
   *
   * @param path of the file
   * @return the source
   */
  static Token file(Path path) {
    return () -> Files.readString(path);
  }
}
