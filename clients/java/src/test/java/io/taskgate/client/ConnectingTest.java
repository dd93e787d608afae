package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.EquivalentAddressGroup;
import io.grpc.Metadata;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusOr;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.StreamObserver;
import io.taskgate.v1.CancelTaskRequest;
import io.taskgate.v1.CancelTaskResponse;
import io.taskgate.v1.GetServerInfoRequest;
import io.taskgate.v1.GetServerInfoResponse;
import io.taskgate.v1.TaskServiceGrpc;
import io.taskgate.v1.TaskServiceGrpc.TaskServiceImplBase;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class ConnectingTest {
  private static final Metadata.Key<String> TARGET =
      Metadata.Key.of("taskgate-target", Metadata.ASCII_STRING_MARSHALLER);

  @Test
  void sendsTargetUnlessItIsEmpty() throws Exception {
    List<String> sent = Collections.synchronizedList(new ArrayList<>());
    ServerInterceptor listens =
        new ServerInterceptor() {
          @Override
          public <Q, A> ServerCall.Listener<Q> interceptCall(
              ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
            sent.add(String.valueOf(headers.get(TARGET)));
            return next.startCall(call, headers);
          }
        };
    try (TestServer server = TestServer.of(List.of(listens), new Counted());
        TaskgateClient picked = TaskgateClient.builder(server.address()).target("studio").build();
        TaskgateClient empty = TaskgateClient.builder(server.address()).target("").build()) {
      var unused = picked.getServerInfo();
      unused = empty.getServerInfo();
    }
    assertEquals(List.of("studio", "null"), sent);
  }

  @Test
  void retriesMethodsOfOtherStubsIfTheyAreListed() throws Exception {
    var calls = new AtomicInteger();
    var service =
        new TaskServiceImplBase() {
          @Override
          public void cancelTask(
              CancelTaskRequest request, StreamObserver<CancelTaskResponse> responses) {
            if (calls.incrementAndGet() == 1) {
              responses.onError(Status.UNAVAILABLE.asRuntimeException());
            } else {
              responses.onNext(CancelTaskResponse.getDefaultInstance());
              responses.onCompleted();
            }
          }
        };
    var method = TaskServiceGrpc.getCancelTaskMethod();
    try (TestServer server = TestServer.of(service);
        TaskgateClient client = TaskgateClient.builder(server.address()).retried(method).build()) {
      var unused =
          TaskServiceGrpc.newBlockingStub(client.channel())
              .cancelTask(CancelTaskRequest.getDefaultInstance());
    }
    assertEquals(2, calls.get());
  }

  @Test
  void rejectsTargetThatCannotBeSent() {
    ClientBuilder builder = TaskgateClient.builder("127.0.0.1:1");
    assertThrows(IllegalArgumentException.class, () -> builder.target("a\nb"));
    assertThrows(IllegalArgumentException.class, () -> builder.target("ä"));
  }

  @Test
  void rejectsClientCertificateWithoutKey() {
    Path file = Path.of("client.pem");
    for (Path[] pair : new Path[][] {{file, null}, {null, file}}) {
      var error =
          assertThrows(
              IllegalArgumentException.class,
              () -> Tls.publicCas().withCertificate(pair[0], pair[1]));
      assertTrue(error.getMessage().contains("key"), error.getMessage());
    }
  }

  @Test
  void failsForCaFileThatCannotBeRead() {
    ClientBuilder builder =
        TaskgateClient.builder("127.0.0.1:1").tls(Tls.ca(Path.of("/absent/ca.pem")));
    assertThrows(UncheckedIOException.class, builder::build);
  }

  @Test
  void rejectsCaFileWithoutCertificate(@TempDir Path folder) throws Exception {
    Path file = Files.writeString(folder.resolve("ca.pem"), "nothing of use");
    ClientBuilder builder = TaskgateClient.builder("127.0.0.1:1").tls(Tls.ca(file));
    assertThrows(IllegalArgumentException.class, builder::build);
  }

  @Test
  void callsServersInTurnWhileTheyServe() throws Exception {
    Counted one = new Counted();
    Counted two = new Counted();
    HealthStatusManager wellOne = new HealthStatusManager();
    HealthStatusManager wellTwo = new HealthStatusManager();
    try (TestServer first = TestServer.of(one, wellOne.getHealthService());
        TestServer second = TestServer.of(two, wellTwo.getHealthService());
        Pair pair = new Pair(first.server().getPort(), second.server().getPort());
        TaskgateClient client = TaskgateClient.builder(pair.address()).balance().build()) {
      callUntil(client, () -> one.calls > 2 && two.calls > 2);
      wellTwo.setStatus(HealthStatusManager.SERVICE_NAME_ALL_SERVICES, ServingStatus.NOT_SERVING);
      callUntil(
          client,
          () -> {
            int before = two.calls;
            Stream.generate(client::getServerInfo).limit(6).forEach(unused -> {});
            return two.calls == before;
          });
    }
  }

  @Test
  void callsOneServerWithoutBalancing() throws Exception {
    Counted one = new Counted();
    Counted two = new Counted();
    try (TestServer first = TestServer.of(one);
        TestServer second = TestServer.of(two);
        Pair pair = new Pair(first.server().getPort(), second.server().getPort());
        TaskgateClient client = TaskgateClient.connect(pair.address())) {
      Stream.generate(client::getServerInfo).limit(6).forEach(unused -> {});
      assertEquals(List.of(6, 0), List.of(one.calls, two.calls));
    }
  }

  private interface Condition {
    boolean holds();
  }

  /** Calls until the condition holds; the timeout of the test ends it otherwise. */
  private static void callUntil(TaskgateClient client, Condition condition) {
    while (!condition.holds()) {
      var unused = client.getServerInfo();
    }
  }

  private static final class Counted extends TaskServiceImplBase {
    private volatile int calls;

    @Override
    public synchronized void getServerInfo(
        GetServerInfoRequest request, StreamObserver<GetServerInfoResponse> observer) {
      calls = calls + 1;
      observer.onNext(GetServerInfoResponse.getDefaultInstance());
      observer.onCompleted();
    }
  }

  /** A resolver whose name stands for two local servers, as a name in DNS may. */
  private static final class Pair extends NameResolverProvider implements AutoCloseable {
    private final List<EquivalentAddressGroup> addresses;

    private Pair(int first, int second) {
      addresses =
          Stream.of(first, second)
              .map(port -> new InetSocketAddress(InetAddress.getLoopbackAddress(), port))
              .map(EquivalentAddressGroup::new)
              .toList();
      NameResolverRegistry.getDefaultRegistry().register(this);
    }

    private String address() {
      return "pair:///servers";
    }

    @Override
    public void close() {
      NameResolverRegistry.getDefaultRegistry().deregister(this);
    }

    @Override
    public String getDefaultScheme() {
      return "pair";
    }

    @Override
    protected boolean isAvailable() {
      return true;
    }

    @Override
    protected int priority() {
      return 5;
    }

    @Override
    public Collection<Class<? extends SocketAddress>> getProducedSocketAddressTypes() {
      return List.of(InetSocketAddress.class);
    }

    @Override
    public NameResolver newNameResolver(URI name, NameResolver.Args arguments) {
      return new NameResolver() {
        @Override
        public String getServiceAuthority() {
          return "servers";
        }

        @Override
        public void start(Listener2 listener) {
          listener.onResult(
              ResolutionResult.newBuilder()
                  .setAddressesOrError(StatusOr.fromValue(addresses))
                  .build());
        }

        @Override
        public void shutdown() {}
      };
    }
  }
}
