package io.taskgate.client;

import io.grpc.BindableService;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.ServerInterceptor;
import java.io.IOException;
import java.util.List;

/** A server in this process with the services of a test. */
record TestServer(Server server) implements AutoCloseable {
  static TestServer of(List<ServerInterceptor> interceptors, BindableService... services)
      throws IOException {
    ServerBuilder<?> builder = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create());
    for (BindableService each : services) {
      builder.addService(each);
    }
    interceptors.forEach(builder::intercept);
    return new TestServer(builder.build().start());
  }

  static TestServer of(BindableService... services) throws IOException {
    return of(List.of(), services);
  }

  String address() {
    return "127.0.0.1:" + server.getPort();
  }

  TaskgateClient client() {
    return TaskgateClient.connect(address());
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
