package example;

import static example.Settings.say;

import com.google.protobuf.Timestamp;
import hotspare.v1.Alarm;
import hotspare.v1.AlarmFeedServiceGrpc;
import hotspare.v1.AlarmReceipt;
import hotspare.v1.AlarmServiceGrpc;
import hotspare.v1.AlarmSubmission;
import hotspare.v1.CodeFormat;
import hotspare.v1.PublishAlarmRequest;
import hotspare.v1.Qualifier;
import hotspare.v1.SendTestAlarmRequest;
import hotspare.v1.SendTestAlarmResponse;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** A device: publishes alarms at the cloud, each until it is answered. And the test alarm of a receiver. */
final class Publisher {
  /** For one attempt, as the comment of both calls says. */
  static final int DEADLINE_SECONDS = 10;

  private static final Duration FIRST_PAUSE = Duration.ofMillis(200);
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(5);
  private static final SecureRandom RANDOM = new SecureRandom();

  private Publisher() {}

  /** One attempt of a call. */
  interface Call<T> {
    T attempt() throws IOException;
  }

  /** A UUIDv7: milliseconds since 1970 in front, then random bits. */
  static String newAlarmId() {
    long high = System.currentTimeMillis() << 16 | 0x7000 | RANDOM.nextInt(0x1000);
    long low = RANDOM.nextLong() >>> 2 | 0x8000_0000_0000_0000L;
    return new UUID(high, low).toString();
  }

  /** Publishes alarms one after the other: the next goes when the one before is answered, so their order is kept. */
  static void publish(int count) throws IOException, InterruptedException {
    ManagedChannel channel = Settings.connect(Settings.setting("HOTSPARE_CLOUD"));
    try {
      var service = AlarmServiceGrpc.newBlockingStub(channel).withInterceptors(Settings.device());
      for (int zone = 1; zone <= count; zone++) {
        // A real device writes the alarm to its disk here, and takes it from there after a restart.
        Alarm alarm = newAlarm(zone);
        PublishAlarmRequest request =
            PublishAlarmRequest.newBuilder().setSubmission(AlarmSubmission.newBuilder().setAlarm(alarm)).build();
        AlarmReceipt receipt =
            untilAnswered(
                    alarm.getAlarmId(),
                    () -> {
                      // gRPC for Java backs off for up to two minutes where it could not connect; we do that ourselves.
                      channel.resetConnectBackoff();
                      return service.withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS).publishAlarm(request);
                    })
                .getReceipt();
        say(
            "published alarm_id=%s sequence=%d duplicate=%b",
            alarm.getAlarmId(), receipt.getAccountSequence(), receipt.getDuplicate());
      }
    } finally {
      channel.shutdown();
    }
  }

  /** Sends a test alarm the whole way. Any member of the group takes it; one that is away is passed over. */
  static void test() throws IOException, InterruptedException {
    List<Settings.Receiver> members = Settings.receivers("HOTSPARE_FEED_TOKEN_FILES");
    SendTestAlarmRequest request =
        SendTestAlarmRequest.newBuilder().setAlarmId(newAlarmId()).setText("Test by the example").build();
    int[] tries = {0};
    SendTestAlarmResponse answer =
        untilAnswered(
            request.getAlarmId(), () -> sendTest(members.get(tries[0]++ % members.size()), request));
    say("tested alarm_id=%s number=%d", request.getAlarmId(), answer.getNumber());
  }

  private static SendTestAlarmResponse sendTest(Settings.Receiver member, SendTestAlarmRequest request)
      throws IOException {
    ManagedChannel channel = Settings.connect(member.address());
    try {
      return AlarmFeedServiceGrpc.newBlockingStub(channel)
          .withInterceptors(member.token())
          .withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS)
          .sendTestAlarm(request);
    } finally {
      channel.shutdown();
    }
  }

  /** A burglary in a zone. Its id is made once: by the id the cloud knows a repetition. */
  private static Alarm newAlarm(int zone) {
    Instant now = Instant.now();
    return Alarm.newBuilder()
        .setAlarmId(newAlarmId())
        .setQualifier(Qualifier.QUALIFIER_NEW)
        .setCodeFormat(CodeFormat.CODE_FORMAT_CONTACT_ID)
        .setCode("130")
        .setPartition(1)
        .setZone(zone)
        .setOccurTime(Timestamp.newBuilder().setSeconds(now.getEpochSecond()).setNanos(now.getNano()))
        .build();
  }

  /**
   * Makes a call again and again until it is answered. Only for calls that may be made twice: their comment in the
   * protos says "Idempotent".
   *
   * @throws StatusRuntimeException waiting does not help
   */
  private static <T> T untilAnswered(String alarmId, Call<T> call) throws IOException, InterruptedException {
    Duration pause = FIRST_PAUSE;
    while (true) {
      Refusal refusal;
      try {
        return call.attempt();
      } catch (StatusRuntimeException error) {
        refusal = Refusal.read(error);
        if (!refusal.passes()) {
          say("refused alarm_id=%s %s", alarmId, refusal.words());
          throw error;
        }
      }
      long wait = (refusal.retryDelay() == null ? pause : refusal.retryDelay()).toMillis();
      // Some longer than others: what came to a stop together should not come back in one moment.
      wait += ThreadLocalRandom.current().nextLong(wait / 5 + 1);
      say("waiting alarm_id=%s %s seconds=%.2f", alarmId, refusal.words(), wait / 1000.0);
      Thread.sleep(wait);
      pause = pause.multipliedBy(2).compareTo(LONGEST_PAUSE) < 0 ? pause.multipliedBy(2) : LONGEST_PAUSE;
    }
  }
}
