package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Timestamp;
import io.taskgate.v1.LogHeartbeat;
import io.taskgate.v1.LogLine;
import io.taskgate.v1.LogLines;
import io.taskgate.v1.LogSource;
import io.taskgate.v1.StreamTaskLogsRequest;
import io.taskgate.v1.StreamTaskLogsResponse;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

class LogSessionTest {
  private static LogSession session(boolean follow, int limit) {
    return new LogSession(
        StreamTaskLogsRequest.newBuilder().setFollow(follow).setLimit(limit).setTail(9).build());
  }

  private static StreamTaskLogsResponse lines(long second, String... texts) {
    LogLines.Builder lines = LogLines.newBuilder();
    for (String each : texts) {
      lines.addLines(
          LogLine.newBuilder().setTime(Timestamp.newBuilder().setSeconds(second)).setMessage(each));
    }
    return StreamTaskLogsResponse.newBuilder().setLines(lines).build();
  }

  private static StreamTaskLogsResponse attempt(int number) {
    return StreamTaskLogsResponse.newBuilder()
        .setSource(LogSource.newBuilder().setAttempt(number))
        .build();
  }

  private static List<String> texts(List<LogLine> lines) {
    return lines.stream().map(LogLine::getMessage).toList();
  }

  @Test
  void skipsRepeatedLinesOfTheLastTime() {
    LogSession session = session(false, 0);
    assertEquals(9, session.next().getTail());
    assertEquals(List.of("one", "two"), texts(session.take(lines(5, "one", "two"))));
    StreamTaskLogsRequest again = session.next();
    assertEquals(5, again.getSince().getSeconds());
    assertEquals(0, again.getTail());
    assertEquals(List.of("three"), texts(session.take(lines(5, "one", "two", "three"))));
  }

  @Test
  void keepsItsLimitAcrossBreaks() {
    LogSession session = session(false, 3);
    assertEquals(3, session.next().getLimit());
    session.take(lines(1, "one"));
    session.take(lines(2, "two"));
    assertEquals(2, session.next().getLimit()); // the last one comes again
    assertEquals(List.of("three"), texts(session.take(lines(2, "two", "three", "four"))));
    assertTrue(session.finished());
  }

  @Test
  void resumesTheSameAttemptAndThenLaterOnes() {
    LogSession session = session(true, 0);
    session.next();
    session.take(attempt(1));
    session.take(lines(1, "one"));
    assertEquals(1, session.next().getAttempt());
    session.end();
    assertFalse(session.finished());
    assertFalse(session.next().hasAttempt());
    session.take(attempt(2));
    assertEquals(List.of("one"), texts(session.take(lines(1, "one"))));
    assertEquals(2, session.source().orElseThrow().getAttempt());
    session.end();
    assertTrue(session.finished());
  }

  @Test
  void mayBeSilentWithoutHeartbeats() {
    LogSession session = session(true, 0);
    assertEquals(null, session.silence());
    session.take(
        StreamTaskLogsResponse.newBuilder()
            .setHeartbeat(LogHeartbeat.getDefaultInstance())
            .build());
    assertEquals(Duration.ofSeconds(30), session.silence());
    session.next(); // the next call may reach an older server
    assertEquals(null, session.silence());
  }
}
